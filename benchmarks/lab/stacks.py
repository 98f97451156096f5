"""Stacked MNIST: three random digits as the channels of one image, a thousand modes in all."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.lab.mnist import Images
from benchmarks.lab.mnist_judge import CONFIDENT, MnistJudge
from ganmodels.data.batches import Batch, stream, to_network
from ganmodels.spaces import ImageSpace

MODES = 1000
SPACE = ImageSpace(height=28, width=28, channels=3)
_PLACES = np.array([100, 10, 1])


class Stacks:
    """Endless batches of stacks, drawn on the fly; draw ``d`` is always the same batch."""

    def __init__(self, images: Images, batch_size: int, seed: int, device: torch.device) -> None:
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self._images = torch.from_numpy(np.array(images)).to(device)
        self._random = torch.Generator()

    def at(self, draw: int) -> Batch:
        """Batch number ``draw`` (from 0), without labels."""
        random = stream(self.seed, "stacks", draw, self._random)
        count = len(self._images)
        chosen = torch.randint(count, (self.batch_size, 3), generator=random).to(self.device)
        # [batch, channel, height, width] to [batch, height, width, channel], as items are stored.
        stacked = self._images[chosen].permute(0, 2, 3, 1)
        return Batch(to_network(stacked, SPACE, self.device), None)


class Coverage(NamedTuple):
    """How many of the thousand modes are there, and how unevenly, in nats."""

    modes: int
    kl: float


class Judged(NamedTuple):
    """What stacks cover, and the share of them in which the judge is sure of all three digits."""

    modes: int
    kl: float
    confident: float


def real_stacks(images: Images, count: int, seed: int) -> NDArray[np.uint8]:
    """Stacks [count, 28, 28, 3] of random digits."""
    chosen = np.random.default_rng(seed).integers(len(images), size=(count, 3))
    return np.ascontiguousarray(images[chosen].transpose(0, 2, 3, 1))


def coverage(judge: MnistJudge, stacks: NDArray[np.generic]) -> Judged:
    """Of stacks [n, 28, 28, 3] in 0..255: each channel is judged as a digit of its own."""
    verdicts = [judge.judge(stacks[..., channel]) for channel in range(3)]
    found = coverage_of(np.stack([verdict.labels for verdict in verdicts], 1) @ _PLACES)
    least = np.min([verdict.confidence for verdict in verdicts], axis=0)
    return Judged(*found, confident=float((least > CONFIDENT).mean()))


def coverage_of(modes: NDArray[np.int64]) -> Coverage:
    """Of modes [n] in 0..999.

    KL = sum p log(1000 p) against the uniform distribution, natural logarithm; modes that never
    occur add nothing. Uniform samples get about 999 / (2 n): figures of other n are not
    comparable. Source: Metz et al. 2017 (arXiv:1611.02163); Lin et al. 2018 (arXiv:1712.04086).
    """
    counts = np.bincount(modes, minlength=MODES)
    shares = counts[counts > 0] / counts.sum()
    return Coverage(int((counts > 0).sum()), float(shares @ np.log(MODES * shares)))
