"""Items that clients send to be scored, in any of four kinds of body."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.archive import is_image_name
from ganmodels.data.arrays import read_npy
from ganmodels.data.errors import DataError, printable
from ganmodels.data.images import decode_image, fit_image, read_image_header
from ganmodels.data.limits import Limits
from ganmodels.data.safezip import checked_members, member_name, open_zip, read_member
from ganmodels.spaces import ImageSpace, Space
from service.problems import Problem

MAX_ITEMS = 256
MAX_POINTS = 10_000
MAX_PIXELS = 100_000_000
LIMITS = Limits(
    max_entries=4 * MAX_ITEMS,
    max_unpacked_bytes=256 * 2**20,
    max_items=MAX_POINTS,
    min_items=1,
)


class Received(NamedTuple):
    """One item in the model's space, or why it could not be read."""

    name: str
    item: NDArray[np.generic] | None
    error: DataError | None


def from_images(files: list[tuple[str, bytes]], space: Space) -> list[Received]:
    """Image files by name; one that is bad does not spoil the others.

    Raises:
        Problem: when there are none or too many, or the model takes no images.
    """
    images = _require_images(space)
    _check_count(len(files), MAX_ITEMS)
    return _decode_all([(name, partial(bytes, data)) for name, data in files], images)


def from_zip(data: bytes, space: Space) -> list[Received]:
    """The images of an archive, by their suffix; a manifest among them is passed over."""
    images = _require_images(space)
    with _as_file(data) as path, open_zip(path, LIMITS) as archive:
        members = [
            member
            for member in checked_members(archive, LIMITS, is_image_name)
            if is_image_name(member_name(member))
        ]
        _check_count(len(members), MAX_ITEMS)
        files = [(member_name(member), partial(read_member, archive, member)) for member in members]
        return _decode_all(files, images)


def from_npy(data: bytes, space: Space) -> list[Received]:
    """Images [n, h, w] or [n, h, w, c], or points [n, d] in the dataset's own units.

    Floats of images are in [0, 1]: by their range alone a bright image in [-1, 1] could not be
    told, and no item may be read by its neighbours.
    """
    with _as_file(data) as path:
        stream = read_npy(path, None, LIMITS, is_dataset=False)
        _check_count(stream.count, MAX_ITEMS if isinstance(space, ImageSpace) else MAX_POINTS)
        items = [item for chunk in stream.chunks() for item in chunk.values]
    if isinstance(space, ImageSpace):
        _check_pixels(sum(math.prod(item.shape[:2]) for item in items))
    return [_fit(f"{index}", item, space) for index, item in enumerate(items)]


def _require_images(space: Space) -> ImageSpace:
    if not isinstance(space, ImageSpace):
        raise Problem("unsupported-media-type", "this model scores points; send application/x-npy")
    return space


def _decode_all(
    files: Sequence[tuple[str, Callable[[], bytes]]], space: ImageSpace
) -> list[Received]:
    # An archive's members are unpacked twice, which costs less than keeping them all in memory.
    _check_pixels(sum(_pixel_count(read) for _, read in files))
    return [_decode(name, read, space) for name, read in files]


def _pixel_count(read: Callable[[], bytes]) -> int:
    """Pixels that decoding would make: none where the header is refused already."""
    try:
        header = read_image_header(read(), LIMITS)
    except DataError:
        return 0
    return header.height * header.width


def _decode(name: str, read: Callable[[], bytes], space: ImageSpace) -> Received:
    try:
        return _fit(printable(name), decode_image(read(), LIMITS).pixels, space)
    except DataError as error:
        return Received(printable(name), None, error)


def _fit(name: str, item: NDArray[np.generic], space: Space) -> Received:
    if isinstance(space, ImageSpace):
        if item.ndim != 3:
            raise DataError("shape_mismatch", "this model scores images: [n, h, w] or [n, h, w, c]")
        fitted = fit_image(item.astype(np.uint8), space.height, space.width, space.channels)
        return Received(name, fitted, None)
    if item.shape != space.shape:
        raise DataError("shape_mismatch", f"this model scores points of {space.dimensions} values")
    return Received(name, item, None)


def _check_count(count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise Problem(
            "sample-too-large" if count else "validation",
            f"send 1 to {limit} items at once",
            limit=limit,
        )


def _check_pixels(count: int) -> None:
    if count > MAX_PIXELS:
        raise Problem(
            "sample-too-large",
            f"the images of one request may have {MAX_PIXELS} pixels in total; send fewer at once",
            limit=MAX_PIXELS,
        )


@contextmanager
def _as_file(data: bytes) -> Iterator[Path]:
    """Bytes as a file of ours, because archives are read from the end."""
    with tempfile.NamedTemporaryFile(prefix="ringside-") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)
