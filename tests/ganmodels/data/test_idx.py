"""Claims about IDX files."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganmodels.data.errors import DataError
from ganmodels.data.limits import Limits
from ganmodels.data.readers import read_file
from ganmodels.data.stream import ItemStream

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx(array: np.ndarray, code: str = "u1") -> bytes:
    header = bytes([0, 0, CODES[code], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(code).tobytes()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def values(stream: ItemStream) -> np.ndarray:
    return np.concatenate([chunk.values for chunk in stream.chunks()])


def refusal(path: Path, labels: Path | None = None, limits: Limits | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        values(read_file(path, labels, limits or Limits()))
    return caught.value


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_images_come_out_as_they_went_in(tmp_path: Path, compress: type) -> None:
    stream = read_file(write(tmp_path / "x", compress(idx(IMAGES))))
    np.testing.assert_array_equal(values(stream), IMAGES[..., None])


@pytest.mark.parametrize("code", ["u1", "i1", ">i2", ">i4"])
def test_labels_come_from_a_second_file(tmp_path: Path, code: str) -> None:
    labels = write(tmp_path / "y", idx(np.array([7, 3, 3, 12, 7]), code))
    stream = read_file(write(tmp_path / "x", idx(IMAGES)), labels)
    (chunk,) = stream.chunks()
    assert stream.classes == ("3", "7", "12")
    assert chunk.labels is not None
    assert chunk.labels.tolist() == [1, 0, 0, 2, 1]


def test_float_matrix_is_points(tmp_path: Path) -> None:
    points = np.arange(12, dtype=np.float64).reshape(4, 3)
    stream = read_file(write(tmp_path / "x", idx(points, ">f8")))
    np.testing.assert_array_equal(values(stream), points.astype(np.float32))


@pytest.mark.parametrize("count", [4, 6])
def test_label_count_must_match(tmp_path: Path, count: int) -> None:
    labels = write(tmp_path / "y", idx(np.zeros(count)))
    error = refusal(write(tmp_path / "x", idx(IMAGES)), labels)
    assert (error.code, error.limit) == ("labels_mismatch", 5)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("change", [b"more", -1])
def test_size_must_be_exactly_as_declared(
    tmp_path: Path, compress: type, change: bytes | int
) -> None:
    data = idx(IMAGES)
    data = data + change if isinstance(change, bytes) else data[:change]
    assert refusal(write(tmp_path / "x", compress(data))).code == "idx_size_mismatch"


@pytest.mark.parametrize("sizes", [(2**32 - 1,) * 3, (2**31, 2, 2), (2, 2**20, 2**20)])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_lying_sizes_are_refused_without_allocating(
    tmp_path: Path, sizes: tuple[int, ...], compress: type
) -> None:
    data = bytes([0, 0, 8, 3]) + struct.pack(">3I", *sizes) + b"few"
    code = refusal(write(tmp_path / "x", compress(data))).code
    assert code in ("idx_size_mismatch", "too_many_items", "array_too_large")


def test_gzip_bomb_is_unpacked_no_further_than_declared(tmp_path: Path) -> None:
    bomb = gzip.compress(idx(IMAGES) + bytes(50 << 20))
    assert refusal(write(tmp_path / "x", bomb)).code == "idx_size_mismatch"


def test_declared_gzip_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 10_000, 1000, 1000)
    error = refusal(write(tmp_path / "x", gzip.compress(header + bytes(1 << 20))))
    assert (error.code, error.limit) == ("array_too_large", Limits().max_unpacked_bytes)


@pytest.mark.parametrize(
    "header", [b"\0\0\x08\0", b"\0\0\x07\x03", b"\1\0\x08\x03", b"\0\0\x08\xff", b"\0\0\x08\x03\0"]
)
def test_foreign_headers_are_refused(tmp_path: Path, header: bytes) -> None:
    assert refusal(write(tmp_path / "x", header)).code in ("not_idx", "unsupported_format")


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(idx(IMAGES))
    assert refusal(write(tmp_path / "x", data[:-12])).code == "unreadable_data"


def test_gzip_with_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(idx(IMAGES)))
    data[-8] ^= 1
    assert refusal(write(tmp_path / "x", bytes(data))).code == "unreadable_data"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from([idx(IMAGES), gzip.compress(idx(IMAGES)), idx(IMAGES[0], ">f4")]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4),
    st.integers(0, 3),
)
def test_damaged_files_give_items_or_a_data_error(
    tmp_path: Path, seed: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(seed)
    for position, value in changes:
        data[position % len(data)] = value
    try:
        read = values(read_file(write(tmp_path / "x", bytes(data[: len(data) - cut]))))
    except DataError:
        return
    assert read.dtype in (np.uint8, np.float32)
