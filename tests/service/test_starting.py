"""A training may start from another one's weights, which nobody can take away from it."""

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from service import planning
from tests.service.checks import assert_problem
from tests.service.conftest import SCHEDULE, Trained
from worker.jobs import train_job
from worker.settings import Settings
from worker.store import Store
from worker.store.checkpoints import Checkpoint
from worker.store.job import Job

SMALL = {"network": {"generator_width": 8, "discriminator_width": 8}}
FIRST = "discriminator"


def body(**changes: Any) -> dict[str, Any]:
    asked = {"dataset": "digits", "recipe": "cgan", "game": SMALL, "batch_size": 16}
    return {**asked, "schedule": {**SCHEDULE, "steps": 1}, **changes}


def plan(client: TestClient, **changes: Any) -> Any:
    return client.post("/train?dry_run=true", json=body(**changes))


def train(client: TestClient, settings: Settings, store: Store, **changes: Any) -> Job:
    answer = client.post("/train", json=body(**changes))
    assert answer.status_code == 202, answer.text
    job = store.jobs.get(answer.json()["id"])
    train_job(settings, job, threading.Event())
    assert job.record().status == "succeeded"
    return job


def distance(first: Job, second: Job, player: str) -> float:
    """How far averaged weights are from each other, the counters of batches left out."""
    one, other = (job.checkpoint().tensors(player) for job in (first, second))
    return max(
        float((one[name] - other[name]).abs().max())
        for name in one
        if one[name].is_floating_point()
    )


def test_a_job_goes_on_from_the_weights_it_was_given(
    client: TestClient, settings: Settings, store: Store, trained: Trained
) -> None:
    old = store.jobs.get(trained.conditional)
    slow = {"learning_rate": 1e-9}
    started = train(client, settings, store, start_from=trained.conditional, **slow)
    anew = train(client, settings, store, **slow)
    assert distance(started, old, "generator") < 0.2 < distance(anew, old, "generator")
    assert started.start().digest == old.checkpoint().digest
    assert started.config().start.checkpoint == old.checkpoint().digest


def test_what_it_starts_from_may_be_deleted_before_it_begins(
    client: TestClient, settings: Settings, store: Store
) -> None:
    first = train(client, settings, store)
    answer = client.post("/train", json=body(start_from=first.id))
    assert answer.status_code == 202, answer.text
    assert client.delete(f"/jobs/{first.id}").status_code == 204
    second = store.jobs.get(answer.json()["id"])
    train_job(settings, second, threading.Event())
    assert second.record().status == "succeeded"


def test_frozen_layers_keep_the_weights_they_started_with(
    client: TestClient, settings: Settings, store: Store, trained: Trained
) -> None:
    old = store.jobs.get(trained.conditional)
    job = train(
        client, settings, store, start_from="conditional", freeze_discriminator_layers=2, seed=5
    )
    before, after = (one.checkpoint().tensors("discriminator") for one in (old, job))
    layers = sorted(name for name in before if name.endswith("layer.weight"))
    assert [torch.equal(before[name], after[name]) for name in layers] == [
        index < 2 for index in range(len(layers))
    ]
    training = job.checkpoint().tensors("training")
    assert torch.equal(training[f"discriminator/{layers[0]}"], before[layers[0]])
    assert not torch.equal(training[f"discriminator/{layers[-1]}"], before[layers[-1]])


def test_a_recipe_of_the_same_game_keeps_what_fits(client: TestClient, trained: Trained) -> None:
    answer = plan(client, recipe="acgan", start_from=trained.conditional)
    assert answer.status_code == 200, answer.text


def test_layers_that_do_not_fit_are_not_frozen(client: TestClient, trained: Trained) -> None:
    changes = {"recipe": "acgan", "start_from": trained.conditional}
    problem = assert_problem(
        plan(client, **changes, freeze_discriminator_layers=1), 422, "start-does-not-fit"
    )
    assert problem["errors"][0]["pointer"] == "/freeze_discriminator_layers"


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"start_from": "nobody"}, "start-not-found", "/start_from"),
        ({"start_from": "plain:99"}, "start-not-found", "/start_from"),
        ({"start_from": "points"}, "start-does-not-fit", "/start_from"),
        (
            {"recipe": "semi-supervised", "game": {}, "start_from": "plain"},
            "start-does-not-fit",
            "/start_from",
        ),
        (
            {"start_from": "conditional", "freeze_discriminator_layers": 50},
            "validation",
            "/freeze_discriminator_layers",
        ),
        ({"freeze_discriminator_layers": 1}, "validation", "/freeze_discriminator_layers"),
    ],
)
def test_a_start_that_cannot_be_is_refused(
    client: TestClient, trained: Trained, changes: dict[str, Any], code: str, pointer: str
) -> None:
    problem = assert_problem(plan(client, **changes), 422, code)
    assert problem["errors"][0]["pointer"] == pointer


@pytest.fixture(scope="module")
def old(client: TestClient, settings: Settings, store: Store) -> Job:
    """A job of its own, whose only checkpoint may come to harm."""
    return train(client, settings, store, model="fragile")


@pytest.fixture
def sound(old: Job) -> Iterator[Checkpoint]:
    """The checkpoint, made whole again afterwards."""
    checkpoint = old.checkpoint()
    assert checkpoint is not None
    whole = {path: path.read_bytes() for path in checkpoint.path.iterdir()}
    yield checkpoint
    checkpoint.path.mkdir(exist_ok=True)
    for path, data in whole.items():
        path.unlink(missing_ok=True)
        path.write_bytes(data)


def listed(client: TestClient) -> list[str]:
    return [job["id"] for job in client.get("/jobs").json()["data"]]


@pytest.mark.parametrize("damage", ["torn", "gone"])
@pytest.mark.parametrize(
    "name", ["generator.safetensors", "discriminator.safetensors", "config.json", "manifest.json"]
)
def test_a_damaged_start_is_refused_and_no_job_is_made(
    client: TestClient, sound: Checkpoint, old: Job, name: str, damage: str
) -> None:
    before, path = listed(client), sound.path / name
    data = path.read_bytes()
    path.unlink()
    if damage == "torn":
        path.write_bytes(data[:-2] + b"??")
    answer = client.post("/train", json=body(start_from=old.id))
    assert_problem(answer, 503, "checkpoint-corrupt")
    assert listed(client) == before


@pytest.mark.parametrize("reference", ["fragile", "job"])
def test_a_start_whose_directory_is_gone_is_refused(
    client: TestClient, sound: Checkpoint, old: Job, reference: str
) -> None:
    shutil.rmtree(sound.path)
    start_from = old.id if reference == "job" else reference
    answer = client.post("/train", json=body(start_from=start_from))
    problem = assert_problem(answer, 422, "start-not-found")
    assert problem["errors"][0]["pointer"] == "/start_from"


@pytest.mark.parametrize("moment", ["resolve", "_check_start"])
def test_a_start_that_goes_while_it_is_looked_at_is_refused(
    client: TestClient,
    sound: Checkpoint,
    old: Job,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    before, look = listed(client), getattr(planning, moment)

    def look_and_lose(*arguments: Any) -> Any:
        found = look(*arguments)
        shutil.rmtree(sound.path)
        return found

    monkeypatch.setattr(planning, moment, look_and_lose)
    answer = client.post("/train", json=body(start_from=old.id))
    assert_problem(answer, 503, "checkpoint-corrupt")
    assert listed(client) == before
