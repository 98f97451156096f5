"""The section of many models: more than fit in memory, all wanted at once."""

import re
import statistics
from typing import NamedTuple

from benchmarks.fault_lab.service import Ringside
from benchmarks.serving_lab.api import address, ask, serving
from benchmarks.serving_lab.home import LARGE, add_model, loaded_bytes
from benchmarks.serving_lab.lab import Lab
from benchmarks.serving_lab.load import Answers, Load, run
from benchmarks.serving_lab.rounds import Measured, Rounds
from benchmarks.serving_lab.table import Outcome, at_most

_MODELS, _FITTING, _CLIENTS = 10, 3, 64
_NAME = "many-"
_LOAD = Load(f"/sample?model={_NAME}{{model}}&seed={{seed}}", _CLIENTS, models=_MODELS)
_LOADS = re.compile(rb"^ringside_model_loads_total (\S+)", re.MULTILINE)


class Crowd(NamedTuple):
    """One round: the answers, and how often a model was read for them."""

    answers: Answers
    loads: float


def many_models(lab: Lab) -> Outcome:
    """Each request wants a random one of ten models, of which three fit in memory."""
    for number in range(_MODELS):
        path = add_model(lab.home, f"{_NAME}{number + 1}", LARGE, seed=number)
    # A little more than three, as nobody would set it to the byte.
    budget = int(loaded_bytes(path) * (_FITTING + 0.3))
    settings = {"RINGSIDE_MODEL_CACHE_BYTES": str(budget), **lab.options.settings}
    crowds = []
    for number in range(lab.options.rounds):
        with serving(lab.home, settings) as service:
            crowds.append(_crowd(lab, service))
        lab.console.print(f"[dim]round {number + 1}: {crowds[-1]}", highlight=False)
    name = f"{_MODELS} models, {_CLIENTS} clients"
    rounds = Rounds({name: [Measured.of(crowd.answers) for crowd in crowds]})
    # A model is read for one request at worst: more would be loads of what is being loaded.
    reads = statistics.median(crowd.loads / crowd.answers.requests for crowd in crowds)
    verdicts = [
        at_most("failed requests", 0, rounds.failed(name)),
        at_most("loads a request", 1, reads),
    ]
    what = f"one PNG of 64x64x3 a request, a budget of {budget / 2**20:.0f} MiB for {_FITTING}"
    loads = ", ".join(f"{crowd.loads:g} for {crowd.answers.requests}" for crowd in crowds)
    return Outcome("models", what, rounds, verdicts, [f"loads by round: {loads} requests"])


def _crowd(lab: Lab, service: Ringside) -> Crowd:
    answers = run(address(service), _LOAD, lab.options.seconds)
    told = _LOADS.search(ask(service, "/metrics")[2])
    return Crowd(answers, float(told[1]) if told else 0.0)
