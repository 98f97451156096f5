"""``/features``: what the discriminator's layers hold of items, whoever else is in the request."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.routes import features as route
from tests.service.checks import assert_problem

pytestmark = pytest.mark.usefixtures("trained")


def png(value: int = 128) -> bytes:
    buffer = io.BytesIO()
    gradient = Image.linear_gradient("L").resize((16, 16))
    gradient.point(lambda x: (x + value) % 256).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def drawn(client: TestClient, count: int, **query: Any) -> bytes:
    given = {"model": "plain", "seed": 1, "n": count, "format": "npy", **query}
    content: bytes = client.get("/sample", params=given).content
    return content


def ask(client: TestClient, content: bytes, **query: Any) -> httpx2.Response:
    answer: httpx2.Response = client.post(
        "/features",
        params={"model": "plain", **query},
        content=content,
        headers={"Content-Type": "application/x-npy"},
    )
    return answer


def array(response: httpx2.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def layers(client: TestClient, model: str) -> dict[str, list[int]]:
    body = client.get(f"/models/{model}/layers").json()
    return {entry["name"]: entry["shape"] for entry in body["data"]}


@pytest.mark.parametrize("model", ["plain", "conditional", "points", "codes", "plain:1"])
def test_every_listed_layer_can_be_asked_for(client: TestClient, model: str) -> None:
    items = drawn(client, 3, model=model)
    listed = layers(client, model)
    assert "penultimate" in listed
    for name, shape in listed.items():
        assert array(ask(client, items, model=model, layer=name)).shape == (3, *shape)


def test_the_default_is_what_the_head_judges_by(client: TestClient) -> None:
    items = drawn(client, 3)
    assert client.get("/models/plain/layers").json()["default"] == "penultimate"
    by_name = array(ask(client, items, layer="penultimate"))
    assert np.array_equal(array(ask(client, items)), by_name)


def test_features_do_not_depend_on_other_items_or_requests(client: TestClient) -> None:
    items = np.load(io.BytesIO(drawn(client, 64)))
    together = array(ask(client, npy(np.concatenate([items, items]))))
    assert np.array_equal(together[:64], together[64:])
    ready = threading.Barrier(8)

    def alone(place: int) -> Any:
        ready.wait(30)
        return array(ask(client, npy(items[place : place + 1])))[0]

    with ThreadPoolExecutor(8) as threads:
        for place, found in enumerate(threads.map(alone, range(8))):
            assert np.array_equal(found, together[place])


def test_every_kind_of_body_is_understood(client: TestClient) -> None:
    files = [("images", (f"{value}.png", png(value))) for value in (7, 8)]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(png(value)))) for value in (7, 8)])
    by_files = client.post("/features?model=plain", files=files)
    assert np.array_equal(array(by_files), array(ask(client, npy(pixels))))


def test_an_archive_of_arrays_has_names_and_the_layer(client: TestClient) -> None:
    files = [("images", (f"{value}.png", png(value))) for value in (7, 8)]
    query = {"model": "plain", "layer": "stages.0:pool"}
    answer = client.post(
        "/features", params=query, files=files, headers={"Accept": "application/x-npz"}
    )
    assert answer.headers["content-type"] == "application/x-npz"
    found = array(answer)
    assert found["names"].tolist() == ["7.png", "8.png"]
    assert found["layer"] == "stages.0:pool"
    assert np.array_equal(
        found["features"], array(client.post("/features", params=query, files=files))
    )
    again = client.post("/features", params={**query, "format": "npz"}, files=files)
    assert again.content == answer.content


def test_items_are_judged_under_the_label_asked_for(client: TestClient) -> None:
    items = drawn(client, 3, model="conditional")
    assert array(ask(client, items, model="conditional", label="3")).shape[0] == 3
    assert_problem(ask(client, items, label="3"), 422, "model-unconditional")
    assert_problem(ask(client, items, model="conditional", label="x"), 422, "label-unknown")


def test_unknown_layers_are_refused_with_those_that_exist(client: TestClient) -> None:
    problem = assert_problem(ask(client, drawn(client, 1), layer="secret"), 422, "layer-unknown")
    assert "stages.0:pool" in problem["detail"]
    assert "secret" not in problem["detail"]
    assert problem["errors"][0]["parameter"] == "layer"


def test_bad_items_are_named_and_nothing_is_computed(client: TestClient) -> None:
    files = [("images", ("a.png", png())), ("images", ("b.png", b"no image"))]
    problem = assert_problem(client.post("/features?model=plain", files=files), 422, "data-refused")
    assert problem["errors"][0]["pointer"] == "/images/1"


def test_answers_that_would_be_too_large_are_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "MAX_VALUES", 1000)
    problem = assert_problem(
        ask(client, drawn(client, 3), layer="stages.0"), 422, "sample-too-large"
    )
    assert problem["limit"] == 1000
    assert ":pool" in problem["detail"]
    assert ask(client, drawn(client, 3), layer="stages.0:pool").status_code == 200


def test_other_formats_are_not_acceptable(client: TestClient) -> None:
    problem = assert_problem(ask(client, drawn(client, 1), format="png"), 406, "not-acceptable")
    assert problem["supported"] == ["npy", "npz"]


def test_layers_of_models_that_do_not_exist_are_not_found(client: TestClient) -> None:
    assert_problem(client.get("/models/plian/layers"), 404, "model-not-found")
    assert_problem(client.get("/models/plain:9/layers"), 404, "version-not-found")
