"""NPY files written row by row, and read by row, without mapping them into memory.

Memory maps count towards RLIMIT_AS, under which the import child runs; plain reads do not.
"""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

_READ_BYTES = 1 << 20


class NpyWriter:
    """Writes an array whose first axis grows; the header is corrected on leaving.

    NumPy pads the header so that the length of the first axis can change in place.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Open ``path`` for items of this shape and type."""
        self._file: IO[bytes] = path.open("wb")
        self._shape = shape
        self._dtype = dtype
        self.count = 0
        self._write_header()
        self._data_start = self._file.tell()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Correct the header and fsync, unless an error passes through."""
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()
                if self._file.tell() != self._data_start:
                    raise AssertionError("the corrected NPY header changed its length")
                self._file.flush()
                os.fsync(self._file.fileno())

    def append(self, rows: NDArray[Any]) -> None:
        """Write some items."""
        if rows.shape[1:] != self._shape or rows.dtype != self._dtype:
            raise ValueError(f"expected rows of {self._shape} {self._dtype}, got {rows.shape}")
        self._file.write(np.ascontiguousarray(rows).data)
        self.count += len(rows)

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.count, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def write_npy(path: Path, values: NDArray[Any]) -> None:
    """Write a whole array and fsync it."""
    with NpyWriter(path, values.shape[1:], values.dtype) as writer:
        if values.size:
            writer.append(values)


def read_rows(path: Path, indices: NDArray[np.int64]) -> NDArray[Any]:
    """The items at some indices."""
    with path.open("rb") as file:
        shape, dtype = _read_header(file)
        start = file.tell()
        rows = np.empty((len(indices), *shape[1:]), dtype)
        row_bytes = rows.nbytes // max(1, len(indices))
        for row, index in enumerate(indices.tolist()):
            file.seek(start + index * row_bytes)
            flat = np.frombuffer(file.read(row_bytes), dtype)
            rows[row] = flat.reshape(shape[1:])
    return rows


def hash_values(path: Path, digest: "hashlib._Hash") -> None:
    """Feed the values, without the header, to a digest."""
    with path.open("rb") as file:
        _read_header(file)
        while block := file.read(_READ_BYTES):
            digest.update(block)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype
