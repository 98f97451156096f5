"""Numeric arrays inside files, read front to back in blocks of rows, never all at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.errors import DataError

BLOCK_BYTES = 8 << 20


class Readable(Protocol):
    """What an open file, a gzip stream and a ZIP member have in common."""

    def read(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes; fewer only at the end."""
        ...


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: its declared form, and how to reach its first value.

    ``open_data()`` gives a fresh reader at the first value. ``mismatch_code`` is the error
    code for data that is shorter or longer than declared.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    open_data: Callable[[], AbstractContextManager[Readable]]
    mismatch_code: str
    fortran_order: bool = False

    @property
    def byte_count(self) -> int:
        """Declared size of the data; Python integers do not overflow."""
        return math.prod(self.shape) * self.dtype.itemsize

    def require_bytes(self, actual: int) -> None:
        """Refuse a file whose data part is not exactly as long as declared."""
        if actual != self.byte_count:
            raise self._mismatch(f"holds {actual}")

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Consecutive rows in native byte order, about 8 MiB at a time.

        Raises: DataError ``mismatch_code`` or ``unreadable_data``.
        """
        try:
            with self.open_data() as data:
                yield from self._column_major(data) if self.fortran_order else self._rows(data)
        except (DataError, MemoryError):
            raise
        # EOFError, zlib.error, BadGzipFile, BadZipFile (CRC), OSError, struct.error, ...
        except Exception:
            raise DataError(
                "unreadable_data", "The compressed data is damaged or cut short; save it again."
            ) from None

    def read_all(self) -> NDArray[Any]:
        """The whole array; only for small ones, such as labels."""
        blocks = list(self.blocks())
        return np.concatenate(blocks) if blocks else np.empty(self.shape, self.dtype)

    def _rows(self, data: Readable) -> Iterator[NDArray[Any]]:
        row_shape = self.shape[1:]
        row_bytes = math.prod(row_shape) * self.dtype.itemsize
        rows_per_block = max(1, BLOCK_BYTES // max(1, row_bytes))
        for start in range(0, self.shape[0], rows_per_block):
            rows = min(rows_per_block, self.shape[0] - start)
            flat = np.frombuffer(self._read(data, rows * row_bytes), dtype=self.dtype)
            yield _native(flat.reshape(rows, *row_shape))
        self._require_end(data)

    def _column_major(self, data: Readable) -> Iterator[NDArray[Any]]:
        flat = np.frombuffer(self._read(data, self.byte_count), dtype=self.dtype)
        self._require_end(data)
        whole = flat.reshape(self.shape, order="F")
        rows_per_block = max(1, BLOCK_BYTES * self.shape[0] // max(1, self.byte_count))
        for start in range(0, self.shape[0], rows_per_block):
            yield _native(np.ascontiguousarray(whole[start : start + rows_per_block]))

    def _read(self, data: Readable, size: int) -> bytes:
        content = data.read(size)
        if len(content) != size:
            raise self._mismatch("holds fewer")
        return content

    def _require_end(self, data: Readable) -> None:
        # Reading past the end also makes gzip and zip readers verify their checksums.
        if data.read(1):
            raise self._mismatch("holds more")

    def _mismatch(self, finding: str) -> DataError:
        return DataError(
            self.mismatch_code,
            f"The header declares {self.byte_count} bytes of data but the file {finding}; "
            "it is cut short or not what its header says: save it again.",
        )


def _native(block: NDArray[Any]) -> NDArray[Any]:
    return block.astype(block.dtype.newbyteorder("="), copy=False)
