"""Redis dies, forgets, comes back torn or hangs while one job trains and others wait."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import redis

from benchmarks.fault_lab.interruptions import reference
from benchmarks.fault_lab.ledger import Audit, Ledger, audit
from benchmarks.fault_lab.outcome import Outcome, outcome_of
from benchmarks.fault_lab.processes import kill, send
from benchmarks.fault_lab.report import Report, at_least, exactly
from benchmarks.fault_lab.sampling import Answer, sampling
from benchmarks.fault_lab.service import Ringside, running
from benchmarks.fault_lab.task import STEPS, common, tiny
from benchmarks.fault_lab.waiting import wait_until
from benchmarks.fault_lab.watching import END_SECONDS, is_over, wait_for_checkpoints, wait_for_end

_HANG_SECONDS, _WAITING_JOBS, _MOST_CUT_BYTES = 10.0, 2, 100

# Redis is broken inside the block.
Fault = Callable[[Ringside, random.Random], AbstractContextManager[None]]


class Trial(NamedTuple):
    """One fault during one common job."""

    outcome: Outcome
    audit: Audit
    recovery_seconds: float
    samples: Sequence[Answer]
    without_retry_after: int
    workers: int | None


def redis_faults(trials: int, seed: int, steps: int = STEPS) -> Iterator[Report]:
    """A row for each of the faults below, each ``trials`` times."""
    for name, fault in _FAULTS.items():
        made = [
            _trial(fault, random.Random(f"redis/{seed}/{name}/{number}"), steps)
            for number in range(trials)
        ]
        yield _summarise(f"Redis: {name}", made, seed, steps)


def _trial(fault: Fault, chance: random.Random, steps: int) -> Trial:
    with running() as service:
        ledger = Ledger(service)
        model = ledger.must_submit(tiny())
        wait_for_end(service.job(model))
        job = service.job(ledger.must_submit(common(steps)))
        for number in range(_WAITING_JOBS):
            ledger.must_submit(tiny(seed=number))
        wait_for_checkpoints(job, chance.randint(1, steps // 100))
        with sampling(str(service.client.base_url), model) as answers:
            with fault(service, chance):
                ledger.submit(tiny(seed=100))
            recovery = _until_ready(service)
            ledger.submit(tiny(seed=101))
            _wait_for_all(service, ledger)
        refused = [entry for entry in ledger.entries() if entry["status"] == 503]
        blunt = sum(entry["retry_after"] is None for entry in refused)
        workers = service.client.get("/readyz").json()["workers"]
        return Trial(outcome_of(job), audit(service), recovery, tuple(answers), blunt, workers)


def _until_ready(service: Ringside) -> float:
    """Seconds until the API finds Redis again."""
    began = time.monotonic()
    wait_until(lambda: service.client.get("/readyz").status_code == 200, "a Redis", 120)
    return time.monotonic() - began


def _wait_for_all(service: Ringside, ledger: Ledger) -> None:
    jobs = [service.job(entry["job"]) for entry in ledger.entries() if entry["job"]]
    wait_until(lambda: all(map(is_over, jobs)), "the end of all jobs", END_SECONDS, 0.2)


def _summarise(fault: str, trials: Sequence[Trial], seed: int, steps: int) -> Report:
    expected = reference(steps)
    equal = sum(trial.outcome.digest == expected.digest for trial in trials)
    answers = [answer for trial in trials for answer in trial.samples]
    served = sum(answer.status == 200 for answer in answers)
    lost = sum(trial.audit.lost for trial in trials)
    duplicated = sum(trial.audit.duplicated for trial in trials)
    return Report(
        fault=fault,
        trials=len(trials),
        seed=seed,
        lost=lost,
        duplicated=duplicated,
        equal=equal,
        compared=len(trials),
        recovery_seconds=tuple(trial.recovery_seconds for trial in trials),
        figures=(
            exactly("acknowledged jobs lost", lost, 0),
            exactly("jobs that ran twice", duplicated, 0),
            exactly("equal hashes", equal, len(trials)),
            exactly("most attempts", max(trial.outcome.attempts for trial in trials), 1),
            exactly("steps lost", sum(sum(trial.outcome.lost_steps) for trial in trials), 0),
            at_least(f"of {len(answers)} samples", 100 * served / len(answers), 100, " %"),
            exactly("503 without Retry-After", sum(t.without_retry_after for t in trials), 0),
            exactly("fewest workers seen at the end", min(t.workers or 0 for t in trials), 1),
            exactly("gaps in events", sum(trial.audit.gaps for trial in trials), 0),
        ),
    )


@contextmanager
def _killed(service: Ringside, chance: random.Random) -> Iterator[None]:
    kill([service.part("redis-server")])
    yield


@contextmanager
def _flushed(service: Ringside, chance: random.Random) -> Iterator[None]:
    with redis.Redis(unix_socket_path=str(service.home / "redis" / "redis.sock")) as client:
        client.flushall()
    yield


@contextmanager
def _truncated(service: Ringside, chance: random.Random) -> Iterator[None]:
    with _while_down(service):
        log = _logs(service)[-1]
        os.truncate(log, max(0, log.stat().st_size - chance.randint(1, _MOST_CUT_BYTES)))
    yield


@contextmanager
def _deleted(service: Ringside, chance: random.Random) -> Iterator[None]:
    with _while_down(service):
        for log in _logs(service):
            log.unlink()
    yield


def _logs(service: Ringside) -> list[Path]:
    """Files in which Redis writes down what it is told, the present one last.

    One file until version 6, since then a directory with a base and what came after it.
    """
    found = (service.home / "redis").rglob("*.aof")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


@contextmanager
def _hanging(service: Ringside, chance: random.Random) -> Iterator[None]:
    server = service.part("redis-server")
    send(signal.SIGSTOP, [server])
    began = time.monotonic()
    yield
    time.sleep(max(0.0, began + _HANG_SECONDS - time.monotonic()))
    send(signal.SIGCONT, [server])


@contextmanager
def _while_down(service: Ringside) -> Iterator[None]:
    """Redis is killed and, until the block ends, nobody starts it again."""
    server = service.part("redis-server")
    send(signal.SIGSTOP, [service.pid])
    kill([server])
    yield
    send(signal.SIGCONT, [service.pid])


_FAULTS: Mapping[str, Fault] = {
    "kill -9": _killed,
    "FLUSHALL": _flushed,
    f"log cut by 1 to {_MOST_CUT_BYTES} bytes": _truncated,
    "log deleted": _deleted,
    f"hangs for {_HANG_SECONDS:g} s": _hanging,
}
