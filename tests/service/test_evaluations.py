"""``POST .../evaluate`` and what it leads to: accepted without a queue, refused before any work."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.checks import assert_problem
from tests.service.conftest import ADDRESS
from tests.worker.builders import SCHEDULE, make_job, train
from worker.best import conclude
from worker.evaluations import run
from worker.settings import Settings
from worker.store import Store
from worker.store.epochs import Loss
from worker.store.evaluations import Pending

LOSS = Loss(code="process-lost", detail="it ended")
STEPS = SCHEDULE["steps"]
FEW: dict[str, Any] = {"measures": ["frechet"], "samples": 40, "features": "pixels"}


class Trained(NamedTuple):
    """Jobs of these tests' own: an image model and a points model, each named like its field."""

    images: str
    points: str


@pytest.fixture(scope="session")
def trained(store: Store, settings: Settings) -> Trained:
    def job(recipe: str, name: str) -> str:
        made = make_job(store, recipe, name)
        train(made, settings.home)
        return made.id

    return Trained(job("dcgan", "ev-images"), job("points", "ev-points"))


@pytest.fixture(autouse=True)
def nothing_pending(store: Store) -> Iterator[None]:
    """Whatever a test asked for is gone after it, so that the next finds room."""
    yield
    for pending in store.evaluations.pending():
        shutil.rmtree(store.evaluations.at(pending).path)
        store.evaluations.forget(pending)


def ask(client: TestClient, job: str, protocol: dict[str, Any], **body: Any) -> Any:
    return client.post(f"/jobs/{job}/evaluate", json={"protocol": protocol, **body})


def do(settings: Settings, store: Store, evaluation: dict[str, Any]) -> None:
    run(settings, store, Pending(evaluation["job"], evaluation["id"]))


def test_an_evaluation_is_accepted_done_and_shown(
    client: TestClient, trained: Trained, settings: Settings, store: Store
) -> None:
    accepted = ask(client, trained.images, {**FEW, "features": "random"})
    assert accepted.status_code == 202, accepted.text
    evaluation = accepted.json()
    here = accepted.headers["location"]
    assert here == f"/jobs/{trained.images}/evaluations/{evaluation['id']}"
    assert (evaluation["status"], evaluation["step"]) == ("queued", STEPS)
    assert evaluation["model"] == f"{trained.images}:{STEPS}"
    assert_problem(client.get(f"{here}/neighbours.png"), 404, "not-found")
    assert client.get(here).json() == evaluation
    do(settings, store, evaluation)
    done = client.get(here).json()
    assert done["status"] == "succeeded"
    assert done["findings"]["figures"]["frechet"]["better"] == "lower"
    assert done["findings"]["protocol"]["features"] == "random"
    picture = client.get(done["links"]["neighbours"])
    assert picture.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.format == "PNG"
    assert done in client.get(f"/jobs/{trained.images}/evaluations").json()["data"]


def test_the_same_question_has_the_same_answer(
    client: TestClient, trained: Trained, settings: Settings, store: Store
) -> None:
    first = ask(client, trained.points, FEW)
    again = ask(client, trained.points, FEW)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    do(settings, store, first.json())
    done = ask(client, trained.points, FEW)
    assert (done.status_code, done.json()["status"]) == (200, "succeeded")
    assert "retry-after" not in done.headers
    assert done.headers["location"] == first.headers["location"]


def test_a_model_is_evaluated_by_any_of_its_names(client: TestClient, trained: Trained) -> None:
    client.put("/models/ev-points/aliases/prod", json={"version": 1})
    names = ["ev-points", "ev-points:1", "ev-points@prod"]
    names += [trained.points, f"{trained.points}:{STEPS}"]
    answers = [client.post(f"/models/{name}/evaluate", json={"protocol": FEW}) for name in names]
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    client.delete("/models/ev-points/aliases/prod")
    assert_problem(client.post("/models/nobody/evaluate"), 404, "model-not-found")


