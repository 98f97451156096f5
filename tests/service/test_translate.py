"""``/translate``: images in, images out; and what a training with a source asks of the service."""

import io
import json
import threading
import zipfile
from typing import Any, NamedTuple

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.engine.encoding.formats import FORMATS
from service.images import MAX_ITEMS
from service.planning import make_plan
from service.problems import Problem
from service.report.summary import reproduction
from service.schemas import TrainRequest
from tests.service.checks import assert_problem
from tests.service.conftest import SCHEDULE, Trained
from worker.evaluations import run
from worker.jobs import train_job
from worker.settings import Settings
from worker.store import Store
from worker.store.evaluations import Pending

INVERTED = "inverted-digits"
GAMES: dict[str, dict[str, Any]] = {
    "simgan": {
        "network": {"width": 4, "blocks": 1, "discriminator_width": 6},
        "generator_warm_up": 5,
        "discriminator_warm_up": 5,
    },
    "cyclegan": {"network": {"generator_width": 4, "blocks": 1, "discriminator_width": 4}},
}
FEW = {"measures": ["frechet"], "samples": 50}


class Translating(NamedTuple):
    """Jobs of the two games."""

    simgan: str
    cyclegan: str


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def digits(client: TestClient, store: Store) -> np.ndarray:
    items: np.ndarray = np.array(store.datasets.get("digits").items[:64])
    return items


@pytest.fixture(scope="module")
def inverted(client: TestClient, store: Store) -> str:
    """Digits turned over and inverted, as a dataset of its own."""
    content = npy(255 - store.datasets.get("digits").items[:, ::-1])
    answer = client.post("/datasets", files={"file": ("i.npy", content)}, data={"name": INVERTED})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


def request_for(name: str, **changes: Any) -> dict[str, Any]:
    body = {"dataset": "digits", "source": INVERTED, "recipe": name, "batch_size": 8}
    return {**body, "schedule": SCHEDULE, "game": GAMES[name], **changes}


@pytest.fixture(scope="module")
def translating(client: TestClient, settings: Settings, store: Store, inverted: str) -> Translating:
    def train(recipe: str) -> str:
        answer = client.post("/train", json=request_for(recipe, model=recipe))
        assert answer.status_code == 202, answer.text
        job = store.jobs.get(answer.json()["id"])
        train_job(settings, job, threading.Event())
        assert job.record().status == "succeeded", job.record().error
        return job.id

    return Translating(*map(train, GAMES))


def translate(
    client: TestClient, content: bytes, media_type: str = "application/x-npy", **query: Any
) -> httpx2.Response:
    answer: httpx2.Response = client.post(
        "/translate",
        params={"model": "cyclegan", **query},
        content=content,
        headers={"Content-Type": media_type},
    )
    return answer


