"""A disk whose every fsync takes two seconds: training must not wait for it."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.fault_lab.ledger import Ledger
from benchmarks.fault_lab.outcome import outcome_of, seconds_at, written_rows
from benchmarks.fault_lab.pieces import Worker, pieces
from benchmarks.fault_lab.processes import peak_bytes
from benchmarks.fault_lab.report import Figure, Report, at_least, at_most, exactly, skipped
from benchmarks.fault_lab.task import STEPS, common
from benchmarks.fault_lab.watching import wait_for_end
from worker.store.job import Job

_FSYNC_SECONDS, _WANTED, _NOISE_MIB = 2, 0.8, 16
_SLOW = [
    *("strace", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--output=/dev/null"),
    *("--trace=fsync,fdatasync", f"--inject=fsync,fdatasync:delay_exit={_FSYNC_SECONDS}s"),
]


class _Run(NamedTuple):
    digest: str
    steps_per_second: float
    wall_seconds: float
    peak_mib: float
    saved: int
    skipped: int
    state_mib: float


def slow_disk(trials: int, seed: int, steps: int = STEPS) -> Report:
    """The common job in turn on the disk as it is and on the slow one."""
    fault = f"fsync takes {_FSYNC_SECONDS} s longer"
    if shutil.which("strace") is None:
        return skipped(fault, seed, "no strace here")
    pairs = [(_run((), steps), _run(_SLOW, steps)) for _ in range(trials)]
    goodput = min(slow.steps_per_second / plain.steps_per_second for plain, slow in pairs)
    grown = max(slow.peak_mib - plain.peak_mib for plain, slow in pairs)
    equal = sum(plain.digest == slow.digest for plain, slow in pairs)
    plain, slow = pairs[0]
    return Report(
        fault=fault,
        trials=trials,
        seed=seed,
        equal=equal,
        compared=trials,
        goodput=goodput,
        figures=(
            exactly("equal hashes", equal, trials),
            at_least("pace while training", 100 * goodput, 100 * _WANTED, " %"),
            at_most(
                f"peak memory beyond one copy of the state ({slow.state_mib:.1f} MiB)",
                grown - slow.state_mib,
                _NOISE_MIB,
                " MiB",
            ),
            Figure("saved", f"{slow.saved}, skipped {slow.skipped}", "shown", True),
            Figure(
                "wall with claim and last save",
                f"{slow.wall_seconds:.0f} s for {plain.wall_seconds:.0f} s",
                "shown",
                True,
            ),
        ),
    )


def _run(below: Sequence[str], steps: int) -> _Run:
    with pieces() as service:
        worker = service.start_worker(below)
        job = service.job(Ledger(service).must_submit(common(steps)))
        with _watching_memory(worker) as peaks:
            wait_for_end(job)
        outcome, checkpoint = outcome_of(job), job.checkpoint()
        assert checkpoint is not None
        return _Run(
            digest=outcome.digest,
            steps_per_second=_pace(job),
            wall_seconds=outcome.wall_seconds,
            peak_mib=max(peaks, default=0) / 2**20,
            saved=sum(event.type == "checkpoint.created" for event in job.events.after(0)),
            skipped=outcome.skipped_checkpoints,
            state_mib=checkpoint.size_bytes / 2**20,
        )


def _pace(job: Job) -> float:
    """Steps per second from the first row of metrics to the last."""
    rows = written_rows(job.epochs()[0])
    return int(rows[-1]["step"] - rows[0]["step"]) / (seconds_at(rows[-1]) - seconds_at(rows[0]))


@contextmanager
def _watching_memory(worker: Worker) -> Iterator[list[int]]:
    """Peaks of the training process, as the kernel remembers them; the list grows."""
    peaks: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            peaks.extend(peak_bytes(pid) for pid in worker.trainers())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()
