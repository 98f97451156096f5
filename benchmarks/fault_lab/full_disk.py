"""A disk that fills up while a job trains on it, and has room again later."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.fault_lab.interruptions import reference
from benchmarks.fault_lab.ledger import Ledger
from benchmarks.fault_lab.outcome import final_hash
from benchmarks.fault_lab.report import Report, at_most, exactly, skipped
from benchmarks.fault_lab.service import Ringside, running
from benchmarks.fault_lab.task import STEPS, common
from benchmarks.fault_lab.waiting import wait_until
from benchmarks.fault_lab.watching import wait_for_checkpoints, wait_for_end
from worker.store.job import Job

RECOVERY_SECONDS = 60.0
_DISK_MIB, _PAGE_BYTES, _PAUSE_SECONDS = 32, 4096, 60.0
_MOUNT = f'mkdir -p "$RINGSIDE_HOME/jobs" && mount -t tmpfs -o size={_DISK_MIB}m none '
_BELOW = ["unshare", "-rm", "sh", "-c", _MOUNT + '"$RINGSIDE_HOME/jobs" && exec "$@"', "sh"]


class _Trial(NamedTuple):
    equal: bool
    waited: bool
    recovery_seconds: float
    sampled: bool


def full_disk(trials: int, seed: int, steps: int = STEPS) -> Report:
    """All of `jobs/` on a small file system, filled to 0 to 3 free pages in the middle."""
    fault = f"disk full ({_DISK_MIB} MiB), room again after some seconds"
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        return skipped(fault, seed, "nobody may mount here")
    expected = reference(steps).digest
    chances = [random.Random(f"full-disk/{seed}/{number}") for number in range(trials)]
    made = [_trial(chance, steps, expected) for chance in chances]
    seconds = tuple(trial.recovery_seconds for trial in made)
    return Report(
        fault=fault,
        trials=trials,
        seed=seed,
        equal=sum(trial.equal for trial in made),
        compared=trials,
        recovery_seconds=seconds,
        figures=(
            exactly("equal hashes", sum(trial.equal for trial in made), trials),
            exactly("paused as storage-full", sum(trial.waited for trial in made), trials),
            exactly("sampled meanwhile", sum(trial.sampled for trial in made), trials),
            at_most("recovery", max(seconds), RECOVERY_SECONDS, " s"),
        ),
    )


def _trial(chance: random.Random, steps: int, expected: str) -> _Trial:
    with running(below=_BELOW) as service:
        job = service.job(Ledger(service).must_submit(common(steps)))
        wait_for_checkpoints(job, chance.randint(2, 4))
        with _filled(job.path.parent, chance.randrange(4)):
            waited = wait_until(lambda: _waits(service, job), "a pause", _PAUSE_SECONDS)
            sampled = service.client.get("/sample", params={"model": job.id}).status_code == 200
            time.sleep(chance.uniform(0, 3))
        attempt, began = job.record().attempt, time.monotonic()
        wait_until(lambda: job.record().attempt > attempt, "the next attempt", RECOVERY_SECONDS)
        seconds = time.monotonic() - began
        wait_for_end(job)
        return _Trial(final_hash(job) == expected, bool(waited), seconds, sampled)


def _waits(service: Ringside, job: Job) -> bool:
    view = service.client.get(f"/jobs/{job.id}").json()
    return view["status"] == "paused" and view["error"]["code"] == "storage-full"


@contextmanager
def _filled(directory: Path, free_pages: int) -> Iterator[None]:
    """All room taken but for some pages; whoever writes meanwhile meets the end of it."""
    filler = directory / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while (free := os.statvfs(directory).f_bavail - free_pages) > 0:
                file.write(bytes(free * _PAGE_BYTES))
        yield
    finally:
        filler.unlink()
