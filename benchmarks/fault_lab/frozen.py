"""A worker is frozen beyond its lease, another takes over, and the first wakes up again."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.fault_lab.interruptions import RECOVERY_P95_SECONDS, reference
from benchmarks.fault_lab.ledger import Audit, Ledger, audit
from benchmarks.fault_lab.outcome import Outcome, outcome_of, written_rows
from benchmarks.fault_lab.pieces import Worker, pieces
from benchmarks.fault_lab.processes import is_alive, send
from benchmarks.fault_lab.report import Report, at_most, exactly, percentile, skipped
from benchmarks.fault_lab.task import CHECKPOINT_STEPS, STEPS, common
from benchmarks.fault_lab.waiting import wait_until
from benchmarks.fault_lab.watching import (
    is_over,
    wait_for_attempt_after,
    wait_for_checkpoints,
    wait_for_end,
)
from worker.store.epochs import Epoch
from worker.store.job import Job

LEASE_SECONDS = 3
# Processes of another namespace count as those of another machine: they cannot be killed.
ELSEWHERE = [
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
_HERE: tuple[str, ...] = ()


class Trial(NamedTuple):
    """``stale_commits``: what the frozen attempt still wrote after another had taken over."""

    outcome: Outcome
    audit: Audit
    recovery_seconds: float
    stale_commits: int
    stopped: bool


def frozen(trials: int, seed: int, steps: int = STEPS) -> Iterator[Report]:
    """A row for a worker on this machine, which is killed, and one for a worker elsewhere."""
    yield _report("frozen, on this machine: killed", _HERE, trials, seed, steps)
    fault = "frozen, elsewhere: given up, then fenced"
    tried = subprocess.run([*ELSEWHERE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        yield skipped(fault, seed, f"no namespaces here ({tried.stderr.strip()})")
    else:
        yield _report(fault, ELSEWHERE, trials, seed, steps)


def _report(fault: str, below: Sequence[str], trials: int, seed: int, steps: int) -> Report:
    made = [
        _trial(below, random.Random(f"frozen/{seed}/{fault}/{number}"), steps)
        for number in range(trials)
    ]
    expected = reference(steps)
    equal = sum(trial.outcome.digest == expected.digest for trial in made)
    seconds = tuple(trial.recovery_seconds for trial in made)
    lost = max((steps for trial in made for steps in trial.outcome.lost_steps), default=0)
    return Report(
        fault=fault,
        trials=trials,
        seed=seed,
        lost=sum(trial.audit.lost for trial in made),
        duplicated=sum(trial.audit.duplicated for trial in made),
        equal=equal,
        compared=trials,
        recovery_seconds=seconds,
        figures=(
            exactly("equal hashes", equal, trials),
            exactly("writes by the stale attempt", sum(t.stale_commits for t in made), 0),
            exactly("stale attempts that ended", sum(t.stopped for t in made), trials),
            exactly("attempts", {trial.outcome.attempts for trial in made}, {2}),
            at_most("lost steps, max", lost, CHECKPOINT_STEPS),
            at_most(
                f"recovery p95, lease {LEASE_SECONDS} s in it",
                percentile(seconds, 95),
                RECOVERY_P95_SECONDS,
                " s",
            ),
        ),
    )


def _trial(below: Sequence[str], chance: random.Random, steps: int) -> Trial:
    with pieces(RINGSIDE_LEASE_SECONDS=str(LEASE_SECONDS)) as service:
        first = service.start_worker(below)
        job = service.job(Ledger(service).must_submit(common(steps)))
        wait_for_checkpoints(job, 1)
        service.start_worker()
        wait_for_checkpoints(job, 1)
        time.sleep(chance.uniform(0, 0.5))
        stale, recovery = _freeze(first, job, is_elsewhere=bool(below))
        written = _written(job.epochs()[0])
        send(signal.SIGCONT, reversed(first.everything()))
        stopped = _wait_for_stop(job, stale, is_elsewhere=bool(below))
        wait_for_end(job)
        # What is missing now was pruned, rightly, by the attempt that took over.
        late = len(_written(job.epochs()[0]) - written)
        return Trial(outcome_of(job), audit(service), recovery, late, stopped)


def _freeze(worker: Worker, job: Job, is_elsewhere: bool) -> tuple[list[int], float]:
    """Stop the worker until another trains the job; its training processes, and the seconds.

    A machine that is cut off has nobody left who could end its frozen processes.
    """
    trainers = worker.trainers()
    send(signal.SIGSTOP, worker.everything() if is_elsewhere else [*trainers, *worker.slots()])
    began = time.monotonic()
    wait_for_attempt_after(job, 1)
    return trainers, time.monotonic() - began


def _wait_for_stop(job: Job, stale: Sequence[int], is_elsewhere: bool) -> bool:
    """Whether the stale attempt ended: by itself, saying that it was fenced, or by a kill."""

    def fenced() -> bool:
        told = [e.data["attempt"] for e in job.events.after(0) if e.type == "attempt.fenced"]
        return told == [1] if is_elsewhere else not told

    wait_until(lambda: not any(map(is_alive, stale)) or is_over(job), "a stale attempt's end", 60)
    return fenced() and not any(map(is_alive, stale))


def _written(epoch: Epoch) -> set[str]:
    """What an attempt has committed: checkpoints and rows of metrics."""
    rows = {f"row {row['step']}" for row in written_rows(epoch)}
    return rows | {checkpoint.path.name for checkpoint in epoch.checkpoints()}