def test_without_a_body_the_newest_checkpoint_is_measured_as_the_job_says(
    client: TestClient, trained: Trained
) -> None:
    answer = client.post(f"/jobs/{trained.points}/evaluate")
    assert answer.status_code == 202, answer.text
    config = client.get(f"/jobs/{trained.points}/config").json()
    assert answer.json()["protocol"] == config["referee"]["protocol"]
    assert answer.json()["step"] == STEPS


def test_each_checkpoint_shows_its_figures_its_preview_and_whether_it_is_the_best(
    client: TestClient, settings: Settings, store: Store
) -> None:

    job = make_job(store, "points", referee={"protocol": FEW})
    train(job, settings.home)
    before = client.get(f"/jobs/{job.id}/checkpoints").json()["data"]
    assert [(one["measures"], one["best"]) for one in before] == [({}, False)] * 2
    assert before[0]["preview"] == f"/jobs/{job.id}/previews/4"
    for step in (4, 8):
        answer = client.post(f"/jobs/{job.id}/evaluate", json={"step": step})
        do(settings, store, answer.json())
    after = client.get(f"/jobs/{job.id}/checkpoints").json()["data"]
    assert [one["best"] for one in after].count(True) == 1
    for one in after:
        assert one["measures"]["frechet"]["value"] >= 0
        assert client.get(one["preview"]).status_code == 200


def test_a_change_of_the_protocol_is_a_merge_patch(client: TestClient, trained: Trained) -> None:
    asked = ask(client, trained.points, {"samples": 40, "measures": ["manifold", "frechet"]})
    protocol = asked.json()["protocol"]
    assert (protocol["samples"], protocol["measures"]) == (40, ["frechet", "manifold"])
    assert protocol["features"] == "auto"
    reset = ask(client, trained.points, {"samples": None})
    assert reset.json()["protocol"]["samples"] == 2000


@pytest.mark.parametrize(
    ("protocol", "pointer"),
    [
        ({"samples": 19}, "/protocol/samples"),
        ({"samples": "40"}, "/protocol/samples"),
        ({"measures": []}, "/protocol/measures"),
        ({"measures": ["beauty"]}, "/protocol/measures/0"),
        ({"seeds": 1}, "/protocol/seeds"),
        ({"features": "vgg"}, "/protocol/features"),
    ],
)
def test_a_protocol_out_of_bounds_is_refused(
    client: TestClient, trained: Trained, protocol: dict[str, Any], pointer: str
) -> None:
    problem = assert_problem(ask(client, trained.images, protocol), 422, "validation")
    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("job", "protocol", "code"),
    [
        ("images", {"features": "inception"}, "evaluation-impossible"),
        ("points", {"features": "inception"}, "evaluation-impossible"),
        ("points", {"features": "random"}, "evaluation-impossible"),
        ("images", {"samples": 20_001}, "evaluation-too-large"),
    ],
)
def test_what_could_not_be_measured_is_refused_before_any_work(
    client: TestClient,
    store: Store,
    trained: Trained,
    job: str,
    protocol: dict[str, Any],
    code: str,
) -> None:
    problem = assert_problem(ask(client, getattr(trained, job), protocol), 422, code)
    assert problem["errors"][0]["pointer"].startswith("/protocol/")
    assert not store.evaluations.pending()


@pytest.mark.parametrize(
    ("changes", "samples", "status"),
    [
        ({}, 2000, 422),
        ({}, 640, 202),
        ({}, 641, 422),
        ({"evaluation_timeout_seconds": 1200}, 2000, 202),
        ({"evaluation_timeout_seconds": 1}, 20, 422),
        ({"evaluation_device": "cuda"}, 2000, 202),
    ],
)
def test_inception_that_would_not_end_in_time_is_refused_before_any_work(
    settings: Settings, trained: Trained, changes: dict[str, Any], samples: int, status: int
) -> None:
    given = {"inception_weights": Path("weights.pth"), **changes}
    app = create_app(settings.model_copy(update=given), "unix:///tmp/no-such-redis.sock")
    protocol = {"features": "inception", "samples": samples}
    with TestClient(app, base_url=ADDRESS) as client:
        answer = ask(client, trained.images, protocol)
        assert answer.status_code == status
        body = {"dataset": "digits", "referee": {"protocol": protocol}}
        training = client.post("/train?dry_run=true", json=body)
        assert (training.status_code == 422) == (status == 422), training.text
    if status == 422:
        problem = assert_problem(answer, 422, "evaluation-too-large")
        assert "RINGSIDE_EVALUATION_TIMEOUT_SECONDS" in problem["detail"]
        assert ("ask for 640 samples" in problem["detail"]) == (samples > 20)
        assert_problem(training, 422, "evaluation-too-large")


