"""Judges that never see a generated item while they learn."""

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import nn

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Verdict(NamedTuple):
    """Predicted labels and the judge's confidence in them."""

    labels: Labels
    confidence: NDArray[np.float64]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


class DigitsJudge:
    """A support vector machine on scikit-learn's 8x8 digits."""

    def __init__(self, seed: int = 0) -> None:
        digits = load_digits()
        order = np.random.default_rng(seed).permutation(len(digits.data))
        train, test = order[:1300], order[1300:]
        self._machine = SVC(gamma=0.001 * 16**2, C=10).fit(
            digits.data[train] / 16, digits.target[train]
        )
        right = self._machine.predict(digits.data[test] / 16) == digits.target[test]
        self.test_accuracy = float(right.mean())

    def labels(self, images: Images) -> Labels:
        """Labels of 16x16 grey images."""
        predicted: Labels = self._machine.predict(halve(images))
        return predicted


def halve(images: Images) -> NDArray[np.float64]:
    """Means over 2x2 pixels, flattened, in [0, 1]."""
    count, height, width = images.shape[:3]
    cells = images.reshape(count, height // 2, 2, width // 2, 2) / 255
    flat: NDArray[np.float64] = cells.mean((2, 4)).reshape(count, -1)
    return flat


class MnistJudge:
    """A convolutional network trained on MNIST's 60,000 training images for three epochs."""

    def __init__(self, folder: Path, seed: int = 0, epochs: int = 3) -> None:
        torch.manual_seed(seed)
        self._network = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 49, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
        images = read_idx(folder / "train-images-idx3-ubyte.gz")
        labels = read_idx(folder / "train-labels-idx1-ubyte.gz").astype(np.int64)
        self._learn(images, torch.from_numpy(labels), epochs)
        self.test_images = read_idx(folder / "t10k-images-idx3-ubyte.gz")
        self.test_labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz").astype(np.int64)
        verdict = self.judge(self.test_images)
        self.test_accuracy = float((verdict.labels == self.test_labels).mean())
        self.real_confident = float((verdict.confidence[:1000] > 0.9).mean())

    @torch.no_grad()
    def judge(self, images: NDArray[Any]) -> Verdict:
        """Labels and confidences of [n, 28, 28] images in 0..255."""
        self._network.eval()
        flat = torch.from_numpy(np.array(images)).reshape(-1, 1, 28, 28)
        shares = torch.cat([self._network(_scaled(b)).softmax(1) for b in flat.split(500)])
        confidence, labels = shares.max(1)
        return Verdict(labels.numpy(), confidence.double().numpy())

    def _learn(self, images: Images, labels: torch.Tensor, epochs: int) -> None:
        pixels = torch.from_numpy(images.copy()).reshape(-1, 1, 28, 28)
        batches = len(pixels) // 128
        optimiser = torch.optim.Adam(self._network.parameters(), 1e-3, fused=True)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=batches * epochs)
        for _ in range(epochs):
            order = torch.randperm(len(pixels))
            for number in range(batches):
                chosen = order[number * 128 : (number + 1) * 128]
                with torch.autocast("cpu", torch.bfloat16):
                    logits = self._network(_scaled(pixels[chosen]))
                loss = nn.functional.cross_entropy(logits.float(), labels[chosen])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                rate.step()


def _scaled(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float() / 127.5 - 1
