"""IDX files (the format of MNIST), plain or gzip: a big-endian header, then the values."""

import gzip
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from ganmodels.data.blocks import Readable, StoredArray
from ganmodels.data.errors import DataError
from ganmodels.data.limits import DEFAULT_LIMITS, Limits
from ganmodels.data.numeric import array_stream
from ganmodels.data.stream import ItemStream

GZIP_MAGIC = b"\x1f\x8b"
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RANK = 4


def read_idx(
    path: Path, labels: StoredArray | None = None, limits: Limits = DEFAULT_LIMITS
) -> ItemStream:
    """Images or points of an IDX file, with labels from a second file if given.

    The values must fill the file exactly as the header says; in gzip files this shows while
    they are read, and never more than the declared bytes are unpacked.

    Raises: DataError ``not_idx``, ``idx_size_mismatch``, ``unreadable_data`` and those of
    ``numeric.array_stream``.
    """
    return array_stream(open_idx(path), labels, limits)


def is_idx_header(start: bytes) -> bool:
    """Whether these four bytes can begin an IDX file."""
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in _TYPES and start[3] > 0


def open_idx(path: Path) -> StoredArray:
    """Read the header of an IDX file."""
    is_gzip = _starts_with_gzip(path)
    try:
        with _open_bytes(path, is_gzip) as file:
            code, shape = _read_header(file)
    except DataError:
        raise
    # gzip raises EOFError, zlib.error, BadGzipFile or struct.error on damage.
    except Exception:
        raise _not_idx() from None
    header_bytes = 4 + 4 * len(shape)
    array = StoredArray(
        dtype=np.dtype(_TYPES[code]),
        shape=shape,
        open_data=lambda: _open_after(path, is_gzip, header_bytes),
        mismatch_code="idx_size_mismatch",
    )
    if not is_gzip:
        array.require_bytes(path.stat().st_size - header_bytes)
    return array


def _starts_with_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def _open_bytes(path: Path, is_gzip: bool) -> AbstractContextManager[Readable]:
    return gzip.open(path, "rb") if is_gzip else path.open("rb")


@contextmanager
def _open_after(path: Path, is_gzip: bool, header_bytes: int) -> Iterator[Readable]:
    with _open_bytes(path, is_gzip) as file:
        file.read(header_bytes)
        yield file


def _read_header(file: Readable) -> tuple[int, tuple[int, ...]]:
    start = file.read(4)
    if not is_idx_header(start):
        raise _not_idx()
    code, rank = start[2], start[3]
    sizes = file.read(4 * rank)
    if rank > _MAX_RANK or len(sizes) != 4 * rank:
        raise _not_idx()
    return code, tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))


def _not_idx() -> DataError:
    return DataError(
        "not_idx",
        "The file is not IDX: it must begin with 0, 0, a value type, a rank of 1 to 4 and the "
        "sizes as big-endian 32-bit integers.",
        _MAX_RANK,
    )
