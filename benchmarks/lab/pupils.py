"""Pupils: classifiers of images of 28x28 pixels, all of one kind, that learn from what they get."""

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.lab.mnist import Images, Labels, mnist
from benchmarks.lab.mnist_judge import learn, new_network

EPOCHS = 3
_AT_ONCE = 500


class Pupil:
    """The judge's network, after so many passes over images shifted by up to two pixels.

    Up to ten classes.
    """

    def __init__(self, images: Images, labels: Labels, seed: int, epochs: int = EPOCHS) -> None:
        self._network = new_network(seed)
        learn(self._network, images, labels, epochs, seed)
        self._network.eval()

    @torch.inference_mode()
    def name(self, images: NDArray[np.generic]) -> Labels:
        """The class of each of the images [n, 28, 28] in 0..255."""
        pixels = torch.from_numpy(np.array(images)).reshape(-1, 1, 28, 28)
        scaled = (some.float() / 127.5 - 1 for some in pixels.split(_AT_ONCE))
        named: Labels = torch.cat([self._network(some).argmax(1) for some in scaled]).numpy()
        return named


def exam_score(images: Images, labels: Labels, seed: int) -> float:
    """Share of MNIST's 10,000 test images that a pupil names rightly who learned from these."""
    data = mnist()
    return float((Pupil(images, labels, seed).name(data.test_images) == data.test_labels).mean())
