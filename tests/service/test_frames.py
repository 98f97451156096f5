"""``/interpolate`` and ``/sample/plane``: frames and grids between the images of seeds."""

import io
import json
import zipfile
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image, ImageSequence
from starlette.testclient import TestClient

from ganmodels.rendering import image
from ganmodels.spaces import ImageSpace
from service.drawing import MAX_FRAMES
from service.engine.encoding.frames import FRAME_FORMATS, Pace
from service.engine.encoding.samples import Samples
from tests.service.checks import assert_problem

pytestmark = pytest.mark.usefixtures("trained")

SEEDS: list[dict[str, Any]] = [{"seed": 7}, {"seed": 12, "offset": 3}]


def interpolate(client: TestClient, *keyframes: dict[str, Any], **fields: Any) -> httpx2.Response:
    body = {"model": "plain", "keyframes": [*keyframes] or SEEDS, "label": None, **fields}
    answer: httpx2.Response = client.post("/interpolate", json=body)
    return answer


def plane(client: TestClient, accept: str = "*/*", **parameters: Any) -> httpx2.Response:
    query = {"model": "plain", "a": 7, "b": 12, "c": 31, **parameters}
    answer: httpx2.Response = client.get("/sample/plane", params=query, headers={"Accept": accept})
    return answer


