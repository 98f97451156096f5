"""Claims about NPY and NPZ files: what is an image, what a point, what is refused."""

import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganmodels.data.errors import DataError
from ganmodels.data.limits import Limits
from ganmodels.data.packed import open_packed, pack
from ganmodels.data.readers import read_file
from ganmodels.data.stream import ImageFacts, ItemStream, PointFacts

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.save(file, array)
    return path


def savez(path: Path, **arrays: Any) -> Path:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def npy_declaring(shape: str, descr: str = "'|u1'", tail: bytes = b"data") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + tail


def values(stream: ItemStream) -> np.ndarray:
    return np.concatenate([chunk.values for chunk in stream.chunks()])


def refusal(path: Path, limits: Limits | None = None, labels: Path | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        values(read_file(path, labels, limits or Limits()))
    assert str(path.parent) not in caught.value.detail
    return caught.value


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_with_channels_last_stay_as_they_are(tmp_path: Path, channels: int) -> None:
    images = np.resize(IMAGES, (5, 6, 7, channels))
    stream = read_file(save(tmp_path / "x", images))
    assert stream.facts == ImageFacts({(6, 7): 5}, channels)
    np.testing.assert_array_equal(values(stream), images)


def test_grey_images_need_no_channel_axis(tmp_path: Path) -> None:
    stream = read_file(save(tmp_path / "x", IMAGES[..., 0]))
    np.testing.assert_array_equal(values(stream), IMAGES[..., :1])


@pytest.mark.parametrize("shape", [(5, 3, 6, 7), (5, 1, 28, 28), (5, 4, 8, 3), (5, 3, 8, 4)])
def test_channels_first_is_understood_where_clear(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.resize(IMAGES, shape)
    read = values(read_file(save(tmp_path / "x", images)))
    first = shape != (5, 4, 8, 3)
    np.testing.assert_array_equal(read, np.moveaxis(images, 1, -1) if first else images)


@pytest.mark.parametrize("shape", [(5, 4, 9, 4), (5, 3, 3, 3)])
def test_channels_in_doubt_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert refusal(save(tmp_path / "x", np.resize(IMAGES, shape))).code == "ambiguous_shape"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (np.array([0, 256, 32896, 65535], dtype=np.uint16), [0, 1, 128, 255]),
        (np.array([0, 256, 32896, 65535], dtype=">u2"), [0, 1, 128, 255]),
        (np.array([False, True, True, False]), [0, 255, 255, 0]),
        (np.array([0.0, 0.5, 0.25, 1.0], dtype=np.float16), [0, 128, 64, 255]),
        (np.array([0.0, 0.1, 0.2, 1.0], dtype=np.float64), [0, 26, 51, 255]),
        (np.array([-1.0, 0.0, 0.5, 1.0], dtype=">f4"), [0, 128, 191, 255]),
        (np.array([-0.5, 0.0, 0.0, 0.0], dtype=np.float32), [64, 128, 128, 128]),
    ],
)
def test_values_are_brought_to_uint8(tmp_path: Path, stored: np.ndarray, shown: list[int]) -> None:
    images = np.broadcast_to(stored[:, None, None], (4, 6, 6))
    read = values(read_file(save(tmp_path / "x", images)))
    assert read[:, 0, 0, 0].tolist() == shown


def test_float_images_up_to_255_are_refused_with_the_remedy(tmp_path: Path) -> None:
    error = refusal(save(tmp_path / "x", IMAGES.astype(np.float32)))
    assert error.code == "value_range"
    assert "scale them to [0, 1]" in error.detail


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(9, 6, 6), (9, 2)])
def test_numbers_that_are_not_finite_are_refused(
    tmp_path: Path, bad: float, shape: tuple[int, ...]
) -> None:
    array = np.zeros(shape)
    array[7] = bad
    error = refusal(save(tmp_path / "x", array))
    assert error.code == "not_finite"
    assert "Item 7" in error.detail


def test_points_beyond_float32_are_refused(tmp_path: Path) -> None:
    assert refusal(save(tmp_path / "x", np.full((3, 2), 1e300))).code == "not_finite"