def array(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    loaded: np.ndarray = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return loaded


pytestmark = pytest.mark.usefixtures("translating")


@pytest.mark.parametrize(
    ("model", "direction"), [("simgan", "a2b"), ("cyclegan", "a2b"), ("cyclegan", "b2a")]
)
def test_images_come_back_made_over_in_their_order(client, digits, model, direction):
    query = {"model": model, "direction": direction, "format": "npy"}
    together = array(translate(client, npy(digits[:9]), **query))
    assert (together.shape, together.dtype) == (digits[:9].shape, np.uint8)
    alone = array(translate(client, npy(digits[3:4]), **query))
    assert np.array_equal(alone[0], together[3])
    assert not np.array_equal(together, digits[:9])


def test_the_two_directions_are_two_networks(client, digits):
    there = array(translate(client, npy(digits[:2]), format="npy"))
    back = array(translate(client, npy(digits[:2]), format="npy", direction="b2a"))
    assert not np.array_equal(there, back)
    assert np.array_equal(
        there, array(translate(client, npy(digits[:2]), format="npy", direction="a2b"))
    )


def test_every_kind_of_body_gives_the_same_image(client, digits):
    pixels = digits[0][:, :, 0]
    image = png(pixels)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/a.png", image)
    answers = [
        translate(client, image, "image/png"),
        translate(client, buffer.getvalue(), "application/zip"),
        translate(client, npy(pixels[None])),
        client.post(
            "/translate", params={"model": "cyclegan"}, files=[("images", ("0.png", image))]
        ),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


def test_answers_come_in_the_formats_of_sample(client, digits):
    content = npy(digits[:4])
    picture = translate(client, content)
    assert picture.headers["content-type"] == "image/png"
    drawn = Image.open(io.BytesIO(picture.content))
    assert drawn.size == (2 * 16 + 2, 2 * 16 + 2)
    assert json.loads(drawn.text["ringside"])["direction"] == "a2b"
    row = translate(client, content, columns=4)
    assert Image.open(io.BytesIO(row.content)).size == (4 * 16 + 6, 16)
    archive = zipfile.ZipFile(io.BytesIO(translate(client, content, format="zip").content))
    assert [name for name in archive.namelist() if name.endswith(".png")] == [
        f"{index:06d}.png" for index in range(4)
    ]
    body = translate(client, content, format="json").json()
    assert (body["object"], body["n"], len(body["data"])) == ("translations", 4, 4)
    assert body["data"][0]["image"].startswith("data:image/png;base64,")
    asked = client.post(
        "/translate",
        params={"model": "cyclegan"},
        content=content,
        headers={"Content-Type": "application/x-npy", "Accept": "application/x-npy"},
    )
    assert array(asked).shape == digits[:4].shape


def test_an_answer_names_the_checkpoint_that_made_it(client, digits, translating):
    answer = translate(client, npy(digits[:1]), model=translating.cyclegan)
    job = client.get(f"/jobs/{translating.cyclegan}/checkpoints").json()["data"][-1]
    assert answer.headers["ringside-checkpoint"] == job["digest"]
    assert answer.headers["cache-control"] == "no-store"


def test_images_of_other_sizes_and_channels_are_fitted(client):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    made = array(translate(client, png(pixels), "image/png", format="npy"))
    assert made.shape == (1, 16, 16, 1)


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ({"direction": "b2a", "model": "simgan"}, "direction-unknown", "direction"),
        ({"direction": "sideways"}, "validation", "direction"),
        ({"model": "plain"}, "model-draws", "model"),
        ({"model": "points"}, "model-draws", "model"),
        ({"format": "csv"}, "not-acceptable", "format"),
        ({"format": "npy", "layout": "grid"}, "not-acceptable", "format"),
        ({"columns": 0}, "validation", "columns"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_body_is_read(
    client, trained: Trained, query, code, parameter
):
    answer = translate(client, b"never read", "text/plain", **query)
    problem = assert_problem(answer, answer.status_code, code)
    assert answer.status_code in (406, 422)
    assert problem["errors"][0]["parameter"] == parameter


def test_a_layout_means_what_it_does_for_sample(client, digits):
    one = translate(client, npy(digits[:1]), format="png", layout="separate")
    assert one.content == translate(client, npy(digits[:1]), format="png").content
    for count, media_type in ((1, "image/png"), (2, "application/zip")):
        answer = translate(client, npy(digits[:count]), layout="separate")
        assert answer.headers["content-type"] == media_type
    several = translate(client, npy(digits[:2]), format="png", layout="separate")
    assert_problem(several, 406, "not-acceptable")


def test_a_grid_that_its_format_cannot_hold_is_refused(client, digits, monkeypatch):
    monkeypatch.setitem(FORMATS, "webp", FORMATS["webp"]._replace(most_pixels=52))
    fitting = translate(client, npy(digits[:3]), format="webp", columns=1)
    assert Image.open(io.BytesIO(fitting.content)).size == (16, 52)
    refused = translate(client, npy(digits[:4]), format="webp", columns=1)
    problem = assert_problem(refused, 422, "sample-too-large")
    assert (problem["errors"][0]["parameter"], problem["limit"]) == ("columns", 52)
    assert translate(client, npy(digits[:4]), format="png", columns=1).status_code == 200


def test_too_many_images_are_refused_with_the_limit(client):
    content = npy(np.zeros((MAX_ITEMS + 1, 16, 16), dtype=np.uint8))
    assert assert_problem(translate(client, content), 422, "sample-too-large")["limit"] == MAX_ITEMS


def test_all_bad_images_are_named_and_nothing_is_translated(client, digits):
    good = png(digits[0][:, :, 0])
    files = [("images", (f"{n}.png", data)) for n, data in enumerate([good, b"GIF89a", good, b""])]
    answer = client.post("/translate", params={"model": "cyclegan"}, files=files)
    problem = assert_problem(answer, 422, "data-refused")
    assert [error["pointer"] for error in problem["errors"]] == ["/images/1", "/images/3"]


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"not an image", "image/png", 422),
        (b"not a zip", "application/zip", 422),
        (npy(np.zeros((2, 3))), "application/x-npy", 422),
        (b"{}", "application/json", 415),
        (b"", "", 415),
    ],
)
def test_damaged_bodies_are_refused(client, content, media_type, status):
    answer = translate(client, content, media_type)
    assert_problem(answer, status, answer.json()["code"])


@pytest.mark.parametrize("model", GAMES)
def test_a_model_that_translates_is_not_sampled(client, model):
    for answer in (
        client.get("/sample", params={"model": model, "seed": 1}),
        client.get("/latents", params={"model": model, "seed": 1}),
        client.post("/sample", json={"model": model, "latents": [[0.0]]}),
    ):
        assert "/translate" in assert_problem(answer, 422, "model-translates")["detail"]


@pytest.mark.parametrize("model", GAMES)
def test_its_judge_scores_items_by_the_mean_of_their_patches(client, digits, model):
    answer = client.post(
        "/score",
        params={"model": model},
        content=npy(digits[:5]),
        headers={"Content-Type": "application/x-npy"},
    )
    entries = answer.json()["data"]
    assert answer.json()["errors"] == 0
    assert all(0 <= entry["probability"] <= 1 for entry in entries)
    assert all(0 <= entry["percentile_real"] <= 100 for entry in entries)


