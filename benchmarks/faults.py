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
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.fault_lab.contention import contention
from benchmarks.fault_lab.divergence import divergence
from benchmarks.fault_lab.frozen import frozen
from benchmarks.fault_lab.kills import kills
from benchmarks.fault_lab.load import load
from benchmarks.fault_lab.random_kills import random_kills
from benchmarks.fault_lab.redis_faults import redis_faults
from benchmarks.fault_lab.report import Figure, Report, row
from benchmarks.fault_lab.slow_disk import slow_disk
from benchmarks.fault_lab.storm import storm
from benchmarks.fault_lab.task import CHECKPOINT_STEPS, QUICK_STEPS, STEPS
from benchmarks.fault_lab.terminations import terminations
from benchmarks.fault_lab.waiting import Stuck

Run = Callable[[int], Report | Iterable[Report]]
GOODPUT_MINUTES = 30.0
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
    """A function of the seed; ``partial(module.function, trials)`` makes one."""

    full: Run
    quick: Run


SECTIONS = {
    "kills": Section(partial(kills, 200), partial(kills, 6, steps=QUICK_STEPS)),
    "storm": Section(partial(storm, 200), partial(storm, 20, steps=QUICK_STEPS)),
    "sigterm": Section(partial(terminations, 30), partial(terminations, 4, steps=QUICK_STEPS)),
    "redis": Section(partial(redis_faults, 5), partial(redis_faults, 1, steps=QUICK_STEPS)),
    "two-workers": Section(partial(contention, 200), partial(contention, 10)),
    "frozen": Section(partial(frozen, 10), partial(frozen, 1, steps=STEPS // 2)),
    "queue-1000": Section(partial(load, 1000), partial(load, 40)),
    "slow-disk": Section(partial(slow_disk, 3), partial(slow_disk, 1, steps=STEPS)),
    "goodput": Section(
        partial(random_kills, GOODPUT_MINUTES), partial(random_kills, 2, every_seconds=30)
    ),
    "nan": Section(partial(divergence, 100), partial(divergence, 5)),
}


def reports(name: str, run: Run, seed: int) -> Iterable[Report]:
    """The rows of a section; one that gets stuck says so in a row."""
    try:
        made = run(seed)
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
        for report in reports(name, _chosen(name, arguments), arguments.seed):
            console.print(" | ".join(row(report)), highlight=False)
            table.add_row(*row(report))
            holds = holds and (report.holds or bool(report.skipped))
        console.print(f"[dim]{name}: {time.monotonic() - began:.0f} s in all")
    console.print(table)
    raise SystemExit(not holds)


def _chosen(name: str, arguments: argparse.Namespace) -> Run:
    if name == "goodput" and arguments.minutes:
        return partial(random_kills, arguments.minutes)
    section = SECTIONS[name]
    return section.quick if arguments.quick else section.full


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(SECTIONS)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", choices=[[], *SECTIONS], help=names
    )
    parser.add_argument("--quick", action="store_true", help="few trials of short jobs")
    parser.add_argument("--minutes", type=float, help="of the section goodput")
    parser.add_argument("--seed", type=int, default=0, help="fixes the times of all faults")
    return parser.parse_args()


if __name__ == "__main__":
    main()
