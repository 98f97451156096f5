"""``/sample`` and ``/latents``: equal requests give equal bytes; errors say what to do."""

import base64
import email
import io
import json
import zipfile
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from ganmodels.spaces import ImageSpace
from service.drawing import MAX_IMAGES
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.samples import Look, Samples
from tests.service.checks import assert_problem
from tests.service.conftest import STEPS, Trained

pytestmark = pytest.mark.usefixtures("trained")


def sample(client: TestClient, accept: str = "*/*", **parameters: Any) -> httpx2.Response:
    answer: httpx2.Response = client.get(
        "/sample", params={"model": "plain", **parameters}, headers={"Accept": accept}
    )
    return answer


def array(response: httpx2.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def picture(response: httpx2.Response) -> Image.Image:
    assert response.status_code == 200, response.text
    return Image.open(io.BytesIO(response.content))


@pytest.mark.parametrize(
    ("format_", "media_type", "kind"),
    [("png", "image/png", "PNG"), ("webp", "image/webp", "WEBP"), ("jpeg", "image/jpeg", "JPEG")],
)
def test_pictures_come_in_the_asked_format(
    client: TestClient, format_: str, media_type: str, kind: str
) -> None:
    by_name = sample(client, format=format_, n=4, seed=1)
    by_accept = sample(client, media_type, n=4, seed=1)
    assert by_name.headers["content-type"] == media_type
    assert picture(by_name).format == kind
    assert picture(by_name).size == (2 * 16 + 2, 2 * 16 + 2)
    assert by_name.content == by_accept.content


def test_webp_is_lossless(client: TestClient) -> None:
    png = picture(sample(client, seed=1)).convert("RGB")
    webp = picture(sample(client, seed=1, format="webp")).convert("RGB")
    assert np.array_equal(np.asarray(png), np.asarray(webp))


def test_a_browser_is_shown_a_picture(client: TestClient) -> None:
    answer = sample(client, "text/html,application/xhtml+xml,*/*;q=0.8", seed=1)
    assert answer.headers["content-type"].startswith("image/")


def test_an_image_depends_on_seed_and_index_alone(client: TestClient) -> None:
    batch = array(sample(client, n=16, seed=7, format="npy"))
    for index in (0, 3, 9, 15):
        alone = array(sample(client, n=1, seed=7, offset=index, format="npy"))
        assert np.array_equal(batch[index], alone[0])


def test_conditional_images_depend_on_seed_and_index_alone(client: TestClient) -> None:
    given = {"model": "conditional", "format": "npy", "seed": 7}
    batch = array(sample(client, n=12, **given))
    assert np.array_equal(batch[5], array(sample(client, offset=5, **given))[0])
    cycled = array(sample(client, n=12, label="1,2,3", **given))
    assert np.array_equal(cycled[4], array(sample(client, offset=4, label="1,2,3", **given))[0])
    assert np.array_equal(cycled[4], array(sample(client, offset=4, label="2", **given))[0])


def test_seeds_give_different_images(client: TestClient) -> None:
    first = array(sample(client, seed=1, format="npy"))
    assert not np.array_equal(first, array(sample(client, seed=2, format="npy")))


def test_arrays_are_bytes_in_the_order_of_pictures(client: TestClient) -> None:
    images = array(sample(client, n=3, seed=1, format="npy"))
    assert images.dtype == np.uint8
    assert images.shape == (3, 16, 16, 1)
    shown = np.asarray(picture(sample(client, seed=1, offset=2)))
    assert np.array_equal(images[2, :, :, 0], shown)


def test_a_random_seed_is_echoed_and_gives_the_same_bytes(client: TestClient) -> None:
    first = sample(client, n=2)
    assert first.headers["cache-control"] == "no-store"
    again = sample(client, n=2, seed=first.headers["ringside-seed"])
    assert again.content == first.content
    assert sample(client, n=2).headers["ringside-seed"] != first.headers["ringside-seed"]


def test_a_png_carries_what_made_it(client: TestClient) -> None:
    answer = sample(client, model="conditional:1", n=2, seed=9, offset=4, label="3,5")
    carried = json.loads(picture(answer).info["ringside"])
    assert carried["model"] == "conditional:1"
    assert (carried["seed"], carried["offset"], carried["n"]) == (9, 4, 2)
    assert carried["labels"] == ["3", "5"]
    assert carried["checkpoint"] == answer.headers["ringside-checkpoint"]


def test_every_png_of_an_answer_carries_what_made_it(client: TestClient) -> None:
    answer = sample(client, n=2, seed=9, format="zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        one = Image.open(io.BytesIO(archive.read("000001.png")))
    assert json.loads(one.info["ringside"])["seed"] == 9
    assert json.loads(one.info["ringside"])["offset"] == 1


def test_an_archive_holds_images_and_a_manifest(client: TestClient) -> None:
    answer = sample(client, n=3, seed=1, offset=5, format="zip", model="conditional", label="4")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        images = [np.asarray(Image.open(archive.open(e["name"]))) for e in manifest["data"]]
    assert [entry["index"] for entry in manifest["data"]] == [5, 6, 7]
    assert {entry["label"] for entry in manifest["data"]} == {"4"}
    arrays = sample(client, n=3, seed=1, offset=5, format="npy", model="conditional", label="4")
    assert np.array_equal(np.stack(images), array(arrays)[..., 0])


def test_json_holds_images_and_labels(client: TestClient) -> None:
    body = sample(client, "application/json", model="conditional", n=2, seed=1).json()
    assert body["object"] == "samples"
    assert [entry["index"] for entry in body["data"]] == [0, 1]
    assert all(entry["label"] in "0123456789" for entry in body["data"])
    image = base64.b64decode(body["data"][0]["image"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(image)).size == (16, 16)


def test_layout_separate_gives_one_file_per_image(client: TestClient) -> None:
    assert sample(client, n=3, layout="separate").headers["content-type"] == "application/zip"
    assert sample(client, n=3, layout="grid").headers["content-type"] == "image/png"
    problem = assert_problem(
        sample(client, n=3, layout="grid", format="npy"), 406, "not-acceptable"
    )
    assert "png" in problem["supported"]


def test_columns_shape_the_grid(client: TestClient) -> None:
    assert picture(sample(client, n=6, columns=6)).size == (6 * 18 - 2, 16)
    assert picture(sample(client, n=6, columns=1)).size == (16, 6 * 18 - 2)


@pytest.mark.parametrize("suffix", ["", ":1", "@best"])
def test_a_model_has_several_names(client: TestClient, trained: Trained, suffix: str) -> None:
    client.put("/models/plain/aliases/best", json={"version": 1})
    by_name = array(sample(client, model=f"plain{suffix}", seed=1, format="npy"))
    by_job = array(sample(client, model=f"{trained.plain}:{STEPS}", seed=1, format="npy"))
    assert np.array_equal(by_name, by_job)


def test_earlier_checkpoints_can_be_sampled(client: TestClient, trained: Trained) -> None:
    early = array(sample(client, model=f"{trained.plain}:10", seed=1, format="npy"))
    late = array(sample(client, model=trained.plain, seed=1, format="npy"))
    assert not np.array_equal(early, late)


def test_pinned_model_and_seed_are_cached_for_ever(client: TestClient, trained: Trained) -> None:
    assert "immutable" in sample(client, model="plain:1", seed=1).headers["cache-control"]
    # A job may train a step again, so job:step is no pin.
    for model in ("plain", trained.plain, f"{trained.plain}:10"):
        assert sample(client, model=model, seed=1).headers["cache-control"] == "no-cache"


def test_the_same_sample_is_not_sent_twice(client: TestClient) -> None:
    first = sample(client, n=2, seed=1)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    query = {"model": "plain", "n": 2, "seed": 1}
    again = client.get("/sample", params=query, headers={"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    assert again.headers["cache-control"] == first.headers["cache-control"]


def test_every_parameter_changes_the_etag(client: TestClient) -> None:
    given: dict[str, Any] = {"model": "conditional", "n": 2, "seed": 1}
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 2},
        {"n": 3},
        {"offset": 1},
        {"label": "1"},
        {"truncation": 0.5},
        {"columns": 1},
        {"size": 20},
        {"size": 20, "resample": "nearest"},
        {"format": "webp"},
        {"format": "webp", "quality": 50},
        {"model": "plain"},
    ]
    etags = [sample(client, **{**given, **change}).headers["etag"] for change in changes]
    assert len(set(etags)) == len(changes)


def test_truncation_zero_gives_the_same_image_for_every_seed(client: TestClient) -> None:
    first = array(sample(client, seed=1, truncation=0, format="npy"))
    assert np.array_equal(first, array(sample(client, seed=2, truncation=0, format="npy")))


def test_labels_go_by_name_or_number(client: TestClient) -> None:
    given = {"model": "conditional", "seed": 1, "format": "npy"}
    three = array(sample(client, label="3", **given))
    assert not np.array_equal(three, array(sample(client, label="4", **given)))


def test_all_labels_come_in_turn(client: TestClient) -> None:
    given = {"model": "conditional", "n": 12, "seed": 1, "format": "json"}
    listed = sample(client, label="0,1,2,3,4,5,6,7,8,9", **given).json()
    every = sample(client, label="all", **given).json()
    assert every == listed
    assert [entry["label"] for entry in every["data"]] == [str(i % 10) for i in range(12)]


@pytest.mark.parametrize("format_", ["png", "webp", "jpeg"])
def test_points_are_plotted(client: TestClient, format_: str) -> None:
    drawn = picture(sample(client, model="points", n=100, seed=1, format=format_))
    assert min(drawn.size) >= 256


def test_points_come_as_numbers(client: TestClient) -> None:
    given = {"model": "points", "n": 100, "seed": 1}
    values = array(sample(client, format="npy", **given))
    assert values.shape == (100, 2)
    as_json = sample(client, format="json", **given).json()["data"]
    assert np.allclose([entry["point"] for entry in as_json], values)
    lines = sample(client, format="csv", **given).text.splitlines()
    assert len(lines) == 101
    assert np.allclose([float(x) for x in lines[1].split(",")], values[0])


def test_points_depend_on_seed_and_index_alone(client: TestClient) -> None:
    given = {"model": "points", "seed": 1, "format": "npy"}
    many = array(sample(client, n=1000, **given))
    assert np.array_equal(many[777], array(sample(client, offset=777, **given))[0])


def test_points_fit_no_archive_of_images(client: TestClient) -> None:
    assert_problem(sample(client, model="points", format="zip"), 406, "not-acceptable")
    assert_problem(sample(client, model="plain", format="csv"), 406, "not-acceptable")


@pytest.mark.parametrize("model", ["plain", "conditional", "points"])
def test_given_latents_give_the_items_of_their_seed(client: TestClient, model: str) -> None:
    query = {"model": model, "seed": 5, "n": 3, "offset": 2, "truncation": 0.8}
    given = client.get("/latents", params={**query, "format": "json"}).json()
    body = {"model": model, "latents": given["latents"], "labels": given["labels"]}
    from_latents = client.post("/sample", json={**body, "format": "npy"})
    assert np.array_equal(array(from_latents), array(sample(client, format="npy", **query)))


def test_latents_come_as_an_array_too(client: TestClient) -> None:
    query = {"model": "plain", "seed": 5, "n": 3}
    as_json = client.get("/latents", params={**query, "format": "json"}).json()["latents"]
    as_npy = array(client.get("/latents", params={**query, "format": "npy"}))
    assert as_npy.dtype == np.float32
    assert np.array_equal(np.array(as_json, np.float32), as_npy)


def test_given_latents_may_have_a_label(client: TestClient) -> None:
    query = {"model": "conditional", "seed": 5, "n": 2}
    latents = client.get("/latents", params={**query, "format": "json"}).json()["latents"]
    body = {"model": "conditional", "latents": latents, "format": "npy"}
    labelled = array(client.post("/sample", json={**body, "label": "7"}))
    assert np.array_equal(labelled, array(sample(client, label="7", format="npy", **query)))
    assert client.post("/sample", json=body).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"latents": []},
        {"latents": [[1.0]]},
        {"latents": [[0.0] * 64, [0.0]]},
        {"latents": [[1e300] * 64]},
        {"latents": [["1"] * 64]},
        {"latents": [[10**400] * 64]},
        {"labels": [0, 0]},
        {"labels": [0], "label": "1"},
        {"columns": 0},
        {"columns": -1},
        {"columns": 10**30},
        {"size": 0},
        {"size": 2049},
        {"resample": "cubist"},
        {"quality": 101},
    ],
)
def test_bad_latents_are_refused(client: TestClient, change: dict[str, Any]) -> None:
    body = {"model": "plain", "latents": [[0.0] * 64], **change}
    assert_problem(client.post("/sample", json=body), 422, "validation")


