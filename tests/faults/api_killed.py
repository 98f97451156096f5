"""Kills an API between what it does and what it answers, and counts what comes of it."""

import random
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx2

from tests.faults.api import Api
from worker.store import Store

IN_FLIGHT = 6
_LONGEST_SECONDS, _PATIENCE_SECONDS = 0.003, 10.0


class Report(NamedTuple):
    """What came of keys whose API was killed while their first requests were at work.

    ``duplicates`` are jobs beyond one per key; ``lost`` are keys without the job that they were
    promised; ``cut_off`` are jobs that were made although their reply was lost.
    """

    trials: int
    jobs: int
    duplicates: int
    lost: int
    cut_off: int


def lost_replies(api: Api, trials: int, seed: int) -> Report:
    """Send as many keyed requests, kill the API at random moments, replay all of them."""
    moments = random.Random(seed)
    names = [f"trial-{seed}-{number}" for number in range(trials)]
    promised: dict[str, str] = {}
    replayed: dict[str, str] = {}
    cut_off = 0
    for start in range(0, trials, IN_FLIGHT):
        chosen = names[start : start + IN_FLIGHT]
        # The first request after a start takes a second, which would hide the moments of interest.
        api.submit()
        answers = _answers_until_killed(api, chosen, moments)
        cut_off += _jobs(api, chosen).total() - len(answers)
        api.start()
        promised |= answers
        replayed |= {name: _train(api, name) for name in chosen}
    jobs = _jobs(api, names)
    return Report(
        trials=trials,
        jobs=jobs.total(),
        duplicates=jobs.total() - len(jobs),
        lost=trials - sum(promised.get(name, replayed[name]) == replayed[name] for name in jobs),
        cut_off=cut_off,
    )


def _jobs(api: Api, names: Iterable[str]) -> Counter[str]:
    """How many jobs lie on disk under each of the names that have any."""
    wanted = set(names)
    found = (job.record().model for job in Store(api.home).jobs.all())
    return Counter(name for name in found if name in wanted)


def _answers_until_killed(api: Api, names: list[str], moments: random.Random) -> dict[str, str]:
    """The jobs promised by the replies that came before, or in spite of, a kill -9.

    It comes some milliseconds after some of the jobs are on disk.
    """

    def answer(name: str) -> str | None:
        try:
            return _train(api, name)
        except httpx2.TransportError:
            return None

    jobs = api.home / "jobs"
    wanted = len(list(jobs.glob("job_*"))) + moments.randint(1, len(names))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with ThreadPoolExecutor(len(names)) as threads:
        asked = {name: threads.submit(answer, name) for name in names}
        while len(list(jobs.glob("job_*"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(moments.uniform(0, _LONGEST_SECONDS))
        api.signal()
        api.wait()
        found = {name: future.result() for name, future in asked.items()}
    return {name: job_id for name, job_id in found.items() if job_id}


def _train(api: Api, name: str) -> str:
    body = {"dataset": "ring", "steps": 3, "model": name}
    # A connection of its own: one that is kept alive would fail at the first use after a restart.
    answer = httpx2.post(
        f"{api.url}/train", json=body, headers={**api.headers, "Idempotency-Key": name}, timeout=30
    )
    job_id: str = answer.raise_for_status().json()["id"]
    return job_id
