"""Requests that must not both succeed, sent at the same time."""

import random
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.checks import assert_problem
from tests.service.conftest import ADDRESS
from tests.service.test_datasets import npz
from worker.settings import Settings
from worker.store import Store

ROUNDS, SEED = 25, 7


def at_once(*requests: Callable[[], httpx2.Response]) -> list[httpx2.Response]:
    """The answers of requests that begin together."""
    begin = threading.Barrier(len(requests))

    def send(request: Callable[[], httpx2.Response]) -> httpx2.Response:
        begin.wait()
        return request()

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(send, requests))


@pytest.fixture
def dataset_id(fresh: TestClient) -> str:
    """A dataset of points that may be deleted."""
    content = npz(points=[[index / 40, 0.5] for index in range(40)])
    answer = fresh.post("/datasets", files={"file": ("points.npz", content)})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


def test_a_dataset_is_deleted_or_trained_on_but_never_both(
    fresh: TestClient, dataset_id: str, tmp_path: Path
) -> None:
    store, pauses = Store(tmp_path / "home"), random.Random(SEED)
    directory, copy = store.home / "datasets" / dataset_id, tmp_path / "copy"
    shutil.copytree(directory, copy)
    body = {"dataset": dataset_id, "steps": 3, "batch_size": 2}
    fresh.post("/train?dry_run=true", json=body).raise_for_status()

    def delete() -> httpx2.Response:
        # So that the deletion meets every part of the other request in some round.
        time.sleep(pauses.uniform(0, 0.03))
        return fresh.delete(f"/datasets/{dataset_id}")

    outcomes = set()
    for _ in range(ROUNDS):
        trained, deleted = at_once(lambda: fresh.post("/train", json=body), delete)
        outcomes.add((trained.status_code, deleted.status_code))
        if deleted.status_code == 204:
            assert_problem(trained, 422, "dataset-not-found")
            shutil.copytree(copy, directory)
        else:
            assert_problem(deleted, 409, "dataset-in-use")
            fresh.post(f"/jobs/{trained.json()['id']}/cancel").raise_for_status()
    assert outcomes == {(202, 409), (422, 204)}


def test_no_more_jobs_are_accepted_than_there_is_room_for(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(home=tmp_path, max_queued_jobs=3)
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        client.get("/datasets/ring").raise_for_status()
        answers = at_once(*[lambda: client.post("/train", json={"dataset": "ring"})] * 8)
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 5