@pytest.mark.parametrize(("model", "label"), [("points", 25), ("conditional", 10), ("plain", -1)])
def test_unknown_label_numbers_are_refused(client: TestClient, model: str, label: int) -> None:
    query = {"model": model, "seed": 5, "format": "json"}
    latents = client.get("/latents", params=query).json()["latents"]
    body = {"model": model, "latents": latents, "labels": [label]}
    problem = assert_problem(client.post("/sample", json=body), 422, "label-unknown")
    assert problem["errors"][0]["pointer"] == "/labels"


def test_more_latents_than_images_allowed_are_refused(client: TestClient) -> None:
    width = len(
        client.get("/latents?model=plain&seed=1", headers={"Accept": "application/json"}).json()[
            "latents"
        ][0]
    )
    body = {"model": "plain", "latents": [[0.0] * width] * (MAX_IMAGES + 1)}
    assert_problem(client.post("/sample", json=body), 422, "sample-too-large")


def test_too_many_images_are_refused_with_the_limit(client: TestClient) -> None:
    problem = assert_problem(sample(client, n=65), 422, "sample-too-large")
    assert problem["limit"] == MAX_IMAGES
    assert problem["errors"][0]["parameter"] == "n"


def test_a_label_for_an_unconditional_model_is_refused(client: TestClient) -> None:
    problem = assert_problem(sample(client, label="3"), 422, "model-unconditional")
    assert "cgan" in problem["detail"]


