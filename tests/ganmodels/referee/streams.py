"""Small data sets of a shape that a test needs, and generators that are not networks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.limits import Limits
from ganmodels.data.packed import PackedDataset
from ganmodels.data.stream import Chunk, ImageFacts, ItemStream, PointFacts

Items = NDArray[np.generic]


def images(values: Items, labels: Items | None = None) -> ItemStream:
    facts = ImageFacts({values.shape[1:3]: len(values)}, values.shape[3])
    return _stream(facts, Chunk(values, labels, "uint8"), labels)


def points(values: Items, labels: Items | None = None) -> ItemStream:
    chunk = Chunk(values.astype(np.float32), labels, "float64")
    return _stream(PointFacts(values.shape[1]), chunk, labels)


def noise(*shape: int, seed: int = 0) -> Items:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def two_blobs(count: int, seed: int = 0) -> ItemStream:
    """Points of two classes that a line parts."""
    labels = np.arange(count) % 2
    spread = np.random.default_rng(seed).standard_normal((count, 2))
    return points(spread + 6 * labels[:, None], labels)


class Replay:
    """Stands for a sampler: draws what it is told, for as many as are asked for."""

    clusters = None

    def __init__(self, draw: Callable[[int], Items]) -> None:
        self._draw = draw

    def inputs(self, seed: int, offset: int, count: int) -> Items:
        return np.zeros((count, 1), dtype=np.float32)

    def labels(self, seed: int, offset: int, count: int) -> Items:
        return np.zeros(count, dtype=np.int64)

    def draw(self, inputs: Items, labels: Items) -> Items:
        return self._draw(len(inputs))


def of_training(dataset: PackedDataset, alter: Callable[[Items], Items] = np.asarray) -> Replay:
    """Draws training items, altered."""
    return Replay(lambda count: alter(dataset.items[dataset.training_indices[:count]]))


def noisy(images: Items, sigma: float) -> Items:
    """uint8 images with Gaussian noise of so many grey levels."""
    added = images + sigma * np.random.default_rng(1).standard_normal(images.shape)
    return np.clip(np.rint(added), 0, 255).astype(np.uint8)


def _stream(facts: ImageFacts | PointFacts, chunk: Chunk, labels: Items | None) -> ItemStream:
    names = () if labels is None else tuple(f"class {label}" for label in range(labels.max() + 1))
    return ItemStream(facts, len(chunk.values), names, lambda: iter([chunk]), Limits())
