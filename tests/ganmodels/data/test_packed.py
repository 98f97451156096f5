"""Claims about the packed form: its content, its id, its split, its report."""

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganmodels.data.archive import read_archive
from ganmodels.data.errors import DataError
from ganmodels.data.limits import Limits
from ganmodels.data.packed import FILES, Manifest, choose_held_out, open_packed, pack
from ganmodels.data.stream import Chunk, ImageFacts, ItemStream, PointFacts
from ganmodels.spaces import ImageSpace, PointSpace


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def image_stream(
    images: np.ndarray, labels: list[int] | None = None, limits: Limits | None = None
) -> ItemStream:
    indices = None if labels is None else np.array(labels, dtype=np.int64)
    count = max(labels, default=0) + 1 if labels is not None else 0
    return ItemStream(
        facts=ImageFacts({images.shape[1:3]: len(images)}, images.shape[3]),
        count=len(images),
        classes=tuple("abcdefghij"[:count]),
        chunks=lambda: iter([Chunk(images, indices, "uint8")]),
        limits=limits or Limits(),
    )


def point_stream(points: np.ndarray) -> ItemStream:
    chunk = Chunk(points.astype(np.float32), None, "float64")
    facts = PointFacts(points.shape[1])
    return ItemStream(facts, len(points), (), lambda: iter([chunk]), Limits())


def zip_of_sizes(path: Path, sizes: list[tuple[int, int]], mode: str = "L") -> ItemStream:
    with zipfile.ZipFile(path, "w") as archive:
        for index, (height, width) in enumerate(sizes):
            buffer = BytesIO()
            Image.new(mode, (width, height), index).save(buffer, "PNG")
            archive.writestr(f"{index}.png", buffer.getvalue())
    return read_archive(path)


def test_packed_items_are_the_source_in_order(tmp_path: Path) -> None:
    images, labels = noise(25, 6, 5, 3), [index % 3 for index in range(25)]
    manifest = pack(image_stream(images, labels), tmp_path / "d")
    dataset = open_packed(tmp_path / "d")
    np.testing.assert_array_equal(dataset.items, images)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == labels
    assert dataset.manifest == manifest
    assert manifest.space == ImageSpace(height=6, width=5, channels=3, classes=("a", "b", "c"))
    assert sorted(file.name for file in (tmp_path / "d").iterdir()) == sorted(FILES)
    dataset.verify()


def test_points_are_packed_with_their_scale(tmp_path: Path) -> None:
    points = np.random.default_rng(1).normal(1000, 3, size=(500, 3))
    manifest = pack(point_stream(points), tmp_path)
    expected = float(f"{points.astype(np.float32).astype(np.float64).std():.6g}")
    assert manifest.space == PointSpace(dimensions=3, scale=expected)
    np.testing.assert_array_equal(open_packed(tmp_path).items, points.astype(np.float32))


def test_equal_points_have_scale_one(tmp_path: Path) -> None:
    space = pack(point_stream(np.ones((4, 2))), tmp_path).space
    assert space == PointSpace(dimensions=2, scale=1.0)


def test_far_points_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        pack(point_stream(np.array([[-1e13], [1e13]])), tmp_path)
    assert refusal.value.code == "points_too_large"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(2, 30), st.integers(4, 9), st.integers(1, 4), st.booleans())
def test_same_content_has_the_same_id_and_files(
    tmp_path: Path, count: int, side: int, channels: int, labelled: bool
) -> None:
    images = noise(count, side, side, channels, seed=count)
    labels = [index % 2 for index in range(count)] if labelled else None
    first = pack(image_stream(images, labels), tmp_path / "a")
    second = pack(image_stream(images, labels), tmp_path / "b")
    assert first == second
    for name in FILES:
        files = [tmp_path / folder / name for folder in ("a", "b")]
        assert len({file.read_bytes() for file in files if file.exists()}) <= 1


