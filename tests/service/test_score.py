"""``/score``: logits made comparable; one bad image spoils nothing but itself."""

import io
import threading
import zipfile
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service import images
from service.images import MAX_ITEMS
from tests.service.checks import assert_problem
from tests.service.conftest import Trained

pytestmark = pytest.mark.usefixtures("trained")


def png(value: int = 128, size: tuple[int, int] = (16, 16), mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).point(lambda x: (x + value) % 256).convert(mode).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def noise() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def score(
    client: TestClient, content: bytes, media_type: str, model: str = "plain", **query: Any
) -> httpx2.Response:
    answer: httpx2.Response = client.post(
        "/score",
        params={"model": model, **query},
        content=content,
        headers={"Content-Type": media_type},
    )
    return answer


def score_files(client: TestClient, files: list[bytes], model: str = "plain") -> httpx2.Response:
    parts = [("images", (f"{index}.png", data)) for index, data in enumerate(files)]
    answer: httpx2.Response = client.post("/score", params={"model": model}, files=parts)
    return answer


def entries(response: httpx2.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    data: list[dict[str, Any]] = response.json()["data"]
    return data


def test_every_kind_of_body_gives_the_same_score(client: TestClient) -> None:
    image = png()
    pixels = np.asarray(Image.open(io.BytesIO(image)))[None]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/a.png", image)
    answers = [
        score(client, image, "image/png"),
        score_files(client, [image]),
        score(client, buffer.getvalue(), "application/zip"),
        score(client, npy(pixels), "application/x-npy"),
        score(client, npy(pixels[..., None]), "application/x-npy"),
    ]
    assert len({entries(answer)[0]["logit"] for answer in answers}) == 1


def test_what_a_mac_adds_to_an_archive_is_passed_over(client: TestClient) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("folder/a.png", "__MACOSX/folder/._a.png", "folder/.hidden.png"):
            archive.writestr(name, png() if name == "folder/a.png" else b"no image")
    answer = score(client, buffer.getvalue(), "application/zip")
    assert [entry["name"] for entry in entries(answer)] == ["folder/a.png"]


def test_floats_are_read_alike_whoever_is_beside_them(client: TestClient) -> None:
    grey = np.full((1, 16, 16), 0.6)
    beside = np.concatenate([grey, np.linspace(0, 1, 256).reshape(1, 16, 16)])
    answers = [score(client, npy(items), "application/x-npy") for items in (grey, beside)]
    assert len({entries(answer)[0]["logit"] for answer in answers}) == 1
    answer = score(client, npy(np.concatenate([grey, -grey])), "application/x-npy")
    assert "[0, 1]" in assert_problem(answer, 422, "value-range")["detail"]


def test_a_score_has_logit_probability_and_percentiles(client: TestClient) -> None:
    answer = score(client, png(), "image/png")
    entry = entries(answer)[0]
    assert 0 < entry["probability"] < 1
    assert 0 <= entry["percentile_real"] <= 100
    assert 0 <= entry["percentile_fake"] <= 100
    body = answer.json()
    assert body["preprocessing"]["height"] == 16
    assert body["model"] == "plain:1"
    assert (body["count"], body["errors"]) == (1, 0)


def test_probabilities_follow_the_logits_of_any_objective(client: TestClient) -> None:
    """This one's logits mean something by their differences only."""
    sent = npy(np.random.default_rng(0).normal(size=(50, 2)))
    found = entries(score(client, sent, "application/x-npy", "points"))
    probabilities = np.array([entry["probability"] for entry in found])
    logits = np.array([entry["logit"] for entry in found])
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    turned = np.diff(probabilities[np.argsort(logits)])
    assert (turned >= 0).all() or (turned <= 0).all()


def test_a_score_does_not_depend_on_its_neighbours(client: TestClient) -> None:
    files = [png(value) for value in range(0, 240, 20)]
    together = entries(score_files(client, files))
    for index in (0, 5, 11):
        assert entries(score_files(client, [files[index]]))[0]["logit"] == together[index]["logit"]


@pytest.mark.parametrize("path", ["/score", "/features"])
@pytest.mark.parametrize(
    ("fields", "files", "pointer"),
    [
        ({"label": "5"}, [("images", ("a.png", png()))], "/label"),
        ({}, [("image", ("a.png", png()))], "/image"),
        ({"images": "text"}, [("images", ("a.png", png()))], "/images"),
    ],
)
def test_a_form_field_that_nobody_looks_at_is_refused(
    client: TestClient, path: str, fields: Any, files: Any, pointer: str
) -> None:
    answer = client.post(path, params={"model": "plain"}, data=fields, files=files)
    problem = assert_problem(answer, 422, "unknown-field")
    assert problem["errors"][0]["pointer"] == pointer


def test_one_bad_image_does_not_fail_the_others(client: TestClient) -> None:
    files = [png(), b"GIF89a is not a PNG", noise()[:1000], png(7), b""]
    answer = score_files(client, files)
    data = entries(answer)
    assert answer.json()["errors"] == 3
    assert [("logit" in entry) for entry in data] == [True, False, False, True, False]
    assert [entry["name"] for entry in data][:2] == ["0.png", "1.png"]
    for entry in (data[1], data[2], data[4]):
        assert entry["error"]["code"] and entry["error"]["detail"]
    assert data[3]["logit"] == entries(score_files(client, [png(7)]))[0]["logit"]


def test_an_image_that_unpacks_to_too_much_is_refused_alone(client: TestClient) -> None:
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    data = entries(score_files(client, [bomb.getvalue(), png()]))
    assert "error" in data[0]
    assert "logit" in data[1]


def test_images_of_other_sizes_and_modes_are_fitted(client: TestClient) -> None:
    files = [png(size=(40, 20)), png(mode="RGB"), png(mode="LA"), png(size=(5, 5))]
    assert all("logit" in entry for entry in entries(score_files(client, files)))


def test_a_conditional_model_judges_under_the_asked_label(client: TestClient) -> None:
    free = entries(score(client, png(), "image/png", "conditional"))[0]
    assert free["label"] in "0123456789"
    fixed = entries(score(client, png(), "image/png", "conditional", label=free["label"]))[0]
    assert fixed["logit"] == free["logit"]
    other = str((int(free["label"]) + 1) % 10)
    assert (
        entries(score(client, png(), "image/png", "conditional", label=other))[0]["logit"]
        <= free["logit"]
    )


def test_labels_are_checked(client: TestClient) -> None:
    unconditional = score(client, png(), "image/png", label="1")
    assert_problem(unconditional, 422, "model-unconditional")
    unknown = score(client, png(), "image/png", "conditional", label="eleven")
    assert_problem(unknown, 422, "label-unknown")


def test_names_of_files_are_made_printable(client: TestClient) -> None:
    files = [("images", ("a\nb\x1b[31m" + "x" * 500, png()))]
    answer = client.post("/score", params={"model": "plain"}, files=files)
    name = entries(answer)[0]["name"]
    assert name.isprintable() and len(name) <= 100


def test_too_many_images_are_refused_with_the_limit(client: TestClient) -> None:
    problem = assert_problem(score_files(client, [b"x"] * (MAX_ITEMS + 1)), 422, "sample-too-large")
    assert problem["limit"] == MAX_ITEMS


@pytest.mark.parametrize("kind", ["files", "zip", "npy"])
def test_more_pixels_than_one_request_may_have_are_refused_undecoded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 16 + 99)
    monkeypatch.setattr(images, "_fit", lambda *_: pytest.fail("it was decoded"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", png())
        archive.writestr("b.png", png(size=(10, 10)))
    answer = {
        "files": lambda: score_files(client, [png(), png(size=(10, 10))]),
        "zip": lambda: score(client, buffer.getvalue(), "application/zip"),
        "npy": lambda: score(client, npy(np.zeros((2, 16, 16), np.uint8)), "application/x-npy"),
    }[kind]()
    assert assert_problem(answer, 422, "sample-too-large")["limit"] == images.MAX_PIXELS


def test_items_are_decoded_in_a_model_thread(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, threads = images.decode_image, set()

    def watch(*arguments: Any) -> Any:
        threads.add(threading.current_thread().name.partition("_")[0])
        return decode(*arguments)

    monkeypatch.setattr(images, "decode_image", watch)
    assert len(entries(score_files(client, [png(), png(3)]))) == 2
    assert threads == {"model"}


@pytest.mark.parametrize("media_type", ["text/plain", "", "application/json"])
def test_other_bodies_are_refused(client: TestClient, media_type: str) -> None:
    assert_problem(score(client, b"{}", media_type), 415, "unsupported-media-type")


def test_images_for_a_points_model_are_refused(client: TestClient) -> None:
    answer = score(client, png(), "image/png", "points")
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (npy(np.array([{}], dtype=object)), "application/x-npy", "object-array"),
        (npy(np.zeros((2, 2)))[:-3], "application/x-npy", "npy-size-mismatch"),
        (npy(np.full((2, 16, 16), np.nan)), "application/x-npy", None),
        (npy(np.zeros((2, 3))), "application/x-npy", None),
        (npy(np.zeros((0, 16, 16))), "application/x-npy", None),
        (b"not numpy", "application/x-npy", None),
        (b"not a zip", "application/zip", "not-an-archive"),
        (b"", "application/zip", "not-an-archive"),
        (b"", "application/x-npy", None),
        (b"--x--", "multipart/form-data; boundary=x", "validation"),
        (b"garbage", "multipart/form-data; boundary=x", None),
        (b"garbage", "multipart/form-data", None),
    ],
)
def test_damaged_bodies_are_refused(
    client: TestClient, content: bytes, media_type: str, code: str | None
) -> None:
    answer = score(client, content, media_type)
    assert answer.status_code in (400, 422), answer.text
    assert_problem(answer, answer.status_code, code or answer.json()["code"])


def test_one_damaged_member_does_not_fail_the_archive(client: TestClient) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.png", png())
        archive.writestr("bad.png", noise())
    content = bytearray(buffer.getvalue())
    content[content.rindex(b"IDAT") + 50] ^= 0xFF
    data = entries(score(client, bytes(content), "application/zip"))
    assert [entry["name"] for entry in data] == ["good.png", "bad.png"]
    assert ["error" in entry for entry in data] == [False, True]


@pytest.mark.parametrize("value", [1e30, 3e38])
def test_points_too_far_away_are_named_and_the_rest_scored(
    client: TestClient, value: float
) -> None:
    points = np.array([[0.0, 1.0], [value, -value]], np.float32)
    answer = score(client, npy(points), "application/x-npy", "points")
    assert "logit" in entries(answer)[0]
    assert answer.json()["errors"] in (0, 1)


def test_an_archive_that_leaves_its_folder_is_refused(client: TestClient) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.png", png())
    assert_problem(score(client, buffer.getvalue(), "application/zip"), 422, "zip-slip")


def test_points_of_another_dimension_are_refused(client: TestClient) -> None:
    content = npy(np.zeros((4, 5), np.float32))
    answer = score(client, content, "application/x-npy", "points")
    assert_problem(answer, 422, "shape-mismatch")


def test_points_are_scored_in_the_units_of_the_dataset(
    client: TestClient, trained: Trained
) -> None:
    sampled = client.get("/sample", params={"model": "points", "n": 9, "seed": 1, "format": "npy"})
    data = entries(score(client, sampled.content, "application/x-npy", trained.points))
    assert len(data) == 9
    assert all(np.isfinite(entry["logit"]) for entry in data)


def test_an_archive_from_sample_can_be_scored_as_it_is(client, trained):
    query = {"model": trained.plain, "seed": 1, "n": 3, "format": "zip"}
    archive = client.get("/sample", params=query).content
    answer = client.post(
        "/score",
        params={"model": trained.plain},
        content=archive,
        headers={"Content-Type": "application/zip"},
    )
    assert answer.json()["errors"] == 0
    assert answer.json()["count"] == 3


def test_codes_are_told_where_the_model_has_some(client: TestClient) -> None:
    made = client.get("/sample", params={"model": "codes", "n": 3, "seed": 1, "format": "npy"})
    answer = client.post(
        "/score",
        params={"model": "codes"},
        content=made.content,
        headers={"Content-Type": "application/x-npy"},
    )
    assert answer.status_code == 200, answer.text
    for entry in answer.json()["data"]:
        codes = entry["codes"]
        assert list(codes) == ["c1", "c2", "c3"]
        shares = codes["c1"]["probabilities"]
        assert len(shares) == 10
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert shares[codes["c1"]["choice"]] == max(shares)
        assert isinstance(codes["c2"], float)
    assert answer.json()["company"] is None


def test_a_score_says_where_its_time_went(client: TestClient) -> None:
    answer = score_files(client, [png(), b"no image"])
    stages = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(stages) == ["queue", "compute", "encode"]
    assert all(float(milliseconds) >= 0 for milliseconds in stages.values())
