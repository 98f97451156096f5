"""NumPy files: NPY, and NPZ with ``images`` (or ``points``) and optional ``labels``.

Headers are read with limits and judged before any value is loaded. Pickled objects are never
loaded.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipInfo

import numpy as np

from ganmodels.data.blocks import Readable, StoredArray
from ganmodels.data.errors import DataError
from ganmodels.data.limits import DEFAULT_LIMITS, Limits
from ganmodels.data.numeric import array_stream
from ganmodels.data.safezip import checked_members, open_zip
from ganmodels.data.stream import ItemStream

NPY_MAGIC = b"\x93NUMPY"
_ITEM_NAMES = ("images", "points")
_MAX_RANK = 4
# Magic and version, then two or four bytes of header length.
_PREFIX_BYTES = {(1, 0): 10, (2, 0): 12}


def read_npy(
    path: Path,
    labels: StoredArray | None = None,
    limits: Limits = DEFAULT_LIMITS,
    is_dataset: bool = True,
) -> ItemStream:
    """Images or points of an NPY file, as ``numeric.array_stream`` says.

    Raises: DataError ``npy_header``, ``npy_size_mismatch``, ``object_array``, ... and those
    of ``numeric.array_stream``.
    """
    return array_stream(open_npy(path, limits), labels, limits, is_dataset)


def read_npz(path: Path, limits: Limits = DEFAULT_LIMITS) -> ItemStream:
    """Images or points of an NPZ file: ``images`` or ``points``, else its only array.

    ``labels`` gives one integer for each item. Other members are ignored and counted.

    Raises: DataError ``npz_names``, those of ``safezip.checked_members`` and of read_npy.
    """
    # One member may be as large as the whole: it is read in blocks.
    zip_limits = limits.model_copy(update={"max_entry_bytes": limits.max_unpacked_bytes})
    with open_zip(path, limits) as archive:
        entries = checked_members(archive, zip_limits)
    members = {
        entry.filename.removesuffix(".npy"): entry
        for entry in entries
        if entry.filename.endswith(".npy")
    }
    labels = members.pop("labels", None)
    items = _choose_items(members)
    stream = array_stream(
        _open_member(path, items, limits),
        _open_member(path, labels, limits) if labels else None,
        limits,
    )
    stream.findings.skipped = len(entries) - 1 - (labels is not None)
    return stream


def open_npy(path: Path, limits: Limits) -> StoredArray:
    """Read and judge the header of an NPY file."""
    with path.open("rb") as file:
        dtype, shape, fortran_order, header_bytes = _read_header(file, limits)
    array = StoredArray(
        dtype=dtype,
        shape=shape,
        open_data=lambda: _open_file_at(path, header_bytes),
        mismatch_code="npy_size_mismatch",
        fortran_order=fortran_order,
    )
    return _checked(array, path.stat().st_size - header_bytes, limits)


def _choose_items(members: dict[str, ZipInfo]) -> ZipInfo:
    for name in _ITEM_NAMES:
        if name in members:
            return members[name]
    if len(members) == 1:
        return next(iter(members.values()))
    raise DataError(
        "npz_names",
        f"The NPZ file holds {len(members)} arrays, none named 'images' or 'points'; save it as "
        "numpy.savez(file, images=..., labels=...).",
    )


def _open_member(path: Path, entry: ZipInfo, limits: Limits) -> StoredArray:
    with _open_entry_at(path, entry, 0, limits) as file:
        dtype, shape, fortran_order, header_bytes = _read_header(file, limits)
    array = StoredArray(
        dtype=dtype,
        shape=shape,
        open_data=lambda: _open_entry_at(path, entry, header_bytes, limits),
        mismatch_code="npy_size_mismatch",
        fortran_order=fortran_order,
    )
    return _checked(array, entry.file_size - header_bytes, limits)


@contextmanager
def _open_file_at(path: Path, position: int) -> Iterator[Readable]:
    with path.open("rb") as file:
        file.seek(position)
        yield file


@contextmanager
def _open_entry_at(path: Path, entry: ZipInfo, position: int, limits: Limits) -> Iterator[Readable]:
    with open_zip(path, limits) as archive:
        try:
            member = archive.open(entry)
        # A local header that contradicts the directory.
        except Exception:
            raise _bad_header() from None
        with member:
            member.read(position)
            yield member


def _read_header(
    file: Readable, limits: Limits
) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """(dtype, shape, Fortran order, position of the first value)."""
    try:
        start = file.read(max(_PREFIX_BYTES.values()) + limits.max_array_header_bytes)
        header = io.BytesIO(start)
        version = np.lib.format.read_magic(header)
        header_bytes = _header_bytes(start, version, limits)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(header, limits.max_array_header_bytes)
    except DataError:
        raise
    # NumPy raises ValueError, MemoryError, TokenError, SyntaxError, TypeError, ... on damage.
    except Exception:
        raise _bad_header() from None
    return dtype, tuple(int(size) for size in shape), bool(fortran_order), header_bytes


def _header_bytes(start: bytes, version: tuple[int, int], limits: Limits) -> int:
    if version not in _PREFIX_BYTES:
        raise _bad_header()
    prefix = _PREFIX_BYTES[version]
    length = int.from_bytes(start[8:prefix], "little")
    if length > limits.max_array_header_bytes:
        raise DataError(
            "npy_header",
            f"The NPY header has {length} bytes; at most {limits.max_array_header_bytes} are "
            "read: save a plain numeric array.",
            limits.max_array_header_bytes,
        )
    return prefix + length


def _checked(array: StoredArray, data_bytes: int, limits: Limits) -> StoredArray:
    """Judge the declared form before a single value is read."""
    dtype = array.dtype
    if dtype.hasobject or dtype.fields is not None or dtype.subdtype is not None:
        raise DataError(
            "object_array",
            "The array holds Python objects or records; save a plain numeric array.",
        )
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise DataError(
            "dtype_unsupported",
            f"Arrays of type {dtype.name[:100]} are not read; save numbers of at most 64 bits.",
        )
    if not 1 <= len(array.shape) <= _MAX_RANK or min(array.shape) < 0:
        raise DataError(
            "shape_unsupported",
            f"The array has shape {str(array.shape)[:100]}; images have 3 or 4 axes, points 2, "
            "labels 1.",
            _MAX_RANK,
        )
    array.require_bytes(data_bytes)
    if array.fortran_order and array.byte_count > limits.max_fortran_bytes:
        raise DataError(
            "fortran_order",
            f"The array is column-major and larger than {limits.max_fortran_bytes} bytes; "
            "save numpy.ascontiguousarray(images).",
            limits.max_fortran_bytes,
        )
    return array


def _bad_header() -> DataError:
    return DataError(
        "npy_header", "The NPY header is damaged or unknown; save the array again with numpy.save."
    )
