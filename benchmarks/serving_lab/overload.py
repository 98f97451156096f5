"""The section of overload: twice as many requests as can be answered, from very many clients."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.fault_lab.service import Ringside, serving
from benchmarks.lab.rounds import Measured, Rounds
from benchmarks.lab.verdicts import Outcome, Verdict, at_least, at_most
from benchmarks.serving_lab.api import Memory, address, ask
from benchmarks.serving_lab.contenders import warm_up
from benchmarks.serving_lab.lab import Lab
from benchmarks.serving_lab.load import Answers, run
from benchmarks.serving_lab.throughput import PICTURES

_CLIENTS, _FLAT_MIB, _MIB = 1_000, 32, 2**20
_CAPACITY, _OVERLOAD = "capacity, 64 clients", f"twice that, {_CLIENTS} clients"
# Times one and a half, still less than the five seconds after which idle connections are closed.
_LONGEST_PAUSE_MS = 3_000.0
_ALLOWED = frozenset({"200", "503"})


class Flood(NamedTuple):
    """One round: what can be answered, what was answered of twice as much, and memory's growth."""

    capacity: Answers
    answers: Answers
    grown_mib: float

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.answers.statuses.get("200", 0) / self.answers.seconds

    @property
    def offered(self) -> float:
        """Requests a second over those that can be answered."""
        return self.answers.requests / self.answers.seconds / self.capacity.per_second

    @property
    def wrong(self) -> int:
        """Requests without an answer, or with another one than is allowed."""
        counted = self.answers.statuses.items()
        return sum(number for status, number in counted if status not in _ALLOWED)


def overload(lab: Lab) -> Outcome:
    """Clients ask at twice the rate of capacity, whatever they are answered."""
    floods = []
    for number in range(lab.options.rounds):
        with serving(lab.home, **lab.options.settings) as service:
            floods.append(_flood(lab, service))
        lab.console.print(f"[dim]round {number + 1}: {floods[-1].answers}", highlight=False)
    rounds = Rounds(
        {
            _CAPACITY: [flood.capacity.measured() for flood in floods],
            _OVERLOAD: [Measured(flood.goodput, failed=flood.wrong) for flood in floods],
        }
    )
    what = f"one PNG of 64x64x3 a request, {lab.options.overload_seconds:g} s a round"
    return Outcome("overload", what, rounds, _verdicts(floods, rounds), [_told(floods)])


def _flood(lab: Lab, service: Ringside) -> Flood:
    url = address(service)
    ask(service, PICTURES.path.replace("{seed}", "7"))
    warm_up(url, PICTURES)
    capacity = run(url, PICTURES, lab.options.seconds)
    # A client's turn is its pause and its answer. Half of the answers are refusals, which come at
    # once; the other half wait behind as many as there are places, which are as many as clients
    # in the load that was capacity.
    turn_ms = 1000 * _CLIENTS / (2 * capacity.per_second)
    pause_ms = min(max(1.0, turn_ms - capacity.p50_ms / 2), _LONGEST_PAUSE_MS)
    load = PICTURES._replace(clients=_CLIENTS, count_statuses=True, pause_ms=pause_ms)
    with Memory(service) as memory:
        answers = run(url, load, lab.options.overload_seconds)
    return Flood(capacity, answers, _growth_mib(memory.resident))


def _growth_mib(resident: Sequence[int]) -> float:
    """From the third quarter of the time to the last: caches are full by then."""
    quarter = max(1, len(resident) // 4)
    before, after = resident[-2 * quarter : -quarter] or resident, resident[-quarter:]
    return (statistics.median(after) - statistics.median(before)) / _MIB


def _verdicts(floods: Sequence[Flood], rounds: Rounds) -> list[Verdict]:
    offered = statistics.median(flood.offered for flood in floods)
    return [
        at_least("offered, times capacity", 1.9, offered),
        at_most(
            "answers but 200 and 503 with Retry-After", 0, sum(flood.wrong for flood in floods)
        ),
        at_least("goodput over capacity", 0.9, rounds.ratio(_OVERLOAD, _CAPACITY)),
        at_most("growth of memory", _FLAT_MIB, max(flood.grown_mib for flood in floods), " MiB"),
    ]


def _told(floods: Sequence[Flood]) -> str:
    grown = ", ".join(f"{flood.grown_mib:.1f}" for flood in floods)
    statuses = " | ".join(str(dict(flood.answers.statuses)) for flood in floods)
    return f"statuses by round: {statuses}; growth of memory by round, MiB: {grown}"
