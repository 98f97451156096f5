"""SIGTERM, at random times: everything is saved, so no step is lost."""

import os
import signal
from collections.abc import Iterator

from benchmarks.fault_lab.interruptions import Run, interrupted_runs, summarise
from benchmarks.fault_lab.processes import is_alive
from benchmarks.fault_lab.report import Report, exactly
from benchmarks.fault_lab.service import Ringside
from benchmarks.fault_lab.task import STEPS
from benchmarks.fault_lab.waiting import Stuck, wait_until


def terminations(trials: int, seed: int, steps: int = STEPS) -> Iterator[Report]:
    """A row for the supervisor, which ``up`` starts again, and one for ``up`` itself."""
    strikes = {"supervisor": _end_supervisor, "ringside up": _end_up}
    for place, (name, strike) in enumerate(strikes.items()):
        share = trials // len(strikes) + (place < trials % len(strikes))
        if share:
            runs = interrupted_runs(strike, share, f"sigterm/{seed}/{name}", steps)
            report = summarise(f"SIGTERM: {name}", runs, seed, steps, 0)
            yield _with_lost_attempts(report, runs)


def _with_lost_attempts(report: Report, runs: list[Run]) -> Report:
    lost = exactly("attempts that did not save", sum(run.lost_attempts for run in runs), 0)
    return Report(**{**vars(report), "figures": (*report.figures, lost)})


def _end_supervisor(service: Ringside) -> None:
    supervisor = service.part("service.cli worker")
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not is_alive(supervisor), "the end of the supervisor", 120)


def _end_up(service: Ringside) -> None:
    status = service.stop()
    if status:
        raise Stuck(f"ringside up ended with status {status}")
    service.start()
