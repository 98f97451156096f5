"""Digits that a match draws, and what a frozen judge makes of them."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.lab.mnist import mnist
from benchmarks.lab.mnist_judge import CONFIDENT, MnistJudge
from benchmarks.lab.playing import Played
from ganmodels.referee.measures.modes import modes

SAMPLE_SEED = 0
# Of one class: all pairs of so many items.
_COMPARED = 200


def drawn(
    played: Played, count: int, labels: NDArray[np.int64] | None = None
) -> NDArray[np.generic]:
    """Samples 0 to ``count - 1`` of seed 0 [count, 28, 28] in 0..255; ``labels`` is cycled."""
    sampler = played.sampler()
    chosen = sampler.labels(SAMPLE_SEED, 0, count) if labels is None else np.resize(labels, count)
    return sampler.draw(sampler.latents(SAMPLE_SEED, 0, count), chosen)[..., 0]


def legibility(images: NDArray[np.generic], judge: MnistJudge) -> dict[str, float]:
    """How many of the ten digits there are, the rarest's share, and that of clear images.

    A digit counts if it has a tenth of its share among real test images.
    """
    verdict, real = judge.judge(images), judge.judge(mnist().test_images)
    return {
        "digits": modes(verdict.labels, real.labels, classes=10).covered.value,
        "rarest": float(np.bincount(verdict.labels, minlength=10).min() / len(images)),
        "confident": float((verdict.confidence > CONFIDENT).mean()),
    }


def spreads(items: NDArray[np.generic], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean Euclidean distance between two items of one class, for each class in order.

    Of the first 200 items of a class, at least 2; items [n, ...].
    """
    flat = np.asarray(items, np.float64).reshape(len(items), -1)
    means = []
    for label in np.unique(labels):
        members = flat[labels == label][:_COMPARED]
        squares = (members**2).sum(1)
        distances = squares[:, None] + squares - 2 * members @ members.T
        pairs = len(members) * (len(members) - 1)
        means.append(np.sqrt(distances.clip(0)).sum() / pairs)
    return np.array(means)
