"""``/score`` of models whose discriminator names classes: the semi-supervised game and AC-GAN."""

import io
import threading
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.service.checks import assert_problem
from tests.service.conftest import SCHEDULE
from worker.jobs import train_job
from worker.settings import Settings
from worker.store import Store

DIGITS = [str(digit) for digit in range(10)]
SMALL: dict[str, Any] = {
    "semi-supervised": {
        "network": {"generator_widths": [16], "discriminator_widths": [32, 16]},
        "labelled_per_class": 10,
    },
    "acgan": {"network": {"generator_width": 8, "discriminator_width": 8}},
}


@pytest.fixture(scope="module", params=SMALL)
def classifier(
    request: pytest.FixtureRequest, client: TestClient, settings: Settings, store: Store
) -> str:
    """The name of a trained model that names digits."""
    recipe: str = request.param
    body = {"dataset": "digits", "recipe": recipe, "model": recipe, "game": SMALL[recipe]}
    answer = client.post("/train", json={**body, "batch_size": 16, "schedule": SCHEDULE})
    assert answer.status_code == 202, answer.text
    job = store.jobs.get(answer.json()["id"])
    train_job(settings, job, threading.Event())
    assert job.record().status == "succeeded"
    return recipe


def score(client: TestClient, model: str, items: int) -> list[dict[str, Any]]:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).integers(0, 256, (items, 16, 16), dtype=np.uint8))
    headers = {"Content-Type": "application/x-npy"}
    answer = client.post(
        "/score", params={"model": model}, content=buffer.getvalue(), headers=headers
    )
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_a_score_says_how_probable_each_label_is(client: TestClient, classifier: str) -> None:
    for entry in score(client, classifier, 11):
        assert list(entry["labels"]) == DIGITS
        assert sum(entry["labels"].values()) == pytest.approx(1, abs=1e-5)
        assert entry["label"] == max(entry["labels"], key=entry["labels"].get)
        assert 0 < entry["probability"] < 1


def test_label_probabilities_do_not_depend_on_neighbours(
    client: TestClient, classifier: str
) -> None:
    together = score(client, classifier, 11)
    assert score(client, classifier, 1)[0]["labels"] == together[0]["labels"]


def test_a_label_is_refused_where_the_model_names_labels_itself(
    client: TestClient, classifier: str
) -> None:
    query = {"model": classifier, "label": "3"}
    refused = client.post("/score", params=query, content=b"never read")
    problem = assert_problem(refused, 422, "model-names-labels")
    assert problem["errors"][0]["parameter"] == "label"
    assert "trained without" not in problem["detail"]


def test_acgan_is_sampled_with_labels(client: TestClient, classifier: str) -> None:
    if classifier == "acgan":
        query = {"model": classifier, "n": 2, "seed": 3, "label": "3"}
        assert client.get("/sample", params=query).status_code == 200


@pytest.mark.usefixtures("trained")
def test_a_model_that_names_no_classes_has_none(client: TestClient) -> None:
    for model in ("plain", "conditional"):
        assert score(client, model, 1)[0]["labels"] is None


def test_a_semi_supervised_model_is_sampled_without_labels(
    client: TestClient, classifier: str
) -> None:
    query = {"model": classifier, "n": 2, "seed": 3, "format": "npy"}
    assert client.get("/sample", params=query).status_code == 200
    if classifier == "semi-supervised":
        refused = client.get("/sample", params={**query, "label": "3"})
        assert_problem(refused, 422, "model-unconditional")


def test_more_labels_than_a_class_has_are_refused_before_a_worker_is_taken(
    client: TestClient,
) -> None:
    game = {"labelled_per_class": 1_000}
    body = {"dataset": "digits", "recipe": "semi-supervised", "game": game}
    problem = assert_problem(client.post("/train", json=body), 422, "validation")
    assert problem["errors"][0]["pointer"] == "/game/labelled_per_class"
    assert 100 < problem["limit"] < 200
    body["game"] = {"labelled_per_class": problem["limit"]}
    assert client.post("/train", json=body, params={"dry_run": True}).status_code == 200


def test_a_dataset_without_labels_is_refused(client: TestClient) -> None:
    body = {"dataset": "ring", "recipe": "semi-supervised"}
    problem = assert_problem(client.post("/train", json=body), 422, "config-invalid")
    assert problem["errors"][0]["code"] == "dataset-unlabelled"


def test_the_report_of_a_semi_supervised_training_tells_its_settings(
    client: TestClient, classifier: str, store: Store
) -> None:
    job = store.models.get(classifier).version(None).job
    page = client.get(f"/jobs/{job}/report")
    assert page.status_code == 200
    if classifier == "semi-supervised":
        assert "labelled per class" in page.text
