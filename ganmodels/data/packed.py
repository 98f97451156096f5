"""The packed form of a dataset: a directory named by its content, read through memory maps."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ganmodels.data.errors import DataError
from ganmodels.data.images import fit_image
from ganmodels.data.npyfile import NpyWriter, hash_values, read_rows, write_npy
from ganmodels.data.preview import draw_preview
from ganmodels.data.report import ImportReport, Tally
from ganmodels.data.scale import Spread
from ganmodels.data.sizing import Plan, plan_items
from ganmodels.data.stream import ItemStream, PointFacts
from ganmodels.rendering import as_png
from ganmodels.spaces import ImageSpace, PointSpace, Space
from ganmodels.spec import Spec

Labels = NDArray[np.int64]

ITEMS = "items.npy"
LABELS = "labels.npy"
HELD_OUT = "held_out.npy"
PREVIEW = "preview.png"
MANIFEST = "manifest.json"
FILES = (ITEMS, LABELS, HELD_OUT, PREVIEW, MANIFEST)

# Any other OSError is the disk's, and says nothing about what is on it.
_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_SMALLEST_SPLIT_DATASET = 20
_MOST_HELD_OUT = 2000
_MANIFEST_BYTES = 4 << 20


class Manifest(Spec):
    """What a packed dataset is. ``id`` follows from the content alone.

    ``sha256`` is over the space as JSON, the item values and the label values; ``id`` is
    "ds_" and its first 32 hexadecimal digits.
    """

    format_version: Literal[1] = 1
    id: str = Field(pattern=r"^ds_[0-9a-f]{32}$")
    space: Space
    count: int = Field(ge=1)
    held_out_count: int = Field(ge=0, le=_MOST_HELD_OUT)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    report: ImportReport


@dataclass(frozen=True)
class PackedDataset:
    """An open dataset: uint8 [n, h, w, c] images or float32 [n, d] points, memory-mapped.

    ``labels`` (int64 [n]) index ``manifest.space.classes``. ``held_out`` (sorted int64) are
    the items that training never sees; it is empty for fewer than 20 items.
    """

    directory: Path
    manifest: Manifest
    items: NDArray[Any]
    labels: Labels | None
    held_out: Labels

    @cached_property
    def training_indices(self) -> Labels:
        """All indices that are not held out, ascending."""
        is_training = np.ones(self.manifest.count, dtype=bool)
        is_training[self.held_out] = False
        return np.flatnonzero(is_training).astype(np.int64)

    def signature(self) -> tuple[int, ...]:
        """Numbers that change when a file is written to or replaced; much cheaper than a hash.

        Raises: DataError ``dataset_corrupt`` when a file is gone.
        """
        names = (ITEMS,) if self.labels is None else (ITEMS, LABELS)
        try:
            stats = [(self.directory / name).stat() for name in names]
        except FileNotFoundError:
            raise _corrupt("a file is missing or damaged") from None
        return tuple(n for s in stats for n in (s.st_ino, s.st_size, s.st_mtime_ns))

    def verify(self) -> None:
        """Hash everything again.

        Raises: DataError ``dataset_corrupt``.
        """
        try:
            sha256 = _content_hash(self.manifest.space, self.directory)
        except (*_MISSING, ValueError):
            raise _corrupt("a file is missing or damaged") from None
        if sha256 != self.manifest.sha256:
            raise _corrupt("the content does not have the hash in its manifest")
        if not np.array_equal(self.held_out, choose_held_out(self.manifest.count)):
            raise _corrupt("the held-out split is not the one fixed at import")


def pack(stream: ItemStream, directory: Path, size: tuple[int, int] | None = None) -> Manifest:
    """Write a dataset in packed form, in source order, and fsync it.

    The size and channel rules are those of ``sizing.plan_items``. On any error the files
    written so far are removed. ``directory`` is made if need be.

    Raises: DataError from the reader and from plan_items.
    """
    plan = plan_items(stream, size)
    directory.mkdir(parents=True, exist_ok=True)
    discard(directory)
    try:
        return _pack(stream, plan, directory)
    except BaseException:
        discard(directory)
        raise


def open_packed(directory: Path) -> PackedDataset:
    """Open a packed dataset without reading its items.

    Raises: DataError ``dataset_corrupt`` when a file is missing or contradicts the manifest.
    """
    try:
        with (directory / MANIFEST).open("rb") as file:
            manifest = Manifest.model_validate_json(file.read(_MANIFEST_BYTES))
        items = np.load(directory / ITEMS, mmap_mode="r", allow_pickle=False)
        labels = None
        if manifest.space.classes:
            labels = np.load(directory / LABELS, mmap_mode="r", allow_pickle=False)
        held_out = np.load(directory / HELD_OUT, allow_pickle=False)
    except (*_MISSING, ValueError, EOFError, ValidationError):
        raise _corrupt("a file is missing or damaged") from None
    _check_shapes(manifest, items, labels, held_out)
    return PackedDataset(directory, manifest, items, labels, held_out)


def choose_held_out(count: int) -> Labels:
    """The held-out indices of a dataset of this size, sorted.

    A tenth, at least 1 and at most 2,000; none below 20 items. They are the items whose index
    has the smallest hash (splitmix64), so that the choice outlives any random generator.
    """
    if count < _SMALLEST_SPLIT_DATASET:
        return np.empty(0, dtype=np.int64)
    wanted = min(max(1, count // 10), _MOST_HELD_OUT)
    # Unsigned arithmetic wraps around, as splitmix64 means it to.
    mixed = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.sort(np.argsort(mixed, kind="stable")[:wanted]).astype(np.int64)


def discard(directory: Path) -> None:
    """Remove the files of a packed dataset, and nothing else."""
    for name in FILES:
        (directory / name).unlink(missing_ok=True)


def _pack(stream: ItemStream, plan: Plan, directory: Path) -> Manifest:
    tally = Tally()
    labels, scale = _write_items(stream, plan, directory, tally)
    held_out = choose_held_out(tally.count)
    write_npy(directory / HELD_OUT, held_out)
    _write_preview(directory, tally.count, labels)
    space = _space(stream, plan, scale)
    sha256 = _content_hash(space, directory)
    manifest = Manifest(
        id=f"ds_{sha256[:32]}",
        space=space,
        count=tally.count,
        held_out_count=len(held_out),
        sha256=sha256,
        report=tally.report(stream, labels, plan.rule),
    )
    _write_synced(directory / MANIFEST, manifest.model_dump_json(indent=1).encode())
    _sync_directory(directory)
    return manifest


def _write_items(
    stream: ItemStream, plan: Plan, directory: Path, tally: Tally
) -> tuple[Labels | None, float]:
    """Write items and labels; returns the labels and the scale of points."""
    label_parts: list[Labels] = []
    spread = Spread()
    with NpyWriter(directory / ITEMS, plan.shape, plan.dtype) as writer:
        for chunk in stream.chunks():
            packed = _fit(chunk.values, plan)
            writer.append(packed)
            tally.add(chunk, packed)
            if chunk.labels is not None:
                label_parts.append(chunk.labels)
            if isinstance(stream.facts, PointFacts):
                spread.add(packed)
    stream.findings.require_usable(tally.count, stream.limits)
    if not stream.classes:
        return None, spread.scale()
    labels = np.concatenate(label_parts)
    _require_all_classes(stream.classes, labels)
    write_npy(directory / LABELS, labels)
    return labels, spread.scale()


def _require_all_classes(classes: Sequence[str], labels: Labels) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        empty = classes[int(np.argmin(counts))]
        raise DataError(
            "class_empty",
            f"No item of the class {empty!r} can be read: repair them, or leave the class out.",
        )


def _fit(values: NDArray[Any], plan: Plan) -> NDArray[Any]:
    """Bring a chunk to the packed shape; points and images that fit pass untouched."""
    if values.shape[1:] == plan.shape:
        return values
    height, width, channels = plan.shape
    return np.stack([fit_image(image, height, width, channels) for image in values])


def _space(stream: ItemStream, plan: Plan, scale: float) -> ImageSpace | PointSpace:
    if isinstance(stream.facts, PointFacts):
        return PointSpace(dimensions=stream.facts.dimensions, scale=scale, classes=stream.classes)
    height, width, channels = plan.shape
    return ImageSpace(height=height, width=width, channels=channels, classes=stream.classes)


def _content_hash(space: ImageSpace | PointSpace, directory: Path) -> str:
    """SHA-256 over space, items, labels. The space fixes where one ends and the next begins."""
    digest = hashlib.sha256(space.model_dump_json().encode())
    hash_values(directory / ITEMS, digest)
    if space.classes:
        hash_values(directory / LABELS, digest)
    return digest.hexdigest()


def _check_shapes(
    manifest: Manifest, items: NDArray[Any], labels: NDArray[Any] | None, held_out: NDArray[Any]
) -> None:
    is_image = isinstance(manifest.space, ImageSpace)
    # A space's shape has channels first; the stored items have them last.
    shape = (*manifest.space.shape[1:], manifest.space.shape[0])
    dtype: np.dtype[Any] = np.dtype(np.uint8 if is_image else np.float32)
    if items.shape != (manifest.count, *shape) or items.dtype != dtype:
        raise _corrupt("the items do not have the shape in the manifest")
    if labels is not None and (labels.shape != (manifest.count,) or labels.dtype != np.int64):
        raise _corrupt("there is not one label for each item")
    if held_out.shape != (manifest.held_out_count,) or held_out.dtype != np.int64:
        raise _corrupt("the held-out split does not have the size in the manifest")


def _write_preview(directory: Path, count: int, labels: Labels | None) -> None:
    picture = draw_preview(lambda indices: read_rows(directory / ITEMS, indices), count, labels)
    _write_synced(directory / PREVIEW, as_png(picture))


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _corrupt(finding: str) -> DataError:
    return DataError(
        "dataset_corrupt", f"The packed dataset is corrupt: {finding}; import it again."
    )