def array(response: httpx2.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def sample(client: TestClient, **parameters: Any) -> Any:
    query = {"model": "conditional", "label": "3", "format": "npy", **parameters}
    return array(client.get("/sample", params=query))


def labelled(client: TestClient, *keyframes: dict[str, Any], **fields: Any) -> Any:
    """Frames of a model whose label can be held."""
    given = {"model": "conditional", "label": "3", "format": "npy", **fields}
    return array(interpolate(client, *keyframes, **given))


def test_frames_lead_from_keyframe_to_keyframe(client: TestClient) -> None:
    frames = labelled(client, *SEEDS, {"seed": 31}, steps=5)
    assert len(frames) == 11
    assert np.array_equal(frames[0], sample(client, seed=7)[0])
    assert np.array_equal(frames[5], sample(client, seed=12, offset=3)[0])
    assert np.array_equal(frames[10], sample(client, seed=31)[0])


def test_a_loop_leads_back_and_does_not_repeat_its_beginning(client: TestClient) -> None:
    there = labelled(client, {"seed": 7}, {"seed": 12}, steps=4)
    around = labelled(client, {"seed": 7}, {"seed": 12}, steps=4, loop=True)
    assert len(around) == 8
    assert np.array_equal(around[:5], there)
    back = labelled(client, {"seed": 12}, {"seed": 7}, steps=4)
    assert np.array_equal(around[4:], back[:4])


def test_a_frame_is_a_mix_of_its_neighbours(client: TestClient) -> None:
    frames = labelled(client, {"seed": 7}, {"seed": 12}, steps=4, truncation=0.8)
    expected = sample(client, mix="s7:0.75,s12:0.25", truncation=0.8)
    assert np.array_equal(frames[1], expected[0])


def test_keyframes_may_be_latents_and_mixes(client: TestClient) -> None:
    query = {"model": "conditional", "seed": 7, "offset": 2, "format": "json"}
    latent = client.get("/latents", params=query).json()["latents"][0]
    mix = {"mix": "s1:1,s2:2", "mix_mode": "lerp"}
    frames = labelled(client, {"latent": latent}, mix, steps=3)
    assert np.array_equal(frames[0], sample(client, seed=7, offset=2)[0])
    assert np.array_equal(frames[3], sample(client, **mix)[0])


def test_easing_keeps_ends_and_middle(client: TestClient) -> None:
    linear, eased = (
        labelled(client, steps=8, easing=easing) for easing in ("linear", "smoothstep")
    )
    for place in (0, 4, 8):
        assert np.array_equal(linear[place], eased[place])
    assert not np.array_equal(linear[2], eased[2])


def test_all_frames_have_the_label_of_the_first_keyframe(client: TestClient) -> None:
    data = interpolate(client, model="conditional", steps=4, format="json").json()["data"]
    query = {"model": "conditional", "seed": 7, "format": "json"}
    first = client.get("/sample", params=query).json()["data"][0]
    assert {entry["label"] for entry in data} == {first["label"]}
    assert data[0]["image"].split(",")[0] == "data:image/png;base64"


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [("image/webp", "WEBP"), ("image/gif", "GIF"), ("image/apng", "PNG")],
)
@pytest.mark.parametrize("loop", [False, True])
def test_animations_show_every_frame_for_its_time(
    client: TestClient, media_type: str, kind: str, loop: bool
) -> None:
    body = {"model": "plain", "keyframes": SEEDS, "steps": 6, "duration_ms": 70, "loop": loop}
    answer = client.post("/interpolate", json=body, headers={"Accept": media_type})
    assert answer.headers["content-type"] == media_type
    opened = Image.open(io.BytesIO(answer.content))
    assert opened.format == kind
    shown, total = [], 0.0
    for frame in ImageSequence.Iterator(opened):
        frame.load()
        shown.append(np.asarray(frame.convert("L")))
        total += float(frame.info["duration"])
    expected = array(client.post("/interpolate", json={**body, "format": "npy"}))[..., 0]
    assert np.array_equal(np.stack(shown), expected)
    assert total == 70 * len(expected)
    assert opened.info.get("loop", 1) == (0 if loop else 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format_", ["webp", "gif", "apng"])
def test_images_of_all_kinds_of_channels_move(channels: int, format_: str) -> None:
    ramp = np.linspace(0, 255, 8 * 12 * 12 * channels).reshape(8, 12, 12, channels)
    if channels in (2, 4):
        ramp[..., -1] = 200
    space = ImageSpace(height=12, width=12, channels=channels)
    samples = Samples(ramp.astype(np.uint8), (None,) * 8, space, {"offset": 0, "labels": None})
    encoded = FRAME_FORMATS[format_].encode(samples, Pace(40, True))
    opened = Image.open(io.BytesIO(encoded))
    assert getattr(opened, "n_frames", 1) == 8
    for frame, item in zip(ImageSequence.Iterator(opened), samples.items, strict=True):
        shown = np.asarray(frame.convert("RGBA"))
        expected = image(item).convert("RGBA")
        if format_ == "gif":
            expected = Image.alpha_composite(Image.new("RGBA", (12, 12), "white"), expected)
        difference = np.abs(shown.astype(int) - np.asarray(expected))
        assert difference.max() <= (12 if format_ == "gif" else 0)


def test_a_strip_shows_all_frames_beside_each_other(client: TestClient) -> None:
    answer = interpolate(client, steps=6)
    assert answer.headers["content-type"] == "image/png"
    strip = Image.open(io.BytesIO(answer.content))
    assert strip.size == (7 * 18 - 2, 16)
    told = json.loads(strip.info["ringside"])["interpolation"]
    assert told["keyframes"] == SEEDS


def test_an_archive_holds_a_file_for_each_frame(client: TestClient) -> None:
    answer = interpolate(client, steps=6, format="zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len(archive.namelist()) == 8


@pytest.mark.parametrize("format_", ["png", "webp", "gif", "apng", "zip", "npy", "npz", "json"])
def test_equal_requests_give_equal_frames(client: TestClient, format_: str) -> None:
    first, again = (interpolate(client, steps=3, format=format_) for _ in range(2))
    assert first.status_code == 200
    assert first.content == again.content


def test_points_come_as_numbers_alone(client: TestClient) -> None:
    frames = array(interpolate(client, model="points", steps=20, format="npy"))
    assert frames.shape == (21, 2)
    steps = np.linalg.norm(np.diff(frames, axis=0), axis=1)
    assert steps.max() < 1
    problem = assert_problem(
        interpolate(client, model="points", format="gif"), 406, "not-acceptable"
    )
    assert problem["supported"] == ["json", "npy", "npz"]
    body = {"model": "points", "keyframes": SEEDS}
    refused = client.post("/interpolate", json=body, headers={"Accept": "image/webp"})
    assert "application/x-npy" in assert_problem(refused, 406, "not-acceptable")["supported"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"keyframes": [{"seed": 1}]}, "/keyframes"),
        ({"keyframes": [{"seed": 1}, {}]}, "/keyframes/1"),
        ({"keyframes": [{"seed": 1}, {"seed": 1, "mix": "s1:1"}]}, "/keyframes/1"),
        ({"keyframes": [{"seed": 1}, {"mix": "s1:0"}]}, "/keyframes/1/mix"),
        ({"keyframes": [{"seed": 1}, {"latent": [1.0]}]}, "/keyframes/1/latent"),
        ({"steps": 0}, "/steps"),
        ({"duration_ms": 1}, "/duration_ms"),
        ({"easing": "bounce"}, "/easing"),
        ({"mode": "curl"}, "/mode"),
        ({"truncation": 2}, "/truncation"),
        ({"label": "1,2", "model": "conditional"}, "/label"),
        ({"format": "gif", "steps": 100, "duration_ms": 10_000}, "/duration_ms"),
    ],
)
def test_bad_interpolations_are_pointed_at(
    client: TestClient, change: dict[str, Any], pointer: str
) -> None:
    body = {"model": "plain", "keyframes": SEEDS, **change}
    problem = assert_problem(client.post("/interpolate", json=body), 422, "validation")
    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"label": "11", "model": "conditional"}, 422, "label-unknown", "/label"),
        ({"label": "1"}, 422, "model-unconditional", "/label"),
        ({"format": "bmp"}, 406, "not-acceptable", "/format"),
    ],
)
def test_what_a_model_does_not_know_is_pointed_at_too(
    client: TestClient, change: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    body = {"model": "plain", "keyframes": SEEDS, **change}
    problem = assert_problem(client.post("/interpolate", json=body), status, code)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize("format_", ["gif", "apng", "webp"])
def test_equal_frames_last_as_long_as_all_of_them(client: TestClient, format_: str) -> None:
    same = [{"seed": 7}, {"seed": 7}]
    answer = interpolate(client, keyframes=same, steps=64, duration_ms=10_000, format=format_)
    assert answer.status_code == 200, answer.text


def test_too_many_frames_are_refused_with_the_limit(client: TestClient) -> None:
    problem = assert_problem(interpolate(client, steps=MAX_FRAMES), 422, "sample-too-large")
    assert problem["limit"] == MAX_FRAMES
    most = interpolate(client, steps=MAX_FRAMES - 1, format="npy")
    assert len(array(most)) == MAX_FRAMES


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
def test_a_plane_has_the_images_of_its_seeds_in_its_corners(client: TestClient, mode: str) -> None:
    given = {"model": "conditional", "label": "3", "rows": 3, "columns": 4, "mode": mode}
    images = array(plane(client, format="npy", **given))
    for place, seed in ((0, 7), (3, 12), (8, 31)):
        assert np.array_equal(images[place], sample(client, seed=seed)[0])
    third = f"s7:{2 / 3:.10f},s12:{1 / 3:.10f}"
    difference = images[1].astype(int) - sample(client, mix=third, mix_mode=mode)[0]
    assert np.abs(difference).max() <= 1


def test_a_plane_is_a_picture_that_can_be_kept(client: TestClient) -> None:
    first = plane(client, model="plain:1", rows=2, columns=3)
    assert Image.open(io.BytesIO(first.content)).size == (3 * 18 - 2, 2 * 18 - 2)
    assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
    query = {"model": "plain:1", "a": 7, "b": 12, "c": 31, "rows": 2, "columns": 3}
    etag = first.headers["etag"]
    again = client.get("/sample/plane", params=query, headers={"If-None-Match": etag})
    assert again.status_code == 304
    changes = [{"a": 8}, {"b": 8}, {"c": 8}, {"rows": 3}, {"columns": 2}, {"mode": "lerp"}]
    etags = {plane(client, **{**query, **change}).headers["etag"] for change in changes}
    assert len(etags - {etag}) == len(changes)


@pytest.mark.parametrize("format_", ["webp", "gif", "png", "npy"])
def test_frames_come_in_the_size_that_was_asked_for(client: TestClient, format_: str) -> None:
    """Enlarged without mixing, a frame is the same image with each pixel four times."""
    asked: dict[str, Any] = {"steps": 2, "format": format_}
    small = interpolate(client, **asked)
    large = interpolate(client, **asked, size=32, resample="nearest")
    if format_ == "npy":
        assert np.array_equal(array(large), array(small).repeat(2, 1).repeat(2, 2))
        return
    picture = Image.open(io.BytesIO(large.content))
    assert picture.height == 32
    assert b'"resample":"nearest"' in large.content.replace(b" ", b"")


def test_frames_that_are_too_large_together_are_refused(client: TestClient) -> None:
    problem = assert_problem(interpolate(client, steps=8, size=2048), 422, "sample-too-large")
    assert problem["errors"][0]["pointer"] == "/steps"
    assert "in this size" in problem["detail"]
    assert_problem(plane(client, rows=3, columns=2, size=2048), 422, "sample-too-large")


def test_points_have_no_size(client: TestClient) -> None:
    answer = interpolate(client, model="points", size=32)
    assert assert_problem(answer, 422, "validation")["errors"][0]["pointer"] == "/size"


def test_a_plane_comes_in_the_size_that_was_asked_for(client: TestClient) -> None:
    small = array(plane(client, rows=2, columns=2, format="npy"))
    large = array(plane(client, rows=2, columns=2, format="npy", size=32, resample="nearest"))
    assert np.array_equal(large, small.repeat(2, 1).repeat(2, 2))


def test_a_plane_of_one_item_is_its_first_seed(client: TestClient) -> None:
    alone = plane(client, model="conditional", label="3", rows=1, columns=1, format="npy")
    assert np.array_equal(array(alone), sample(client, seed=7))


def test_points_lie_on_a_plane_too(client: TestClient) -> None:
    assert array(plane(client, model="points", format="npy")).shape == (25, 2)
    assert_problem(plane(client, "image/gif"), 406, "not-acceptable")


@pytest.mark.parametrize("change", [{"rows": 0}, {"columns": 65}, {"a": -1}, {"mode": "curl"}])
def test_bad_planes_are_refused(client: TestClient, change: dict[str, Any]) -> None:
    problem = assert_problem(plane(client, **change), 422, "validation")
    assert problem["errors"][0]["parameter"] == next(iter(change))


def test_a_plane_of_too_many_items_is_refused(client: TestClient) -> None:
    problem = assert_problem(plane(client, rows=64, columns=64), 422, "sample-too-large")
    assert problem["limit"] == MAX_FRAMES