def test_an_unknown_label_is_refused_with_those_that_exist(client: TestClient) -> None:
    problem = assert_problem(
        sample(client, model="conditional", label="secret"), 422, "label-unknown"
    )
    assert "0, 1, 2" in problem["detail"]
    assert "secret" not in json.dumps(problem)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n", "0"),
        ("n", "-1"),
        ("n", "1e3"),
        ("n", "9" * 4400),
        ("seed", "-1"),
        ("seed", str(2**64)),
        ("seed", "0x10"),
        ("seed", "9" * 4400),
        ("offset", "-1"),
        ("offset", str(2**53 + 1)),
        ("truncation", "nan"),
        ("truncation", "inf"),
        ("truncation", "1e999"),
        ("truncation", "1e30"),
        ("layout", "pile"),
        ("columns", "0"),
        ("columns", "65"),
        ("size", "0"),
        ("size", "2049"),
        ("size", "1e3"),
        ("resample", "cubist"),
        ("quality", "0"),
        ("quality", "101"),
    ],
)
def test_bad_parameters_are_named_and_not_echoed(
    client: TestClient, parameter: str, value: str
) -> None:
    problem = assert_problem(sample(client, **{parameter: value}), 422, "validation")
    assert problem["errors"][0]["parameter"] == parameter
    assert len(value) < 4 or value not in json.dumps(problem)


