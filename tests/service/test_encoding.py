"""Encoders: each format gives the pixels back, with what made them, in the same bytes."""

import base64
import csv
import email.policy
import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from ganmodels.data.arrays import read_npz
from ganmodels.rendering import grid_size, tiled
from ganmodels.spaces import ImageSpace, PointSpace
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.layout import edges, fitted, picture_size
from service.engine.encoding.metadata import read_parameters
from service.engine.encoding.parts import stream_archive, stream_multipart
from service.engine.encoding.png import encode_png
from service.engine.encoding.samples import Look, Resampling, Samples

CHANNELS = [1, 2, 3, 4]
HEIGHT, WIDTH, COUNT = 6, 9, 5
PICTURES = ["png", "webp", "jpeg"]
OF_IMAGES = [name for name, encoding in FORMATS.items() if not encoding.points_only]
OF_POINTS = [name for name, encoding in FORMATS.items() if not encoding.images_only]


def parameters(count: int = COUNT, **more: Any) -> dict[str, Any]:
    made = {"model": "faces:1", "checkpoint": "0" * 64, "seed": 7, "offset": 3, "n": count}
    return {**made, "labels": ["früh", "spät\r\n"], "truncation": 1.0, **more}


def images(channels: int, count: int = COUNT, **more: Any) -> Samples:
    """Smooth images, so that what is lossy comes near."""
    space = ImageSpace(height=HEIGHT, width=WIDTH, channels=channels, classes=("früh", "spät\r\n"))
    place = np.arange(count * HEIGHT * WIDTH * channels).reshape(count, HEIGHT, WIDTH, channels)
    items = (128 + 100 * np.sin(place / 200)).astype(np.uint8)
    if channels in (2, 4):
        items[..., -1] = 255
    labels = tuple(space.classes[(3 + index) % 2] for index in range(count))
    latents = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    return Samples(items, labels, space, parameters(count, **more), latents)


def points() -> Samples:
    items = np.linspace(-3, 3, COUNT * 3, dtype=np.float32).reshape(COUNT, 3)
    made = parameters(labels=None)
    return Samples(items, (None,) * COUNT, PointSpace(dimensions=3), made)


def encoded(name: str, samples: Samples, look: Look | None = None) -> bytes:
    return FORMATS[name].encode(samples, look or Look(columns=3))


def opened(data: bytes) -> Image.Image:
    Image.open(io.BytesIO(data)).verify()
    return Image.open(io.BytesIO(data))


def pixels(data: bytes) -> NDArray[Any]:
    read = np.asarray(opened(data))
    return read[:, :, np.newaxis] if read.ndim == 2 else read


def parts_of(data: bytes) -> list[Any]:
    """The parts of a multipart body, as the standard library reads them."""
    head = f"Content-Type: {FORMATS['multipart'].content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + data, policy=email.policy.HTTP)
    assert message.is_multipart() and not message.defects
    return list(message.iter_parts())


@pytest.mark.parametrize("channels", CHANNELS)
def test_png_gives_the_pixels_of_the_grid_back(channels: int) -> None:
    samples = images(channels)
    shown = opened(encoded("png", samples))
    assert shown.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert shown.size == grid_size(WIDTH, HEIGHT, COUNT, columns=3)
    assert np.array_equal(pixels(encoded("png", samples)), tiled(samples.items, 3))


@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from(CHANNELS))
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
)
def test_any_picture_and_text_come_back_out_of_a_png(drawn: NDArray[Any], text: str) -> None:
    data = encode_png(drawn, "ringside", text)
    assert np.array_equal(pixels(data), drawn)
    assert opened(data).info["ringside"] == text


@pytest.mark.parametrize("values", ["noise", "zeros"])
def test_a_large_png_is_read_back_whether_it_shrinks_or_not(values: str) -> None:
    drawn = np.zeros((700, 500, 3), dtype=np.uint8)
    if values == "noise":
        drawn = np.random.default_rng(0).integers(0, 256, drawn.shape, dtype=np.uint8)
    data = encode_png(drawn, "ringside", "")
    assert np.array_equal(pixels(data), drawn)
    assert len(data) < 1.05 * drawn.size