def test_points_that_float32_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    times = np.stack([np.arange(40.0), 1.6e9 + np.arange(40)], axis=1)
    error = refusal(save(tmp_path / "x", times))
    assert error.code == "precision_lost"
    assert "Column 1" in error.detail
    for fine in (times - times.mean(0), np.full((9, 2), 1.6e9), times.astype(np.float32)):
        assert read_file(save(tmp_path / "x", fine)).count == len(fine)


def test_float_matrix_is_points(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(9, 64))
    stream = read_file(save(tmp_path / "x", points))
    assert stream.facts == PointFacts(64)
    np.testing.assert_array_equal(values(stream), points.astype(np.float32))


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((9, 65)), "shape_unsupported"),
        (np.zeros((9, 784), dtype=np.uint8), "shape_unsupported"),
        (np.zeros(9), "shape_unsupported"),
        (np.float32(1), "shape_unsupported"),
        (np.zeros((2, 3, 4, 5, 6)), "shape_unsupported"),
        (np.zeros((9, 6, 6, 5), dtype=np.uint8), "shape_unsupported"),
        (np.zeros((9, 0, 6), dtype=np.uint8), "image_too_large"),
        (np.zeros((9, 6, 6), dtype=np.int64), "dtype_unsupported"),
        (np.zeros((9, 6, 6), dtype=np.complex64), "dtype_unsupported"),
        (np.zeros((9, 6, 6), dtype="M8[s]"), "dtype_unsupported"),
        (np.zeros((9, 6), dtype="U3"), "dtype_unsupported"),
        (np.zeros((9, 6), dtype="V3"), "dtype_unsupported"),
        (np.zeros((9, 6), dtype=np.longdouble), "dtype_unsupported"),
        (np.zeros((9, 6), dtype=[("a", "u1")]), "object_array"),
        (np.zeros((1, 6, 6), dtype=np.uint8), "too_few_items"),
        (np.zeros((0, 6, 6), dtype=np.uint8), "too_few_items"),
    ],
)
def test_arrays_that_are_no_items_are_refused(tmp_path: Path, array: np.ndarray, code: str) -> None:
    assert refusal(save(tmp_path / "x", array)).code == code


def test_object_arrays_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (pytest.fail, ("the pickle was loaded",))

    array = np.array([Trap(), Trap()], dtype=object)
    assert refusal(save(tmp_path / "x", array)).code == "object_array"
    assert refusal(savez(tmp_path / "z", images=array)).code == "object_array"
    error = refusal(savez(tmp_path / "z", images=IMAGES, labels=array))
    assert error.code == "object_array"


