"""The frozen judge of digits: a network that saw real training images and nothing else."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save_file
from torch import Tensor, nn

from benchmarks.lab.mnist import Images, Labels, mnist

_FORMAT = "ringside-mnist-judge-2"
_SEED, _EPOCHS, _BATCH, _RATE, _SHIFT = 0, 8, 128, 3e-3, 2
_HOME = Path(tempfile.gettempdir()) / "ringside-benchmark-judges"
CONFIDENT = 0.9
_AT_ONCE = 500


class Verdict(NamedTuple):
    """Predicted labels and the judge's confidence in them."""

    labels: Labels
    confidence: NDArray[np.float64]


class MnistJudge:
    """A convolutional network of 0.44 million weights, its accuracy on the test images known."""

    def __init__(self, network: nn.Sequential, sha256: str) -> None:
        self._network, self.sha256 = network.eval().requires_grad_(False), sha256
        data = mnist()
        verdict = self.judge(data.test_images)
        self.test_accuracy = float((verdict.labels == data.test_labels).mean())
        self.real_confident = float((verdict.confidence > CONFIDENT).mean())

    def judge(self, images: NDArray[Any]) -> Verdict:
        """Labels and confidences of [n, 28, 28] images in 0..255."""
        confidence, labels = self._of(images, self._network).softmax(1).max(1)
        return Verdict(labels.numpy(), confidence.double().numpy())

    def features(self, images: NDArray[Any]) -> NDArray[np.float64]:
        """The last hidden layer after its ReLU [n, 128] of [n, 28, 28] images in 0..255."""
        found: NDArray[np.float64] = self._of(images, self._network[:-1]).double().numpy()
        return found

    @torch.inference_mode()
    def _of(self, images: NDArray[Any], network: nn.Module) -> Tensor:
        pixels = torch.from_numpy(np.array(images)).reshape(-1, 1, 28, 28)
        return torch.cat([network(_scaled(some)) for some in pixels.split(_AT_ONCE)])


def mnist_judge() -> MnistJudge:
    """The judge: trained once, on the 60,000 training images alone, then read from a cache.

    The cache is named by a hash over the data and all settings.
    """
    data = mnist()
    settings = f"{_FORMAT}/{_SEED}/{_EPOCHS}/{_BATCH}/{_RATE}/{_SHIFT}"
    digest = hashlib.sha256(settings.encode())
    digest.update(data.train_images.tobytes())
    digest.update(data.train_labels.tobytes())
    path = _HOME / f"{digest.hexdigest()[:32]}.safetensors"
    network = new_network(_SEED)
    if not path.exists():
        learn(network, data.train_images, data.train_labels, _EPOCHS, _SEED)
        _keep(network, path)
    weights = path.read_bytes()
    network.load_state_dict(load(weights))
    return MnistJudge(network, hashlib.sha256(weights).hexdigest())


def new_network(seed: int) -> nn.Sequential:
    """The judge before it has learned anything."""
    torch.manual_seed(seed)
    return nn.Sequential(
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


def learn(network: nn.Module, images: Images, labels: Labels, epochs: int, seed: int) -> None:
    """Passes over the shifted images, at a rate that rises and falls once (OneCycle)."""
    pixels, truth = torch.from_numpy(images.copy()).reshape(-1, 1, 28, 28), torch.from_numpy(labels)
    batches = len(pixels) // _BATCH
    optimiser = torch.optim.Adam(network.parameters(), _RATE, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=batches * epochs)
    random = torch.Generator().manual_seed(seed)
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(pixels), generator=random)
        for chosen in order.split(_BATCH)[:batches]:
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(_shifted(_scaled(pixels[chosen]), random))
            loss = nn.functional.cross_entropy(logits.float(), truth[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()


def _shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """All images of a batch moved by the same few pixels; what comes in is background."""
    down, right = torch.randint(2 * _SHIFT + 1, (2,), generator=random).tolist()
    padded = nn.functional.pad(images, [_SHIFT] * 4, value=-1.0)
    return padded[:, :, down : down + 28, right : right + 28]


def _keep(network: nn.Module, path: Path) -> None:
    """Write the weights; two processes that train at once leave one whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        save_file(network.state_dict(), part)
        part.replace(path)


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1
