"""Nothing is lost: faults injected by real means into a real Ringside, one row for each.

    python -m benchmarks.faults                     all sections
    python -m benchmarks.faults kills redis         some of them
    python -m benchmarks.faults --quick --seed 7    few trials of short jobs, other random times

Each section starts `ringside up` with a home and a port of its own, drives a job through the
HTTP API, and breaks things with signals and files. Every acknowledged write is in a ledger that is
held against the disk afterwards. A hash is SHA-256 over all tensors of the last checkpoint and the
metrics; it is compared with the same job left alone in the same session. Nothing is tried again:
what does not come about within its deadline is a row that does not hold.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.fault_lab.contention import contention
from benchmarks.fault_lab.divergence import divergence
from benchmarks.fault_lab.frozen import frozen
from benchmarks.fault_lab.full_disk import full_disk
from benchmarks.fault_lab.kills import kills
from benchmarks.fault_lab.load import load
from benchmarks.fault_lab.random_kills import random_kills
from benchmarks.fault_lab.redis_faults import redis_faults
from benchmarks.fault_lab.report import Figure, Report, row
from benchmarks.fault_lab.slow_disk import slow_disk
from benchmarks.fault_lab.storage_faults import damages, power_cuts, replies, saves
from benchmarks.fault_lab.storm import storm
from benchmarks.fault_lab.task import CHECKPOINT_STEPS, QUICK_STEPS, STEPS
from benchmarks.fault_lab.terminations import terminations
from benchmarks.fault_lab.waiting import Stuck

_COLUMNS = (
    "fault",
    "trials",
    "lost",
    "duplicated",
    "equal hashes",
    "recovery p50 / p95 s",
    "goodput",
    "seed",
    "holds?",
)


class Section(NamedTuple):
    """A function of (trials, seed) that hands back a report or several; minutes for goodput."""

    run: Callable[..., Report | Iterable[Report]]
    trials: float
    quick_trials: float
    quick_options: Mapping[str, Any] = MappingProxyType({})


_SHORT = {"steps": QUICK_STEPS}
SECTIONS = {
    "kills": Section(kills, 200, 6, _SHORT),
    "storm": Section(storm, 200, 20, _SHORT),
    "sigterm": Section(terminations, 30, 4, _SHORT),
    "redis": Section(redis_faults, 5, 1, _SHORT),
    "two-workers": Section(contention, 200, 10),
    "frozen": Section(frozen, 10, 1, {"steps": STEPS // 2}),
    "queue-1000": Section(load, 1000, 40),
    "full-disk": Section(full_disk, 10, 1, _SHORT),
    "slow-disk": Section(slow_disk, 3, 1),
    "goodput": Section(random_kills, 30, 2, {"every_seconds": 30, "wanted": 0.7}),
    "nan": Section(divergence, 100, 5),
    "saves": Section(saves, 1, 1),
    "power": Section(power_cuts, 10_000, 1_000),
    "damage": Section(damages, 1_000, 200),
    "replies": Section(replies, 200, 6),
}


def reports(name: str, arguments: argparse.Namespace) -> Iterator[Report]:
    """The rows of a section; one that gets stuck says so in a row."""
    section, seed = SECTIONS[name], arguments.seed
    asked = arguments.minutes if name == "goodput" else arguments.trials
    trials = asked or (section.quick_trials if arguments.quick else section.trials)
    options = section.quick_options if arguments.quick else {}
    try:
        made = section.run(trials, seed, **options)
        yield from [made] if isinstance(made, Report) else made
    except Stuck as error:
        yield Report(name, 0, seed, (Figure("stuck:", str(error), "no", False),))


def main() -> None:
    """Run the sections asked for and print the table; the status is 1 unless all holds."""
    arguments = _arguments()
    console = Console(width=220)
    steps = QUICK_STEPS if arguments.quick else STEPS
    console.print(
        f"torch {torch.__version__}, {os.cpu_count()} cores; seed {arguments.seed}; common job: "
        f"digits, cgan, {steps} steps, a checkpoint every {CHECKPOINT_STEPS}, one thread; "
        "RINGSIDE_MAX_ATTEMPTS=1000 where kills are random; a trial is one fault"
    )
    table, holds = Table(*_COLUMNS), True
    for name in arguments.sections or SECTIONS:
        began = time.monotonic()
        for report in reports(name, arguments):
            console.print(" | ".join(row(report)), highlight=False)
            table.add_row(*row(report))
            holds = holds and (report.holds or bool(report.skipped))
        console.print(f"[dim]{name}: {time.monotonic() - began:.0f} s in all")
    console.print(table)
    raise SystemExit(not holds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(SECTIONS)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", choices=[[], *SECTIONS], help=names
    )
    parser.add_argument("--quick", action="store_true", help="few trials of short jobs")
    parser.add_argument("--trials", type=int, help="other than usual, in every section")
    parser.add_argument("--minutes", type=float, help="of the section goodput")
    parser.add_argument("--seed", type=int, default=0, help="fixes the times of all faults")
    return parser.parse_args()


if __name__ == "__main__":
    main()
