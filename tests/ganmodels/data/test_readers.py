"""Claims about telling the kind of a file."""

import gzip
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganmodels.data.errors import DataError
from ganmodels.data.readers import detect_kind, read_file


def png() -> bytes:
    buffer = BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def zip_of(**members: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


IDX_START = b"\0\0\x08\x03"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (zip_of(a_png=b"", b_npy=b""), "archive"),
        (zip_of(), "archive"),
        (zip_of(images_npy=b""), "npz"),
        (npy(np.zeros(3)), "npy"),
        (IDX_START, "idx"),
        (gzip.compress(IDX_START, mtime=0), "idx"),
    ],
)
def test_kind_is_told_by_bytes_not_by_name(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "misleading.exe"
    path.write_bytes(data)
    assert detect_kind(path) == kind


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        png(),
        b"a,b\n1,2\n",
        gzip.compress(b"text", mtime=0),
        b"\x1f\x8b",
        b"<html>PK\x03\x04",
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(DataError) as refusal:
        read_file(tmp_path / "x.zip")
    assert refusal.value.code == "unsupported_format"


@pytest.mark.parametrize(
    "data", [zip_of(a_png=png(), b_png=png()), zip_of(images_npy=npy(np.zeros((3, 2))))]
)
def test_labels_file_beside_self_labelled_data_is_a_conflict(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    (tmp_path / "y").write_bytes(npy(np.arange(2)))
    with pytest.raises(DataError) as refusal:
        read_file(tmp_path / "x", tmp_path / "y")
    assert refusal.value.code == "label_conflict"


def test_labels_file_may_be_npy_and_nothing_unknown(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(npy(np.zeros((3, 2))))
    (tmp_path / "y").write_bytes(npy(np.arange(3)))
    assert read_file(tmp_path / "x", tmp_path / "y").classes == ("0", "1", "2")
    with pytest.raises(DataError) as refusal:
        (tmp_path / "y").write_bytes(zip_of())
        read_file(tmp_path / "x", tmp_path / "y")
    assert refusal.value.code == "unsupported_format"


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(
        [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\0", IDX_START, b"\x1f\x8b\x08"]
    ),
    st.binary(max_size=200),
)
@example(b"PK\x05\x06", b"\0" * 18)
def test_random_bytes_are_refused_with_a_data_error(
    tmp_path: Path, start: bytes, rest: bytes
) -> None:
    (tmp_path / "x").write_bytes(start + rest)
    with pytest.raises(DataError):
        list(read_file(tmp_path / "x").chunks())