def test_unicode_digits_are_read_or_refused(client: TestClient) -> None:
    assert sample(client, seed="\u0663").status_code in (200, 422)


def test_the_largest_seed_and_offset_work(client: TestClient) -> None:
    assert sample(client, seed=2**63 - 1, offset=2**53).status_code == 200


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("plian", "model-not-found"),
        ("../../etc/passwd", "model-not-found"),
        ("plain:2", "version-not-found"),
        ("plain:" + "9" * 150, "version-not-found"),
        ("plain:", "version-not-found"),
        ("plain:one", "version-not-found"),
        ("plain@nobody", "alias-not-found"),
        ("job_" + "0" * 26, "job-not-found"),
        ("", "model-not-found"),
        ("\x00", "model-not-found"),
    ],
)
def test_models_that_do_not_exist_are_not_found(client: TestClient, model: str, code: str) -> None:
    problem = assert_problem(sample(client, model=model), 404, code)
    assert "passwd" not in json.dumps(problem)


def test_a_near_name_is_offered(client: TestClient) -> None:
    problem = assert_problem(sample(client, model="plian"), 404, "model-not-found")
    assert "did you mean plain?" in problem["detail"]


def test_a_step_without_checkpoint_is_not_found(client: TestClient, trained: Trained) -> None:
    assert_problem(sample(client, model=f"{trained.plain}:11"), 404, "checkpoint-not-found")


def test_no_acceptable_format_is_refused_with_those_on_offer(client: TestClient) -> None:
    problem = assert_problem(sample(client, "application/pdf"), 406, "not-acceptable")
    assert "image/png" in problem["supported"]
    problem = assert_problem(sample(client, format="gif"), 406, "not-acceptable")
    assert problem["errors"][0]["parameter"] == "format"


def test_images_come_in_the_size_asked_for(client: TestClient) -> None:
    given: dict[str, Any] = {"n": 2, "seed": 1, "size": 40, "resample": "nearest"}
    shown = picture(sample(client, **given))
    assert shown.size == (40 + 2 + 40, 40)
    carried = json.loads(shown.info["ringside"])
    assert (carried["size"], carried["resample"]) == (40, "nearest")
    images = array(sample(client, format="npy", **given))
    assert images.shape == (2, 40, 40, 1)
    width = len(client.get("/latents?model=plain&seed=1&format=json").json()["latents"][0])
    body = {"model": "plain", "latents": [[0.0] * width], "size": 40, "format": "jpeg"}
    assert picture(client.post("/sample", json=body)).size == (40, 40)