def test_a_classifier_needs_labels(fresh: TestClient, tmp_path: Path) -> None:

    job = make_job(Store(tmp_path / "home"), "points")
    space = job.config().space.model_copy(update={"classes": ()})
    job.replace_config(job.config().model_copy(update={"space": space}))
    train(job, tmp_path / "home")
    answer = ask(fresh, job.id, {"features": "classifier"})
    assert_problem(answer, 422, "evaluation-impossible")


def test_unknown_steps_jobs_and_evaluations_are_not_found(
    client: TestClient, trained: Trained
) -> None:
    assert_problem(ask(client, trained.images, FEW, step=7), 404, "checkpoint-not-found")
    assert_problem(ask(client, "job_" + "0" * 26, FEW), 404, "job-not-found")
    here = f"/jobs/{trained.images}/evaluations"
    for name in ("ev_" + "0" * 32, "%2e%2e", "job.json"):
        answer = client.get(f"{here}/{name}")
        assert answer.status_code == 404, name
    assert_problem(client.get(f"{here}/ev_{'0' * 32}/neighbours.png"), 404, "evaluation-not-found")
    queued = client.post("/train", json={"dataset": "ring", "steps": 5}).json()["id"]
    assert_problem(client.post(f"/jobs/{queued}/evaluate"), 404, "checkpoint-not-found")
    client.post(f"/jobs/{queued}/cancel")


def test_a_job_whose_dataset_is_gone_is_not_evaluated(fresh: TestClient, tmp_path: Path) -> None:

    store = Store(tmp_path / "home")
    job = make_job(store, "points")
    train(job, store.home)
    (store.home / "datasets" / job.config().dataset).rename(tmp_path / "away")
    assert_problem(ask(fresh, job.id, FEW), 409, "dataset-not-found")


def test_more_than_may_be_pending_are_refused_and_none_needs_redis(
    settings: Settings, trained: Trained, store: Store
) -> None:
    limited = settings.model_copy(update={"max_pending_evaluations": 2})
    app = create_app(limited, "unix:///tmp/no-such-redis.sock")
    with TestClient(app, base_url=ADDRESS) as client:
        asked = [ask(client, trained.points, {**FEW, "seed": seed}) for seed in range(100, 103)]
        assert [answer.status_code for answer in asked] == [202, 202, 503]
        assert_problem(asked[2], 503, "too-many-evaluations")
        assert asked[2].headers["retry-after"]
        # What is pending already takes no further room.
        assert ask(client, trained.points, {**FEW, "seed": 100}).status_code == 202
    assert len(store.evaluations.pending()) == 2


def test_one_that_failed_says_why_and_can_be_asked_for_again(
    client: TestClient, trained: Trained, settings: Settings, store: Store
) -> None:
    evaluation = ask(client, trained.points, {**FEW, "seed": 77}).json()
    pending = Pending(evaluation["job"], evaluation["id"])
    for _ in range(3):
        store.evaluations.begin(store.evaluations.at(pending))
        store.evaluations.put_back(store.evaluations.at(pending), LOSS, 3)
    conclude(store, pending)
    failed = client.get(evaluation["links"]["self"]).json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "process-lost")
    again = ask(client, trained.points, {**FEW, "seed": 77})
    assert (again.status_code, again.json()["status"]) == (202, "queued")
