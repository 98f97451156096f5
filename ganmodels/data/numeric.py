"""Numeric arrays as items: which arrays are images, which are points, and in what range."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.blocks import StoredArray
from ganmodels.data.errors import DataError
from ganmodels.data.limits import Limits
from ganmodels.data.stream import Chunk, ImageFacts, ItemStream, PointFacts

MAX_DIMENSIONS = 64
_SMALLEST_SIDE = 4
# Of float32, in which the values of a column must spread.
_LEAST_STEPS = 1_000
# Rounding may push a normalised float a little over its bound.
_SLACK = 1e-6

Labels = NDArray[np.int64]
ToUint8 = Callable[[NDArray[Any]], NDArray[np.uint8]]


def array_stream(
    array: StoredArray, labels: StoredArray | None, limits: Limits, is_dataset: bool = True
) -> ItemStream:
    """Items of a numeric array, with one integer label each if ``labels`` is given.

    Float arrays [n, d] with d <= 64 are points. Images are [n, h, w], [n, h, w, c] with c in
    1..4, or [n, c, h, w] with c in 1, 3, 4 where the shape leaves no doubt; their values are
    uint8; uint16, scaled by 1/257; bool, as 0 and 255; or floats: taken as [0, 1] if all lie
    there, else as [-1, 1] if all lie there, else refused. Channels stay as they are. ``is_dataset``
    is false for a few items, whose range tells nothing: their floats are in [0, 1].

    Raises: DataError ``dtype_unsupported``, ``shape_unsupported``, ``ambiguous_shape``,
    ``value_range``, ``precision_lost``, ``not_finite``, ``image_too_large``, ``array_too_large``,
    ``too_few_items``, ``too_many_items``, ``labels_mismatch``, ``labels_not_integers``,
    ``too_many_classes``.
    """
    _check_count(array, limits)
    classes, indices = _read_labels(labels, array.shape[0], limits) if labels else ((), None)
    if array.dtype.kind == "f" and len(array.shape) == 2:
        facts: ImageFacts | PointFacts = _point_facts(array)
        if is_dataset:
            _require_resolution(array)
        return ItemStream(
            facts, array.shape[0], classes, lambda: _point_chunks(array, indices), limits
        )
    height, width, channels, channels_first = _layout(array.shape)
    _check_side(height, width, limits)
    convert = _conversion(array, may_be_signed=is_dataset)
    facts = ImageFacts({(height, width): array.shape[0]}, channels)

    def chunks() -> Iterator[Chunk]:
        for start, block in _numbered(array):
            pixels = convert(block)
            if channels_first:
                pixels = np.ascontiguousarray(np.moveaxis(pixels, 1, -1))
            pixels = pixels.reshape(len(block), height, width, channels)
            yield Chunk(pixels, _part(indices, start, len(block)), array.dtype.name)

    return ItemStream(facts, array.shape[0], classes, chunks, limits)


def _check_count(array: StoredArray, limits: Limits) -> None:
    count = array.shape[0] if array.shape else 0
    if count < limits.min_items:
        raise DataError(
            "too_few_items",
            f"The array has shape {_show(array.shape)}; its first axis must count at least "
            f"{limits.min_items} items.",
            limits.min_items,
        )
    if count > limits.max_items:
        raise DataError(
            "too_many_items",
            f"The array has {count} items; at most {limits.max_items} are allowed: "
            "import a part of it.",
            limits.max_items,
        )
    if array.byte_count > limits.max_unpacked_bytes:
        raise DataError(
            "array_too_large",
            f"The array declares {array.byte_count} bytes; at most {limits.max_unpacked_bytes} "
            "are read: import a part of it, or use a smaller type.",
            limits.max_unpacked_bytes,
        )


def _read_labels(labels: StoredArray, count: int, limits: Limits) -> tuple[tuple[str, ...], Labels]:
    """Distinct labels in ascending order become the classes, named by their number."""
    if labels.shape not in ((count,), (count, 1)):
        raise DataError(
            "labels_mismatch",
            f"There are {count} items but the labels have shape {_show(labels.shape)}; "
            f"exactly one integer for each item is needed, shape ({count},).",
            count,
        )
    if labels.dtype.kind not in "iu":
        raise DataError(
            "labels_not_integers",
            f"The labels have type {labels.dtype.name}; save them as integers.",
        )
    values, indices = np.unique(labels.read_all().reshape(-1), return_inverse=True)
    if len(values) > limits.max_classes:
        raise DataError(
            "too_many_classes",
            f"The labels name {len(values)} classes; at most {limits.max_classes} are allowed.",
            limits.max_classes,
        )
    return tuple(str(value) for value in values.tolist()), indices.astype(np.int64)


def _point_facts(array: StoredArray) -> PointFacts:
    dimensions = array.shape[1]
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise DataError(
            "shape_unsupported",
            f"Points have 1 to {MAX_DIMENSIONS} coordinates but the array has shape "
            f"{_show(array.shape)}; reshape flat images to [n, height, width].",
            MAX_DIMENSIONS,
        )
    return PointFacts(dimensions)


def _require_resolution(array: StoredArray) -> None:
    """Points are kept in float32, which must tell their values apart."""
    if array.dtype.itemsize <= np.dtype(np.float32).itemsize:
        return
    low = np.full(array.shape[1], np.inf)
    high = -low
    for _, block in _numbered(array):
        if len(block):
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    with np.errstate(invalid="ignore", over="ignore"):
        spread, step = high - low, np.maximum(abs(low), abs(high)) * np.finfo(np.float32).eps
        lost = (spread > 0) & (spread < _LEAST_STEPS * step)
    if lost.any():
        column = int(np.argmax(lost))
        raise DataError(
            "precision_lost",
            f"Column {column} lies between {low[column]:.17g} and {high[column]:.17g}, which "
            "float32 hardly tells apart; subtract its mean.",
        )


def _point_chunks(array: StoredArray, indices: Labels | None) -> Iterator[Chunk]:
    for start, block in _numbered(array):
        with np.errstate(over="ignore"):
            points = block.astype(np.float32)
        _require_finite(points, start)
        yield Chunk(points, _part(indices, start, len(block)), array.dtype.name)


def _conversion(array: StoredArray, may_be_signed: bool) -> ToUint8:
    """The function that turns blocks of this array into uint8."""
    kind, name = array.dtype.kind, array.dtype.name
    if name == "uint8":
        return lambda block: block
    if name == "uint16":
        return lambda block: ((block.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind == "b":
        return lambda block: (block != 0).astype(np.uint8) * np.uint8(255)
    if kind != "f":
        raise DataError(
            "dtype_unsupported",
            f"Images of type {name} are not read; save uint8, uint16, bool or floats in [0, 1], "
            "for example images.astype(numpy.uint8).",
        )
    low, high = _range(array)
    if low >= -_SLACK and high <= 1 + _SLACK:
        return lambda block: _scale(block, 255.0, 0.0)
    if may_be_signed and low >= -1 - _SLACK and high <= 1 + _SLACK:
        return lambda block: _scale(block, 127.5, 127.5)
    or_signed = " or [-1, 1]" if may_be_signed else ""
    raise DataError(
        "value_range",
        f"The float images lie in [{low:g}, {high:g}]; scale them to [0, 1]{or_signed}, "
        "or save them as uint8.",
    )


def _range(array: StoredArray) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for start, block in _numbered(array):
        _require_finite(block, start)
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high


def _scale(block: NDArray[Any], factor: float, offset: float) -> NDArray[np.uint8]:
    scaled = np.rint(block.astype(np.float64) * factor + offset)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _require_finite(block: NDArray[Any], start: int) -> None:
    finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
    if not finite.all():
        raise DataError(
            "not_finite",
            f"Item {start + int(np.argmin(finite))} holds NaN, infinity or a number too large "
            "for float32; remove such items.",
        )


def _layout(shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """(height, width, channels, channels come first) of an image array's shape."""
    if len(shape) == 3:
        return shape[1], shape[2], 1, False
    if len(shape) != 4:
        raise _bad_shape(shape)
    _, first, middle, last = shape
    can_be_last, can_be_first = last in (1, 2, 3, 4), first in (1, 3, 4)
    if can_be_last and can_be_first:
        # Both fit by number; then only one that leaves real images is meant.
        can_be_last = min(first, middle) >= _SMALLEST_SIDE
        can_be_first = min(middle, last) >= _SMALLEST_SIDE
        if can_be_last == can_be_first:
            raise DataError(
                "ambiguous_shape",
                f"Shape {_show(shape)} may be [n, h, w, c] or [n, c, h, w]; "
                "use images larger than their channels.",
            )
    if can_be_last:
        return first, middle, last, False
    if can_be_first:
        return middle, last, first, True
    raise _bad_shape(shape)


def _check_side(height: int, width: int, limits: Limits) -> None:
    is_side_wrong = not 1 <= min(height, width) <= max(height, width) <= limits.max_side
    if is_side_wrong or height * width > limits.max_pixels_per_image:
        raise DataError(
            "image_too_large",
            f"The images are {height}x{width}; 1 to {limits.max_side} pixels a side and at most "
            f"{limits.max_pixels_per_image} in all are read: resize them.",
            limits.max_side,
        )


def _bad_shape(shape: tuple[int, ...]) -> DataError:
    return DataError(
        "shape_unsupported",
        f"An array of shape {_show(shape)} is neither images [n, h, w] or [n, h, w, c], c in "
        "1..4, nor float points [n, d]; reshape it.",
    )


def _show(shape: tuple[int, ...]) -> str:
    """A shape for messages; a hostile header may declare thousand-digit axes."""
    return str(shape)[:100]


def _numbered(array: StoredArray) -> Iterator[tuple[int, NDArray[Any]]]:
    """Blocks with the index of their first row."""
    start = 0
    for block in array.blocks():
        yield start, block
        start += len(block)


def _part(indices: Labels | None, start: int, count: int) -> Labels | None:
    return None if indices is None else indices[start : start + count]
