"""The section of many models: more than fit in memory, all wanted at once."""

import re
import statistics
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.fault_lab.service import serving
from benchmarks.lab.rounds import Rounds
from benchmarks.lab.verdicts import Outcome, at_most
from benchmarks.serving_lab.api import address, ask
from benchmarks.serving_lab.home import LARGE, add_model, loaded_bytes
from benchmarks.serving_lab.lab import Lab
from benchmarks.serving_lab.load import Answers, Load, run

_MODELS, _FITTING, _CLIENTS = 10, 3, 64
_NAME = "many-"
_LOAD = Load(f"/sample?model={_NAME}{{model}}&seed={{seed}}", _CLIENTS, models=_MODELS)
_LOADS = re.compile(rb"^ringside_model_loads_total (\S+)", re.MULTILINE)
_TIGHT, _WIDE = f"memory for {_FITTING}", "memory for all"


class Crowd(NamedTuple):
    """One round: the answers, and how often a model was read for them."""

    answers: Answers
    loads: float


def many_models(lab: Lab) -> Outcome:
    """Each request wants a random one of ten models, of which three fit in memory, or all."""
    for number in range(_MODELS):
        path = add_model(lab.home, f"{_NAME}{number + 1}", LARGE, seed=number)
    # A little more than three, as nobody would set it to the byte.
    budget = int(loaded_bytes(path) * (_FITTING + 0.3))
    tight = {**lab.options.settings, "RINGSIDE_MODEL_CACHE_BYTES": str(budget)}
    crowds: dict[str, list[Crowd]] = {_TIGHT: [], _WIDE: []}
    for number in range(lab.options.rounds):
        for name, settings in ((_TIGHT, tight), (_WIDE, lab.options.settings)):
            crowds[name].append(_crowd(lab, settings))
            told = f"round {number + 1}: {name}: {crowds[name][-1]}"
            lab.console.print(f"[dim]{told}", highlight=False)
    return _outcome(crowds, budget)


def _crowd(lab: Lab, settings: Mapping[str, str]) -> Crowd:
    """Nothing is warmed up: that models come and go is what is measured."""
    with serving(lab.home, **settings) as service:
        answers = run(address(service), _LOAD, lab.options.seconds)
        told = _LOADS.search(ask(service, "/metrics")[2])
    return Crowd(answers, float(told[1]) if told else 0.0)


def _outcome(crowds: Mapping[str, list[Crowd]], budget: int) -> Outcome:
    measured = {name: [one.answers.measured() for one in found] for name, found in crowds.items()}
    rounds = Rounds(measured)
    # Where all fit, a model that is read twice was read while it was being read.
    again = max(one.loads for one in crowds[_WIDE])
    verdicts = [at_most(f"failed, {name}", 0, rounds.failed(name)) for name in rounds.names]
    verdicts.append(at_most(f"loads of {_MODELS} models, {_WIDE}", _MODELS, again))
    reads = statistics.median(one.loads / max(1, one.answers.requests) for one in crowds[_TIGHT])
    loads = {name: [one.loads for one in found] for name, found in crowds.items()}
    notes = [f"loads by round: {loads}; {_TIGHT}: {reads:.3f} a request"]
    what = f"{_MODELS} models in turn by chance, {_CLIENTS} clients; a budget of {budget} bytes"
    return Outcome("models", what, rounds, verdicts, notes)