def test_the_budget_of_pixels_is_of_the_size_asked_for(client: TestClient) -> None:
    assert sample(client, n=4, size=2048, format="jpeg").status_code == 200
    problem = assert_problem(sample(client, n=5, size=2048), 422, "sample-too-large")
    assert problem["limit"] == 4
    assert problem["errors"][0]["parameter"] == "n"


def test_webp_of_a_quality_is_smaller(client: TestClient) -> None:
    lossless, lossy = (
        sample(client, n=16, seed=1, format="webp", **quality) for quality in ({}, {"quality": 20})
    )
    assert picture(lossy).size == picture(lossless).size
    assert len(lossy.content) < len(lossless.content)


def test_images_come_as_parts_with_a_boundary_that_is_announced(client: TestClient) -> None:
    answer = sample(client, "multipart/mixed", n=2, seed=1)
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    manifest, *images = email.message_from_bytes(head + answer.content).walk()
    assert manifest.get_content_type() == "multipart/mixed"
    assert [part.get_content_type() for part in images] == [
        "application/json",
        "image/png",
        "image/png",
    ]


def test_npz_holds_the_latents_that_were_drawn_from(client: TestClient) -> None:
    query = {"seed": 5, "n": 3, "offset": 2}
    latents = array(client.get("/latents", params={"model": "plain", **query, "format": "npy"}))
    with array(sample(client, "application/x-npz", **query)) as read:
        assert np.array_equal(read["latents"], latents)
        assert read["images"].shape == (3, 16, 16, 1)
        assert (read["seed"], read["indices"].tolist()) == (5, [2, 3, 4])


def test_codes_change_what_they_name_and_leave_the_rest_to_the_seed(client: TestClient) -> None:
    def latents(**parameters: Any) -> Any:
        answer = client.get(
            "/latents",
            params={"model": "codes", "seed": 3, "n": 4, "format": "npy", **parameters},
        )
        return array(answer)

    drawn, set_ = latents(), latents(codes="7,*,-1.5")
    assert np.array_equal(drawn[:, :62], set_[:, :62])
    assert set_[:, 62:72].argmax(1).tolist() == [7] * 4
    assert np.array_equal(drawn[:, 72], set_[:, 72])
    assert set_[:, 73].tolist() == [-1.5] * 4
    first = sample(client, model="codes", seed=3, codes="7,*,-1.5")
    again = sample(client, model="codes", seed=3, codes="7,*,-1.5")
    other = sample(client, model="codes", seed=3, codes="6,*,-1.5")
    assert first.content == again.content
    assert first.headers["etag"] != other.headers["etag"]
    assert first.content != other.content


@pytest.mark.parametrize(
    "codes", ["", "7", "7,0", "10,0,0", "1.5,0,0", "1,0,3", "a,b,c", "nan,0,0"]
)
def test_codes_that_the_model_has_not_are_refused(client: TestClient, codes: str) -> None:
    answer = sample(client, model="codes", codes=codes)
    assert_problem(answer, 422, "codes-unknown")
    assert answer.json()["errors"][0]["parameter"] == "codes"


def test_codes_for_a_model_without_any_are_refused(client: TestClient) -> None:
    assert_problem(sample(client, codes="1"), 422, "codes-unknown")


def test_a_grid_that_its_format_cannot_hold_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "webp", FORMATS["webp"]._replace(most_pixels=52))
    assert sample(client, n=3, format="webp", columns=1).status_code == 200
    rows = {"latents": array(client.get("/latents?model=plain&seed=1&n=4&format=npy")).tolist()}
    body = {"model": "plain", "format": "webp", "columns": 1, **rows}
    for answer in (
        sample(client, n=4, format="webp", columns=1),
        client.post("/sample", json=body),
    ):
        assert assert_problem(answer, 422, "sample-too-large")["limit"] == 52
    assert sample(client, n=4, format="webp").status_code == 200


@pytest.mark.parametrize("name", ["webp", "jpeg"])
def test_a_picture_of_the_most_pixels_a_side_can_be_encoded(name: str) -> None:
    most = FORMATS[name].most_pixels
    assert most is not None
    items = np.zeros((1, most, 1, 1), dtype=np.uint8)
    space = ImageSpace(height=8, width=1, channels=1)
    drawn = Samples(items, (None,), space, {})
    shown = Image.open(io.BytesIO(FORMATS[name].encode(drawn, Look())))
    assert shown.size == (1, most)