def test_a_picture_alone_is_compressed_only_where_it_takes_more_than_a_round_trip() -> None:
    plain = {edge: np.zeros((edge, edge, 3), dtype=np.uint8) for edge in (64, 128)}
    for drawn in plain.values():
        assert np.array_equal(pixels(encode_png(drawn, "ringside", "", is_alone=True)), drawn)
    small, large = (encode_png(drawn, "ringside", "", is_alone=True) for drawn in plain.values())
    assert len(large) < plain[64].size < len(small) < 14_000
    assert len(encode_png(plain[64], "ringside", "")) < 1_000


def test_a_picture_may_lie_in_memory_in_any_order() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (3, 8, 11), dtype=np.uint8)
    turned = drawn.transpose(2, 1, 0)
    assert np.array_equal(pixels(encode_png(turned, "ringside", "")), turned)


@pytest.mark.parametrize("channels", CHANNELS)
def test_webp_is_lossless_where_no_quality_is_asked_for(channels: int) -> None:
    samples = images(channels)
    shown = opened(encoded("webp", samples)).convert("RGBA")
    expected = opened(encoded("png", samples)).convert("RGBA")
    assert np.array_equal(np.asarray(shown), np.asarray(expected))


@pytest.mark.parametrize("name", ["webp", "jpeg"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_lossy_pictures_come_near_and_are_smaller_at_lower_quality(
    name: str, channels: int
) -> None:
    samples, sizes = images(channels, count=1), []
    expected = np.asarray(opened(encoded("png", samples)).convert("RGB"))
    for quality in (10, 95):
        data = encoded(name, samples, Look(size=64, resample="nearest", quality=quality))
        sizes.append(len(data))
    small = encoded(name, samples, Look(quality=95))
    difference = np.abs(np.asarray(opened(small).convert("RGB")).astype(int) - expected)
    assert difference.mean() < 8
    assert sizes[0] < sizes[1]


def test_jpeg_has_quality_90_where_none_is_asked_for() -> None:
    samples = images(3)
    assert encoded("jpeg", samples, Look()) == encoded("jpeg", samples, Look(quality=90))
    assert encoded("jpeg", samples, Look()) != encoded("jpeg", samples, Look(quality=89))


@pytest.mark.parametrize("name", ["webp", "jpeg"])
def test_what_is_transparent_is_white_in_jpeg_and_kept_in_webp(name: str) -> None:
    samples = images(4, count=1)
    samples.items[..., 3] = 0
    shown = np.asarray(opened(encoded(name, samples)))
    assert np.array_equal(shown, samples.items[0]) if name == "webp" else (shown == 255).all()


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("quality", [None, 50])
def test_a_picture_says_what_made_it(name: str, quality: int | None) -> None:
    samples = images(3)
    assert read_parameters(encoded(name, samples, Look(quality=quality))) == samples.parameters
    assert read_parameters(encoded(name, points())) == points().parameters


def test_a_picture_that_is_not_ours_says_nothing() -> None:
    for description in (None, "Sunset", '"Sunset"', "{}"):
        exif, buffer = Image.Exif(), io.BytesIO()
        if description is not None:
            exif[0x010E] = description
        Image.new("L", (4, 4)).save(buffer, "JPEG", exif=exif)
        assert read_parameters(buffer.getvalue()) is None


@pytest.mark.parametrize("name", PICTURES)
def test_long_parameters_are_carried_or_left_out_whole(name: str) -> None:
    samples = images(3, labels=["früh"] * 20_000)
    carried = read_parameters(encoded(name, samples))
    assert carried == (None if name == "jpeg" else samples.parameters)


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_the_same_images_give_the_same_bytes(name: str, channels: int) -> None:
    look = Look(columns=2, size=20)
    assert encoded(name, images(channels), look) == encoded(name, images(channels), look)


def test_threads_do_not_change_each_others_bytes() -> None:
    random = np.random.default_rng(0)
    drawn = [
        random.integers(0, 4 * channels**2, (8 * edge, 8 * edge, channels), dtype=np.uint8)
        for edge in (1, 3, 8)
        for channels in CHANNELS
    ]
    expected = [encode_png(picture, "ringside", "") for picture in drawn]
    with ThreadPoolExecutor(4) as threads:
        again = threads.map(lambda picture: encode_png(picture, "ringside", ""), 40 * drawn)
        assert list(again) == 40 * expected


@pytest.mark.parametrize("name", OF_POINTS)
def test_the_same_points_give_the_same_bytes(name: str) -> None:
    assert encoded(name, points()) == encoded(name, points())


@pytest.mark.parametrize("channels", CHANNELS)
def test_every_format_of_single_images_holds_the_same(channels: int) -> None:
    samples = images(channels)
    with zipfile.ZipFile(io.BytesIO(encoded("zip", samples))) as archive:
        assert archive.testzip() is None
        listed = json.loads(archive.read("manifest.json"))["data"]
        from_zip = [archive.read(entry["name"]) for entry in listed]
    head, *parts = parts_of(encoded("multipart", samples))
    assert [part["Content-ID"].strip("<>") for part in parts] == [
        entry["content_id"] for entry in json.loads(head.get_payload())["data"]
    ]
    from_parts = [part.get_payload(decode=True) for part in parts]
    from_json = [
        base64.b64decode(entry["image"].removeprefix("data:image/png;base64,"))
        for entry in json.loads(encoded("json", samples))["data"]
    ]
    assert from_zip == from_parts == from_json
    assert np.array_equal([pixels(data) for data in from_zip], samples.items)
    array = np.load(io.BytesIO(encoded("npy", samples)), allow_pickle=False)
    assert np.array_equal(array, samples.items)


def test_manifests_come_first_and_name_index_and_label() -> None:
    samples = images(1)
    with zipfile.ZipFile(io.BytesIO(encoded("zip", samples))) as archive:
        assert archive.namelist()[0] == "manifest.json"
        from_zip = json.loads(archive.read("manifest.json"))
    from_parts = json.loads(parts_of(encoded("multipart", samples))[0].get_payload())
    for manifest in (from_zip, from_parts):
        assert manifest["seed"] == 7
        assert [entry["index"] for entry in manifest["data"]] == [3, 4, 5, 6, 7]
        assert [entry["label"] for entry in manifest["data"]] == list(samples.labels)


def test_a_single_image_says_what_makes_it_alone() -> None:
    with zipfile.ZipFile(io.BytesIO(encoded("zip", images(1)))) as archive:
        carried = read_parameters(archive.read("000005.png"))
    assert carried == parameters(1, offset=5, labels=["spät\r\n"])


def test_npz_holds_images_and_what_made_them() -> None:
    samples = images(3)
    with np.load(io.BytesIO(encoded("npz", samples)), allow_pickle=False) as read:
        assert np.array_equal(read["images"], samples.items)
        assert np.array_equal(read["latents"], samples.latents)
        assert [read["classes"][label] for label in read["labels"]] == list(samples.labels)
        assert (read["seed"], read["indices"].tolist()) == (7, [3, 4, 5, 6, 7])


def test_npz_of_points_holds_no_labels_where_there_are_none() -> None:
    with np.load(io.BytesIO(encoded("npz", points())), allow_pickle=False) as read:
        assert sorted(read) == ["indices", "points", "seed"]
        assert np.array_equal(read["points"], points().items)


def test_a_dataset_can_be_imported_from_npz(tmp_path: Any) -> None:
    samples, path = images(1), tmp_path / "samples.npz"
    path.write_bytes(encoded("npz", samples))
    stream = read_npz(path)
    assert stream.findings.skipped == 4


def test_points_come_back_as_numbers() -> None:
    expected = points().items
    rows = list(csv.reader(io.StringIO(encoded("csv", points()).decode())))
    assert rows[0] == ["x0", "x1", "x2"]
    assert np.array_equal(np.array(rows[1:], dtype=np.float32), expected)
    array = np.load(io.BytesIO(encoded("npy", points())), allow_pickle=False)
    assert array.dtype == np.float32
    assert np.array_equal(array, expected)
    entries = json.loads(encoded("json", points()))["data"]
    assert np.array_equal(np.array([e["point"] for e in entries], np.float32), expected)


@pytest.mark.parametrize("name", PICTURES)
def test_points_are_plotted_in_the_size_asked_for(name: str) -> None:
    assert opened(encoded(name, points())).size == (512, 512)
    assert opened(encoded(name, points(), Look(size=100))).size == (100, 100)


@pytest.mark.parametrize("stream", [stream_archive, stream_multipart])
def test_streams_ask_for_an_image_when_its_bytes_are_due(stream: Any) -> None:
    asked = 0

    def generated(count: int) -> Iterator[NDArray[Any]]:
        nonlocal asked
        for index in range(count):
            asked += 1
            yield np.full((HEIGHT, WIDTH, 1), index % 251, dtype=np.uint8)

    count = 300
    made = parameters(count, labels=None)
    ahead = [
        asked - place
        for place, _ in enumerate(stream(generated(count), (None,) * count, made, Look()))
    ]
    assert max(ahead) <= 1
    assert asked == count


def test_a_stream_gives_the_bytes_of_the_whole() -> None:
    samples = images(3)
    given_one_by_one = iter(samples.items)
    chunks = list(stream_archive(given_one_by_one, samples.labels, samples.parameters, Look()))
    assert b"".join(chunks) == encoded("zip", samples, Look())
    assert len(chunks) == COUNT + 2


def test_an_archive_says_each_size_before_the_bytes() -> None:
    """A reader of a stream need not see the end of an entry to know it."""
    with zipfile.ZipFile(io.BytesIO(encoded("zip", images(1)))) as archive:
        for entry in archive.infolist():
            assert not entry.flag_bits & 0x08
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.compress_type == zipfile.ZIP_STORED


@pytest.mark.slow
def test_an_archive_may_hold_more_images_than_a_plain_one_can() -> None:
    count = 66_000
    item = np.zeros((1, 1, 1), dtype=np.uint8)
    made = parameters(count, labels=None)
    stream = stream_archive((item for _ in range(count)), (None,) * count, made, Look())
    with zipfile.ZipFile(io.BytesIO(b"".join(stream))) as archive:
        assert len(archive.namelist()) == count + 1
        assert opened(archive.read(f"{count:06d}.png")).size == (1, 1)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("resample", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_images_are_resized_before_they_are_laid_out(channels: int, resample: Resampling) -> None:
    samples, look = images(channels), Look(columns=3, size=18, resample=resample)
    array = np.load(io.BytesIO(encoded("npy", samples, look)), allow_pickle=False)
    assert array.shape == (COUNT, 12, 18, channels)
    assert np.array_equal(pixels(encoded("png", samples, look)), tiled(array, 3))
    assert opened(encoded("png", samples, look)).size == picture_size(samples.space, COUNT, look)
    if resample == "nearest":
        assert np.array_equal(array[:, ::2, ::2], samples.items)


def test_the_longer_edge_gets_the_size() -> None:
    assert edges(64, 32, 128) == (128, 64)
    assert edges(32, 64, 16) == (8, 16)
    assert edges(1024, 1, 8) == (8, 1)
    assert edges(64, 32, None) == (64, 32)


def test_what_is_transparent_leaves_no_colour_when_resized() -> None:
    item = np.zeros((8, 8, 4), dtype=np.uint8)
    item[:, :4] = (200, 100, 50, 255)
    shown = fitted(item, Look(size=5, resample="bilinear"))
    middle = shown[2, 2]
    assert 0 < middle[3] < 255
    assert np.abs(middle[:3].astype(int) - (200, 100, 50)).max() <= 2


@given(
    arrays.arrays(
        np.uint8,
        st.tuples(*[st.integers(1, n) for n in (9, 5, 5)], st.sampled_from(CHANNELS)),
    ),
    st.integers(1, 12),
    st.integers(0, 3),
)
def test_each_image_of_a_grid_has_its_place_and_the_rest_is_empty(
    items: NDArray[Any], columns: int, padding: int
) -> None:
    count, height, width, _ = items.shape
    drawn = tiled(items, columns, padding).copy()
    assert drawn.shape[1::-1] == grid_size(width, height, count, columns, padding)
    for index, item in enumerate(items):
        row, column = divmod(index, min(columns, count))
        top, left = row * (height + padding), column * (width + padding)
        place = drawn[top : top + height, left : left + width]
        assert np.array_equal(place, item)
        place[:] = 0
    assert not drawn.any()