@pytest.mark.parametrize("recipe", GAMES)
def test_previews_show_items_beside_what_is_made_of_them(
    client, translating, inverted, store, recipe
):
    job = getattr(translating, recipe)
    preview = client.get(f"/jobs/{job}/previews/latest")
    drawn = np.asarray(Image.open(io.BytesIO(preview.content)))
    assert drawn.shape == (8 * 18 - 2, 8 * 18 - 2)
    source = store.datasets.get(inverted)
    tiles = [drawn[:16, column : column + 16, None] for column in range(0, 8 * 18, 18)]
    held_out = source.items[source.held_out]
    shown = [any(np.array_equal(tile, item) for item in held_out) for tile in tiles]
    assert shown[::2] == [True] * 4
    assert not any(shown[1::2])


@pytest.mark.parametrize("recipe", GAMES)
def test_its_job_has_links_plots_and_a_report(client, translating, inverted, recipe):
    job = client.get(f"/jobs/{getattr(translating, recipe)}").json()
    assert job["source"] == inverted
    assert job["links"]["translate"] == f"/translate?model={job['id']}"
    assert "sample" not in job["links"]
    assert client.get(f"/models/{recipe}").json()["links"]["translate"]
    for path in ("plots/losses.png", "plots/filmstrip.png", "report"):
        assert client.get(f"/jobs/{job['id']}/{path}").status_code == 200
    report = client.get(f"/jobs/{job['id']}/report").text
    assert inverted in report


def test_it_is_evaluated_on_what_it_makes_of_its_source(client, translating, settings, store):
    job = translating.simgan
    asked = client.post(f"/jobs/{job}/evaluate", json={"protocol": FEW})
    assert asked.status_code == 202, asked.text
    run(settings, store, Pending(job, asked.json()["id"]))
    found = client.get(asked.json()["links"]["self"]).json()
    assert found["status"] == "succeeded", found["error"]
    assert "frechet" in found["findings"]["figures"]
    assert client.get(found["links"]["neighbours"]).status_code == 200


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"source": None}, "source-missing", "/source"),
        ({"source": "ring"}, "source-shape", "/source"),
        ({"recipe": "cgan", "game": {}}, "source-unused", "/source"),
        ({"dataset": "ring", "source": "ring"}, "translation-needs-images", "/dataset"),
    ],
)
def test_a_source_that_does_not_fit_is_refused_at_once(client, inverted, changes, code, pointer):
    answer = client.post("/train", json=request_for("cyclegan", **changes))
    problem = assert_problem(answer, 422, "config-invalid")
    assert (problem["errors"][0]["code"], problem["errors"][0]["pointer"]) == (code, pointer)


def test_a_source_that_is_not_there_is_named(client):
    answer = client.post("/train", json=request_for("cyclegan", source="nowhere"))
    problem = assert_problem(answer, 422, "dataset-not-found")
    assert problem["errors"][0]["pointer"] == "/source"


def test_without_a_recipe_a_source_is_translated(client, inverted):
    body = {"dataset": "digits", "source": inverted}
    plan = client.post("/train?dry_run=true", json=body).json()
    assert (plan["recipe"], plan["recipe_chosen"]) == ("cyclegan", True)
    assert plan["config"]["source"]["dataset"] == inverted


def test_memory_of_the_source_counts(store, settings, inverted):
    body = TrainRequest(dataset="digits", source=inverted, recipe="simgan")
    needed = make_plan(body, store, settings).plan.estimate["memory_bytes"] + 2 * 1797 * 16 * 16
    enough = settings.model_copy(update={"max_job_memory_bytes": needed})
    assert make_plan(body, store, enough).plan.recipe == "simgan"
    with pytest.raises(Problem) as refused:
        make_plan(body, store, enough.model_copy(update={"max_job_memory_bytes": needed - 1}))
    assert (refused.value.code, refused.value.extra["estimate"]) == ("config-too-large", needed)


def test_a_source_in_use_is_not_deleted_and_one_that_is_gone_stops_nothing_unseen(
    client, settings, store, digits
):
    content = npy(np.rot90(digits, axes=(1, 2)))
    files, name = {"file": ("r.npy", content)}, {"name": "turned"}
    client.post("/datasets", files=files, data=name).raise_for_status()
    job = client.post("/train", json=request_for("cyclegan", source="turned")).json()["id"]
    assert_problem(client.delete("/datasets/turned"), 409, "dataset-in-use")
    client.post(f"/jobs/{job}/cancel").raise_for_status()
    train_job(settings, store.jobs.get(job), threading.Event())
    assert client.delete("/datasets/turned").status_code == 204
    answer = client.post(f"/jobs/{job}/resume", json={"steps": 30})
    assert answer.status_code in (404, 409)


def test_the_report_repeats_the_request_with_its_source(client, store, translating):
    job = store.jobs.get(translating.simgan)
    body = reproduction(job.record(), job.config(), job.start())
    plan = client.post("/train?dry_run=true", json=body)
    assert plan.status_code == 200, plan.text
    assert plan.json()["config"] == json.loads(job.config().model_dump_json())
