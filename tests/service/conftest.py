"""A home, a Redis, the application in process, and jobs that were really trained."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from worker.jobs import train_job
from worker.settings import Settings
from worker.store import Store

ADDRESS = "http://127.0.0.1"
STEPS = 20
SCHEDULE = {
    "steps": STEPS,
    "metrics_every": 5,
    "previews_every": 10,
    "checkpoints_every": 10,
}


class Trained(NamedTuple):
    """The jobs of the session: an image model without labels, one with labels, a points model, one
    with codes."""

    plain: str
    conditional: str
    points: str
    codes: str


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), train_threads=1)


@pytest.fixture(scope="session")
def store(settings: Settings) -> Store:
    return Store(settings.home)


@pytest.fixture(scope="session")
def client(settings: Settings, redis_url: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        yield client


@pytest.fixture(scope="session")
def trained(client: TestClient, settings: Settings, store: Store) -> Trained:
    """Models, named like the fields of ``Trained``."""
    small = {"network": {"generator_width": 8, "discriminator_width": 8}}

    def train(name: str, dataset: str, recipe: str, game: dict[str, Any] | None = None) -> str:
        body = {"dataset": dataset, "recipe": recipe, "model": name, "batch_size": 16}
        body |= {"schedule": SCHEDULE, "game": game or {}}
        answer = client.post("/train", json=body)
        assert answer.status_code == 202, answer.text
        job = store.jobs.get(answer.json()["id"])
        train_job(settings, job, threading.Event())
        assert job.record().status == "succeeded"
        return job.id

    return Trained(
        train("plain", "digits", "dcgan", small),
        train("conditional", "digits", "cgan", small),
        train("points", "ring", "points"),
        train("codes", "digits", "infogan", small),
    )


@pytest.fixture
def fresh(tmp_path: Path, redis_url: str) -> Iterator[TestClient]:
    """The application over an empty home."""
    settings = Settings(home=tmp_path / "home")
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        yield client