@pytest.mark.parametrize(
    "shape", ["(10000000000000,)", "(3, 99999999, 99999999)", f"({'9' * 400},)", "(2, 6, 6)"]
)
def test_huge_declared_shapes_are_refused_by_the_file_size(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(npy_declaring(shape))
    assert refusal(path).code == "npy_size_mismatch"


@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ("(-1, 6, 6)", "'|u1'"),
        ("(2, 2, 2", "'|u1'"),
        ("(2, 2)", "'|z9'"),
        ("(2, 2)", "['|u1']"),
        ("(True, 'x')", "'|u1'"),
        ("(" * 90 + ")" * 90, "'|u1'"),
        ("(2, 2)", "__import__('os')"),
        ("0", "'|u1'"),
        ("(1,) * 99", "'|u1'"),
    ],
)
def test_hostile_headers_are_refused(tmp_path: Path, shape: str, descr: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(npy_declaring(shape, descr))
    assert refusal(path).code in ("npy_header", "shape_unsupported", "object_array")


def test_long_headers_are_refused_unparsed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<L", 2**32 - 1) + b" " * 100)
    error = refusal(path)
    assert (error.code, error.limit) == ("npy_header", 1000)


def test_column_major_arrays_are_read_within_their_limit(tmp_path: Path) -> None:
    path = save(tmp_path / "x", np.asfortranarray(IMAGES))
    np.testing.assert_array_equal(values(read_file(path)), IMAGES)
    assert refusal(path, Limits(max_fortran_bytes=100)).code == "fortran_order"


def test_blocks_join_seamlessly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganmodels.data.blocks.BLOCK_BYTES", 2 * IMAGES[0].nbytes)
    labels = np.array([3, 1, 4, 1, 5])
    stream = read_file(savez(tmp_path / "x", images=IMAGES, labels=labels))
    chunks = list(stream.chunks())
    assert [len(chunk.values) for chunk in chunks] == [2, 2, 1]
    np.testing.assert_array_equal(values(stream), IMAGES)
    assert [int(label) for chunk in chunks for label in chunk.labels] == [1, 0, 2, 0, 3]


def test_npz_labels_name_the_classes(tmp_path: Path) -> None:
    labels = np.array([[4], [0], [4], [-1], [0]])
    stream = read_file(savez(tmp_path / "x", images=IMAGES, labels=labels, other=np.zeros(3)))
    (chunk,) = stream.chunks()
    assert stream.classes == ("-1", "0", "4")
    assert chunk.labels is not None
    assert chunk.labels.tolist() == [2, 1, 2, 0, 1]
    assert stream.findings.skipped == 1


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (np.zeros(4, dtype=int), "labels_mismatch"),
        (np.zeros((5, 10), dtype=int), "labels_mismatch"),
        (np.zeros(5), "labels_not_integers"),
        (np.array(list("abcde")), "dtype_unsupported"),
    ],
)
def test_unfit_labels_are_refused(tmp_path: Path, labels: np.ndarray, code: str) -> None:
    assert refusal(savez(tmp_path / "x", images=IMAGES, labels=labels)).code == code


def test_too_many_label_values_are_refused(tmp_path: Path) -> None:
    path = savez(tmp_path / "x", images=IMAGES, labels=np.arange(5))
    assert refusal(path, Limits(max_classes=4)).code == "too_many_classes"


def test_the_only_array_of_an_npz_is_taken_by_any_name(tmp_path: Path) -> None:
    assert read_file(savez(tmp_path / "x", faces=IMAGES)).count == 5
    assert refusal(savez(tmp_path / "x", a=IMAGES, b=IMAGES)).code == "npz_names"


def test_npz_member_that_unpacks_a_thousandfold_is_a_bomb(tmp_path: Path) -> None:
    path = savez(tmp_path / "x", images=np.zeros((100, 256, 256), dtype=np.uint8))
    assert refusal(path).code == "zip_bomb"


def test_npz_member_shorter_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", npy_declaring("(9, 9, 9)"))
    assert refusal(path).code == "npy_size_mismatch"


def test_item_and_byte_limits_hold(tmp_path: Path) -> None:
    path = save(tmp_path / "x", IMAGES)
    assert refusal(path, Limits(max_items=4)).code == "too_many_items"
    assert refusal(path, Limits(max_unpacked_bytes=100)).code == "array_too_large"
    assert refusal(path, Limits(max_side=6)).code == "image_too_large"


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz_bytes(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


SEEDS = [
    npy_bytes(IMAGES),
    npy_bytes(np.zeros((9, 2))),
    npz_bytes(images=IMAGES, labels=np.arange(5)),
]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=4),
    st.integers(0, 3),
)
def test_damaged_files_give_items_or_a_data_error(
    tmp_path: Path, seed: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(seed)
    for position, value in changes:
        data[position % len(data)] = value
    (tmp_path / "x").write_bytes(data[: len(data) - cut])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = values(read_file(tmp_path / "x"))
        except DataError:
            return
    assert read.dtype in (np.uint8, np.float32)
    assert np.isfinite(read).all()


def test_channels_first_images_are_turned_round(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 9), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    manifest = pack(read_file(tmp_path / "images.npy"), tmp_path / "packed")
    assert (manifest.space.height, manifest.space.width, manifest.space.channels) == (8, 9, 3)
    packed = open_packed(tmp_path / "packed")
    assert np.array_equal(packed.items, np.moveaxis(images, 1, -1))