def test_id_depends_on_items_labels_and_space(tmp_path: Path) -> None:
    images = noise(6, 8, 8, 1)
    streams = [
        image_stream(images),
        image_stream(images[::-1]),
        image_stream(images.reshape(6, 4, 16, 1)),
        image_stream(images, [0, 1, 0, 1, 0, 1]),
        image_stream(images, [1, 1, 0, 1, 0, 1]),
    ]
    ids = {pack(stream, tmp_path).id for stream in streams}
    assert len(ids) == len(streams)


@pytest.mark.parametrize(
    ("count", "wanted"), [(2, 0), (19, 0), (20, 2), (105, 10), (20_000, 2000), (60_000, 2000)]
)
def test_held_out_split_has_its_size(count: int, wanted: int) -> None:
    held_out = choose_held_out(count)
    assert len(held_out) == wanted
    assert (np.diff(held_out) > 0).all()
    assert not wanted or (held_out[0] >= 0 and held_out[-1] < count)


def test_held_out_split_is_fixed_and_spread() -> None:
    # By splitmix64 in plain Python integers.
    assert choose_held_out(20).tolist() == [2, 4]
    quarters = np.bincount(choose_held_out(10_000) // 2500, minlength=4)
    assert quarters.min() > 200


def test_training_never_sees_the_held_out_items(tmp_path: Path) -> None:
    pack(image_stream(noise(100, 8, 8, 1)), tmp_path)
    dataset = open_packed(tmp_path)
    assert len(dataset.held_out) == 10
    both = np.concatenate([dataset.held_out, dataset.training_indices])
    assert sorted(both.tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 3, (28, 28)),
        ([(48, 64)] * 3, (48, 64)),
        ([(70, 90), (75, 200), (300, 79)], (72, 72)),
        ([(5, 5), (7, 9)], (8, 8)),
        ([(400, 500), (600, 300), (700, 700)], (256, 256)),
    ],
)
def test_size_follows_the_originals(
    tmp_path: Path, sizes: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    manifest = pack(zip_of_sizes(tmp_path / "a.zip", sizes), tmp_path / "d")
    assert isinstance(manifest.space, ImageSpace)
    assert (manifest.space.height, manifest.space.width) == expected
    assert f"{expected[0]}x{expected[1]}" in manifest.report.resize_rule


def test_size_asked_for_wins(tmp_path: Path) -> None:
    manifest = pack(image_stream(noise(4, 9, 12, 3)), tmp_path, size=(16, 20))
    assert manifest.space == ImageSpace(height=16, width=20, channels=3)
    assert "asked for" in manifest.report.resize_rule


@pytest.mark.parametrize("size", [(3, 16), (16, 1025), (0, 0), (-8, 8)])
def test_sizes_out_of_bounds_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(DataError) as refusal:
        pack(image_stream(noise(4, 8, 8, 1)), tmp_path / "d", size)
    assert refusal.value.code == "size_out_of_bounds"
    assert not (tmp_path / "d").exists()


def test_size_of_points_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        pack(point_stream(np.zeros((4, 2))), tmp_path, (8, 8))
    assert refusal.value.code == "size_not_applicable"


def test_packed_size_is_checked_before_reading(tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk]:
        pytest.fail("items were read")
        yield

    facts = ImageFacts({(1000, 1000): 100}, 3)
    stream = ItemStream(facts, 100, (), chunks, Limits(max_packed_bytes=299_999_999))
    with pytest.raises(DataError) as refusal:
        pack(stream, tmp_path)
    assert (refusal.value.code, refusal.value.limit) == ("packed_too_large", 299_999_999)


def test_failed_packing_leaves_no_files(tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk]:
        yield Chunk(noise(3, 8, 8, 1), None, "uint8")
        raise DataError("idx_size_mismatch", "cut short")

    stream = ItemStream(ImageFacts({(8, 8): 6}, 1), 6, (), chunks, Limits())
    with pytest.raises(DataError):
        pack(stream, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_items_lost_while_decoding_leave_a_valid_array(tmp_path: Path) -> None:
    stream = zip_of_sizes(tmp_path / "a.zip", [(8, 8)] * 30)
    damaged = (tmp_path / "a.zip").read_bytes().replace(b"IDAT", b"IDAX", 1)
    (tmp_path / "a.zip").write_bytes(damaged)
    manifest = pack(stream, tmp_path / "d")
    assert (manifest.count, manifest.report.unreadable_count) == (29, 1)
    assert manifest.report.unreadable[0].name == "0.png"
    open_packed(tmp_path / "d").verify()


def test_report_counts_what_came_in(tmp_path: Path) -> None:
    images = noise(6, 8, 8, 3)
    images[4] = images[1]
    report = pack(image_stream(images, [0, 1, 1, 1, 1, 1]), tmp_path, (16, 16)).report
    assert report.duplicates == 1
    assert [(size.height, size.width, size.count) for size in report.original_sizes] == [(8, 8, 6)]
    assert [(form.name, form.count) for form in report.original_forms] == [("uint8, 3 channels", 6)]
    assert [(entry.name, entry.count) for entry in report.class_histogram] == [("a", 1), ("b", 5)]


def test_manifest_survives_json(tmp_path: Path) -> None:
    manifest = pack(image_stream(noise(4, 8, 8, 1), [0, 1, 0, 1]), tmp_path)
    assert Manifest.model_validate_json((tmp_path / "manifest.json").read_bytes()) == manifest


@pytest.mark.parametrize("name", ["items.npy", "labels.npy", "held_out.npy"])
def test_one_flipped_bit_is_found(tmp_path: Path, name: str) -> None:
    pack(image_stream(noise(40, 8, 8, 1), [index % 2 for index in range(40)]), tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[-8] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as refusal:
        open_packed(tmp_path).verify()
    assert refusal.value.code == "dataset_corrupt"


@pytest.mark.parametrize("name", ["items.npy", "labels.npy", "held_out.npy", "manifest.json"])
@pytest.mark.parametrize("kept", [None, 0, 100])
def test_missing_or_torn_files_are_found_on_opening(
    tmp_path: Path, name: str, kept: int | None
) -> None:
    pack(image_stream(noise(40, 8, 8, 1), [index % 2 for index in range(40)]), tmp_path)
    path = tmp_path / name
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError) as refusal:
        open_packed(tmp_path)
    assert refusal.value.code == "dataset_corrupt"


def test_manifest_that_contradicts_the_items_is_found(tmp_path: Path) -> None:
    pack(image_stream(noise(40, 8, 8, 1)), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["space"]["width"] = 9
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError) as refusal:
        open_packed(tmp_path)
    assert refusal.value.code == "dataset_corrupt"


def test_items_are_mapped_read_only(tmp_path: Path) -> None:
    pack(image_stream(noise(4, 8, 8, 1)), tmp_path)
    items = open_packed(tmp_path).items
    assert isinstance(items, np.memmap)
    assert not items.flags.writeable


def test_preview_shows_images_of_every_class(tmp_path: Path) -> None:
    images = np.repeat(np.array([0, 200], dtype=np.uint8), [990, 10])[:, None, None, None]
    stream = image_stream(np.tile(images, (1, 8, 8, 1)), [0] * 990 + [1] * 10)
    pack(stream, tmp_path)
    preview = np.asarray(Image.open(tmp_path / "preview.png"))
    assert preview.shape == (256, 256, 3)
    assert {int(value) for value in np.unique(preview)} == {0, 200, 255}


def test_preview_of_points_is_a_scatter_plot(tmp_path: Path) -> None:
    pack(point_stream(np.random.default_rng(0).normal(size=(300, 2))), tmp_path)
    with Image.open(tmp_path / "preview.png") as preview:
        assert preview.size == (256, 256)
        assert (np.asarray(preview) != 255).any()


@pytest.mark.parametrize("dimensions", [1, 5])
def test_points_of_any_dimension_have_a_preview(tmp_path: Path, dimensions: int) -> None:
    pack(point_stream(np.zeros((30, dimensions))), tmp_path)
    with Image.open(tmp_path / "preview.png") as preview:
        assert preview.size == (256, 256)
