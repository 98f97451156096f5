"""A thousand jobs at once, while somebody asks for samples."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.fault_lab.ledger import Audit, Ledger, audit
from benchmarks.fault_lab.processes import resident_bytes
from benchmarks.fault_lab.report import Figure, Report, at_most, exactly, percentile
from benchmarks.fault_lab.sampling import Answer, sampling
from benchmarks.fault_lab.service import Ringside, running
from benchmarks.fault_lab.task import tiny
from benchmarks.fault_lab.waiting import wait_until
from benchmarks.fault_lab.watching import is_over, wait_for_end

_JOB_STEPS, _IDLE_SECONDS, _SECONDS_PER_JOB = 5, 10.0, 5.0
_MOST_GROWTH_MIB, _MOST_RATIO, _MOST_LIST_SECONDS = 50, 2, 0.2


class _Load(NamedTuple):
    idle: Sequence[Answer]
    loaded: Sequence[Answer]
    submissions: Sequence[float]
    list_seconds: float
    grown_mib: float
    all_seconds: float
    audit: Audit


def load(jobs: int, seed: int) -> Report:
    """Submit them one after the other, as fast as answers come, and wait until all have ended."""
    measured = _measure(jobs, seed)
    idle, loaded = (_p99([a.seconds for a in s]) for s in (measured.idle, measured.loaded))
    refused = sum(answer.status != 200 for answer in (*measured.idle, *measured.loaded))
    found, posts = measured.audit, measured.submissions
    return Report(
        fault=f"{jobs} jobs at once",
        trials=1,
        seed=seed,
        lost=found.lost,
        duplicated=found.duplicated,
        figures=(
            # One more trained the model that is sampled.
            exactly("accepted", found.acknowledged, jobs + 1),
            exactly("not ended", found.unfinished, 0),
            exactly("lost, doubled or with gaps", found.lost + found.duplicated + found.gaps, 0),
            _shown(f"/sample p99 idle of {len(measured.idle)}", idle),
            _shown(f"under load of {len(measured.loaded)}", loaded),
            at_most("their ratio", loaded / idle, _MOST_RATIO),
            exactly("samples refused", refused, 0),
            _shown("POST /train p50", percentile(posts, 50)),
            _shown("p99", _p99(posts)),
            at_most("GET /jobs", measured.list_seconds, _MOST_LIST_SECONDS, " s"),
            at_most("API grew by", measured.grown_mib, _MOST_GROWTH_MIB, " MiB"),
            Figure("jobs per second", f"{jobs / measured.all_seconds:.1f}", "shown", True),
        ),
    )


def _measure(jobs: int, seed: int) -> _Load:
    with running() as service:
        ledger = Ledger(service)
        model = ledger.must_submit(tiny())
        wait_for_end(service.job(model))
        url, api = str(service.client.base_url), service.part("service.cli api")
        with sampling(url, model) as idle:
            time.sleep(_IDLE_SECONDS)
        before, began = resident_bytes(api), time.monotonic()
        with sampling(url, model) as loaded:
            for number in range(jobs):
                ledger.submit(tiny(_JOB_STEPS, seed + number))
            listed = service.client.get("/jobs").elapsed.total_seconds()
            _wait_for_all(service, ledger, jobs * _SECONDS_PER_JOB)
        seconds = time.monotonic() - began
        posts = [entry["seconds"] for entry in ledger.entries() if entry["status"] == 202]
        grown = (resident_bytes(api) - before) / 2**20
        return _Load(idle, loaded, posts, listed, grown, seconds, audit(service))


def _wait_for_all(service: Ringside, ledger: Ledger, seconds: float) -> None:
    waiting = [service.job(entry["job"]) for entry in ledger.entries() if entry["job"]]

    def all_over() -> bool:
        waiting[:] = [job for job in waiting if not is_over(job)]
        return not waiting

    wait_until(all_over, "the end of all jobs", max(60, seconds), 1)


def _p99(seconds: Sequence[float]) -> float:
    return percentile(seconds, 99)


def _shown(measure: str, seconds: float) -> Figure:
    return Figure(measure, f"{seconds * 1000:.1f} ms", "shown", True)
