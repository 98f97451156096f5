"""Sections of latency: a lone request, answers that are known already, the start."""

import statistics
import time
from typing import NamedTuple

from benchmarks.fault_lab.service import Ringside, serving
from benchmarks.lab.rounds import Contender, Measured, Rounds, play
from benchmarks.lab.verdicts import Outcome, at_least, at_most
from benchmarks.serving_lab.api import ask
from benchmarks.serving_lab.bare import bare
from benchmarks.serving_lab.contenders import OURS, ours
from benchmarks.serving_lab.lab import Lab
from benchmarks.serving_lab.load import Load, NoLoad
from benchmarks.serving_lab.throughput import PICTURES

_ALONE = PICTURES._replace(clients=1)
_DIRECT, _RESTED = "direct call", "direct call, rested"
_UNCACHED, _CACHED, _KNOWN = "uncached", "cached", "304"
_HOT_SEEDS = 100
# About what lies between two requests of one client.
_REST_MS = 1.0


def lone(lab: Lab) -> Outcome:
    """One client that waits for each answer, against calling model and encoder directly.

    A core that pauses goes on slower, with colder caches, and between two requests a server
    pauses: what that alone costs is the call after a rest.
    """
    direct = Contender(_DIRECT, lambda seconds: _called(lab, seconds))
    rested = Contender(_RESTED, lambda seconds: _called(lab, seconds, _REST_MS))
    contenders = [ours(lab, _ALONE), direct, rested]
    rounds = play(contenders, lab.options.rounds, lab.options.seconds, lab.console)
    pairs = zip(rounds.measured[OURS], rounds.measured[_DIRECT], strict=True)
    more_ms = statistics.median((one.p50_ms or 0) - (two.p50_ms or 0) for one, two in pairs)
    verdict = at_most("p50 above the direct call", 1, more_ms, " ms")
    what = "one PNG of 64x64x3 a request, one client"
    told = f"direct call: latents, generator, PNG; rested: {_REST_MS:g} ms idle before each"
    return Outcome("lone", what, rounds, [verdict], [told])


def _called(lab: Lab, seconds: float, rest_ms: float = 0.0) -> Measured:
    with bare(lab.checkpoints["large"], 1) as generator:
        milliseconds = generator.lone_ms(seconds, rest_ms)
    return Measured(1000 / milliseconds, milliseconds)


def cached(lab: Lab) -> Outcome:
    """Answers that are in memory, and clients that have them, against answers that are computed."""
    contenders = [
        ours(lab, PICTURES, _UNCACHED),
        ours(lab, PICTURES._replace(seeds=_HOT_SEEDS), _CACHED, before=_fill),
        ours(lab, PICTURES, _KNOWN, before=_known),
    ]
    rounds = play(contenders, lab.options.rounds, lab.options.seconds, lab.console)
    verdicts = [
        at_least(f"{name}, times uncached", 20, rounds.ratio(name, _UNCACHED))
        for name in (_CACHED, _KNOWN)
    ]
    what = f"one PNG of 64x64x3 a request, 64 clients; cached: {_HOT_SEEDS} seeds"
    return Outcome("cached", what, rounds, verdicts)


def _fill(service: Ringside, load: Load) -> Load:
    """Every seed is asked for once, so that each is in memory."""
    for seed in range(_HOT_SEEDS):
        ask(service, load.path.replace("{seed}", str(seed)))
    return load


def _known(service: Ringside, load: Load) -> Load:
    """The load of clients that have the answer already.

    Raises:
        NoLoad: when the service sends it again.
    """
    path = load.path.replace("{seed}", "7")
    _, etag, _ = ask(service, path)
    status, _, _ = ask(service, path, **{"If-None-Match": etag})
    if status != 304:
        raise NoLoad(f"a request with the ETag of the answer got status {status}")
    return load._replace(path=path, if_none_match=etag)


def started(lab: Lab) -> Outcome:
    """From the command to readiness, and to the first image."""
    starts = []
    for number in range(lab.options.rounds):
        starts.append(_start(lab))
        lab.console.print(f"[dim]round {number + 1}: {starts[-1]}", highlight=False)
    measured = {
        name.replace("_", " "): [Measured(1 / seconds, 1000 * seconds) for seconds in column]
        for name, column in zip(Start._fields, zip(*starts, strict=True), strict=True)
    }
    rounds = Rounds(measured)
    verdicts = [
        at_most(f"start to {name}", 5, rounds.p50_ms(name) / 1000, " s") for name in rounds.names
    ]
    return Outcome("start", "`ringside up`, then one image, with one model", rounds, verdicts)


class Start(NamedTuple):
    """Seconds from the command to what the fields name."""

    ready: float
    first_image: float


def _start(lab: Lab) -> Start:
    began = time.monotonic()
    with serving(lab.home, **lab.options.settings) as service:
        ready = time.monotonic() - began
        ask(service, PICTURES.path.replace("{seed}", "7"))
        return Start(ready, time.monotonic() - began)
