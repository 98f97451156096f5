"""PNG (ISO/IEC 15948), as fast as it can be made: decision 16 has the figures.

Each row is written as its difference from the one above (filter Up) and deflated by ISA-L.
"""

import struct
import zlib

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Colour types of the format, by the number of channels: grey, grey + alpha, RGB, RGBA.
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
_BITS, _FILTER_UP, _DEFLATE_LEVEL = 8, 2, 1
# Less than this is stored: three times as fast, and the rest of an answer is as long.
_STORED_BYTES = 2048
# As much as a client gets in its first round trip, headers of the answer apart: ten segments
# (RFC 6928). Fewer bytes would not arrive any sooner.
_ALONE_BYTES = 13_000


def encode_png(
    pixels: NDArray[np.generic], keyword: str, text: str, is_alone: bool = False
) -> bytes:
    """A picture, uint8 [height, width, channels] of 1 to 4 channels, with a text under a keyword.

    The keyword has 1 to 79 Latin-1 characters; the text may have any. A picture that ``is_alone``
    in its answer is only compressed where it takes more than a round trip.
    """
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, _BITS, _COLOURS[channels], 0, 0, 0)
    # No compression, no language, no translated keyword.
    note = keyword.encode("latin-1") + bytes(5) + text.encode()
    lines = _lines(pixels.reshape(height, width * channels))
    parts = (
        _SIGNATURE,
        *_chunk(b"IHDR", header),
        *_chunk(b"iTXt", note),
        *_chunk(b"IDAT", _deflate(lines, _ALONE_BYTES if is_alone else _STORED_BYTES)),
        *_chunk(b"IEND", b""),
    )
    return b"".join(parts)


def _lines(rows: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Rows as the format wants them: the number of the filter, then the filtered bytes."""
    height, width = rows.shape
    lines = np.empty((height, 1 + width), dtype=np.uint8)
    lines[:, 0] = _FILTER_UP
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    return lines


def _deflate(lines: NDArray[np.uint8], stored_bytes: int) -> bytes:
    if lines.nbytes < stored_bytes:
        return zlib.compress(lines.data, 0)
    return isal_zlib.compress(lines, _DEFLATE_LEVEL)


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    checksum = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)
