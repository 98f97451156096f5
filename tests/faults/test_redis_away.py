"""Redis is gone, or accepts connections and never answers: jobs are taken, all else goes on."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.faults.api import Api
from tests.faults.proxy import Mode, Proxy
from worker.redis import EmbeddedRedis
from worker.store import Store

ROUNDS = 40


class Apart:
    """An API that reaches its Redis through a proxy."""

    def __init__(self, directory: Path, trained_home: Path) -> None:
        self.home = directory / "home"
        shutil.copytree(trained_home, self.home)
        self._server = EmbeddedRedis(directory / "redis")
        self._process = self._server.start()
        self.proxy = Proxy(self._server.socket)
        host, port = self.proxy.address
        self.api = Api(self.home, f"redis://{host}:{port}", directory / "api.log")

    def close(self) -> None:
        self.api.close()
        self.proxy.close()
        self._process.terminate()
        self._process.wait()

    def is_connected(self) -> bool:
        checks = self.api.client.get("/readyz").raise_for_status().json()["checks"]
        return bool(checks["redis"])

    def seconds(self, method: str, path: str, **options: Any) -> float:
        """How long an answer takes, which must be a good one."""
        began = time.monotonic()
        self.api.client.request(method, path, **options).raise_for_status()
        return time.monotonic() - began


@pytest.fixture(scope="module")
def running(short_directory: Path, trained_home: Path) -> Iterator[Apart]:
    made = Apart(short_directory, trained_home)
    # The first request of each kind imports what it needs.
    for path in ("/sample?model=points&n=2&seed=1", "/jobs", "/healthz", "/readyz"):
        made.seconds("GET", path)
    made.seconds("POST", "/train", json={"dataset": "ring", "steps": 3})
    yield made
    made.close()


@pytest.fixture(scope="module", params=["drop", "hang"])
def away(
    request: pytest.FixtureRequest, running: Apart, wait_until: Callable[..., Any]
) -> Iterator[Apart]:
    """The same, while Redis is away; it is back afterwards."""
    wait_until(running.is_connected, "Redis")
    mode: Mode = request.param
    running.proxy.mode = mode
    yield running
    running.proxy.mode = "pass"
    wait_until(running.is_connected, "Redis again")


def train(running: Apart) -> tuple[str, float]:
    """A job as accepted, and how long that took."""
    began = time.monotonic()
    job_id: str = running.api.submit()["id"]
    return job_id, time.monotonic() - began


def told(running: Apart, job_id: str) -> list[dict[str, Any]]:
    headers = {"Accept": "application/json"}
    page = running.api.client.get(f"/jobs/{job_id}/events", headers=headers)
    events: list[dict[str, Any]] = page.raise_for_status().json()["data"]
    return events


def test_a_redis_that_is_slow_is_waited_for(running: Apart) -> None:
    running.proxy.delay_seconds = 0.1
    try:
        job_id, seconds = train(running)
    finally:
        running.proxy.delay_seconds = 0.0
    assert seconds < 2.5
    assert [event["type"] for event in told(running, job_id)] == ["job.status"]


def test_a_job_is_accepted_onto_disk_soon(away: Apart) -> None:
    first, first_seconds = train(away)
    second, second_seconds = train(away)
    assert first_seconds < 2.5
    # Who comes next does not wait for the same silence again.
    assert second_seconds < 0.5
    for job_id in (first, second):
        assert Store(away.home).jobs.get(job_id).record().status == "queued"
    assert told(away, first)[-1]["data"] == {"code": "queue-unavailable"}


def test_a_job_goes_on_onto_disk(away: Apart) -> None:
    job_id, _ = train(away)
    away.seconds("POST", f"/jobs/{job_id}/pause")
    assert away.seconds("POST", f"/jobs/{job_id}/resume") < 2.5
    assert Store(away.home).jobs.get(job_id).record().status == "queued"


def test_all_else_answers_as_fast_as_ever(away: Apart) -> None:
    job_id, _ = train(away)
    for path in ("/sample?model=points&n=4&seed=1", "/jobs", "/healthz", f"/jobs/{job_id}"):
        seconds = [away.seconds("GET", path) for _ in range(ROUNDS)]
        assert float(np.percentile(seconds, 99)) < 0.5, path


def test_events_flow(away: Apart) -> None:
    job_id, _ = train(away)
    events = Store(away.home).jobs.get(job_id).events
    after = events.last_id
    with away.api.client.stream(
        "GET",
        f"/jobs/{job_id}/events",
        params={"after": after},
        headers={"Accept": "application/x-ndjson"},
        timeout=httpx2.Timeout(5),
    ) as stream:
        events.append("job.metrics", {"step": 1})
        assert f'"id": {after + 1}' in next(stream.iter_lines())


def test_it_is_ready_but_degraded(away: Apart) -> None:
    answer = away.api.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"] == {"redis": False, "storage": True}
