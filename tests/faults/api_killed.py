"""Kills an API between what it does and what it answers, and counts what comes of it."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx2

from tests.faults.api import Api
from worker.store import Store

IN_FLIGHT = 6
# An accepted request takes about 20 ms alone, and six at once about 60.
_LONGEST_SECONDS = 0.06


class Report(NamedTuple):
    """What came of keys whose first request was cut off by a kill -9, or nearly so.

    ``duplicates`` are jobs beyond one per key; ``lost`` are keys without the job that they were
    promised; ``unanswered`` tells how many kills came before the reply.
    """

    trials: int
    jobs: int
    duplicates: int
    lost: int
    unanswered: int


def lost_replies(api: Api, trials: int, seed: int) -> Report:
    """Send as many keyed requests, kill the API at random moments, replay all of them."""
    moments = random.Random(seed)
    names = [f"trial-{seed}-{number}" for number in range(trials)]
    api.client.get("/datasets/ring").raise_for_status()
    promised: dict[str, str] = {}
    replayed: dict[str, str] = {}
    for start in range(0, trials, IN_FLIGHT):
        chosen = names[start : start + IN_FLIGHT]
        promised |= _answers_until_killed(api, chosen, moments.uniform(0, _LONGEST_SECONDS))
        api.start()
        replayed |= {name: _train(api, name) for name in chosen}
    jobs = Counter(job.record().model for job in Store(api.home).jobs.all())
    made = [jobs[name] for name in names]
    return Report(
        trials=trials,
        jobs=sum(made),
        duplicates=sum(count - 1 for count in made if count),
        lost=sum(promised.get(name, replayed[name]) != replayed[name] for name in names)
        + made.count(0),
        unanswered=trials - len(promised),
    )


def _answers_until_killed(api: Api, names: list[str], seconds: float) -> dict[str, str]:
    """The jobs promised by the replies that came before, and in spite of, a kill -9."""

    def answer(name: str) -> str | None:
        try:
            return _train(api, name)
        except httpx2.TransportError:
            return None

    with ThreadPoolExecutor(len(names)) as threads:
        asked = {name: threads.submit(answer, name) for name in names}
        time.sleep(seconds)
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
