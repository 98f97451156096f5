"""A classifier of the dataset's own labels, trained once; its last hidden layer is the features.

Features of a network that knows the domain separate what matters there, where Inception, made
for photographs, does not. Source of the idea: Che et al. 2017 (arXiv:1612.02136), MODE score.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ganmodels.data.packed import PackedDataset
from ganmodels.referee.features.batching import in_batches, shrunken
from ganmodels.referee.features.errors import FeaturesUnavailable
from ganmodels.referee.judges import LONGEST_EDGE, Judge, new_judge, step, values_per_item
from ganmodels.spaces import Space

_FORMAT = "ringside-classifier-1"
_SEED = 20121130
_BATCH = 64
_LEARNING_RATE = 4e-3
# Three passes over 60,000 images of 28x28, and what small sets get to converge.
_MOST_VALUES = 3 * 60_000 * 28 * 28
_MOST_ITEMS = 180_000
_MOST_PASSES = 15
_FEWEST_STEPS = 300
_SCALED_BY = 2_000

Write = Callable[[Path, bytes], object]

_log = logging.getLogger(__name__)


class Classifier:
    """A trained judge of the dataset's classes.

    ``accuracy`` is its share of right labels on the held-out items; None where there are none.
    ``sha256`` is that of its weights, so a classifier that was trained again on another machine
    and came out otherwise gives figures that are known not to be comparable.
    """

    kind: ClassVar[Literal["classifier"]] = "classifier"

    def __init__(
        self, space: Space, judge: Judge, accuracy: float | None, device: torch.device
    ) -> None:
        self.space, self.accuracy, self.device = space, accuracy, device
        self._judge = judge.to(device).eval().requires_grad_(False)
        self.sha256 = _hash(self.state())

    def of(self, items: NDArray[np.generic]) -> NDArray[np.float32]:
        """Features [n, 128] of stored items: the last hidden layer after its ReLU.

        Their mean square over training items is 1.
        """
        return in_batches(items, lambda some: self._judge.body(self._seen(some)))

    def labels(self, items: NDArray[np.generic]) -> NDArray[np.int64]:
        """The most likely class [n] of each stored item."""
        logits = in_batches(items, lambda some: self._judge(self._seen(some)))
        found: NDArray[np.int64] = logits.argmax(1).astype(np.int64)
        return found

    def state(self) -> dict[str, Tensor]:
        """All tensors of the network by name, on the CPU."""
        return {name: tensor.cpu() for name, tensor in self._judge.state_dict().items()}

    def _seen(self, items: NDArray[np.generic]) -> Tensor:
        return shrunken(items, self.space, LONGEST_EDGE, self.device)


def load_classifier(
    dataset: PackedDataset,
    cache: Path | None,
    device: torch.device,
    write: Write = Path.write_bytes,
) -> Classifier:
    """The dataset's classifier from the file ``cache``, else trained and written there.

    A file of another dataset, of another version, cut off or damaged is replaced. A file that
    ``write`` cannot write costs another training next time, nothing else. Its directory must be
    there.

    Raises: FeaturesUnavailable for a dataset with fewer than two classes.
    """
    if dataset.labels is None or len(dataset.manifest.space.classes) < 2:
        raise FeaturesUnavailable(
            "classifier_without_labels",
            "Classifier features need a dataset with labels of two classes or more; "
            "ask for features 'auto'.",
        )
    cached = None if cache is None else _read(cache, dataset, device)
    if cached is not None:
        return cached
    trained = train_classifier(dataset, device)
    if cache is not None:
        _keep(trained, dataset, cache, write)
    return trained


def train_classifier(dataset: PackedDataset, device: torch.device) -> Classifier:
    """Train on the training split: equal data give equal weights on one kind of machine.

    At most as much work as three passes over MNIST, at most 15 passes; Adam with a learning
    rate that falls linearly to nothing.
    """
    random = torch.Generator().manual_seed(_SEED)
    space = dataset.manifest.space
    judge = new_judge(space, len(space.classes), random).to(device).train()
    optimiser = torch.optim.Adam(judge.parameters(), _LEARNING_RATE)
    steps = _steps(space, len(dataset.training_indices))
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for indices in _batches(dataset.training_indices, steps, random):
        items = shrunken(dataset.items[indices], space, LONGEST_EDGE, device)
        labels = torch.from_numpy(_labels(dataset)[indices]).to(device)
        step(judge, optimiser, items, labels)
        falling.step()
    judge.rescale(_factor(Classifier(space, judge, None, device), dataset))
    return _with_accuracy(Classifier(space, judge, None, device), dataset)


def _steps(space: Space, count: int) -> int:
    most = min(_MOST_ITEMS, _MOST_VALUES // values_per_item(space), _MOST_PASSES * count)
    return max(_FEWEST_STEPS, most // _BATCH)


def _batches(
    indices: NDArray[np.int64], steps: int, random: torch.Generator
) -> Iterator[NDArray[np.int64]]:
    """Batches of indices from endless shuffled passes."""
    waiting = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        while len(waiting) < _BATCH:
            order = torch.randperm(len(indices), generator=random).numpy()
            waiting = np.concatenate([waiting, indices[order]])
        # In ascending order, in which a disk reads fastest.
        yield np.sort(waiting[:_BATCH])
        waiting = waiting[_BATCH:]


def _factor(classifier: Classifier, dataset: PackedDataset) -> float:
    """What brings the mean square of features to 1, where the cubic kernel tells most."""
    stride = -(-len(dataset.training_indices) // _SCALED_BY)
    features = classifier.of(dataset.items[dataset.training_indices[::stride]])
    return float(np.mean(features.astype(np.float64) ** 2)) ** -0.5 if features.any() else 1.0


def _with_accuracy(classifier: Classifier, dataset: PackedDataset) -> Classifier:
    if len(dataset.held_out):
        found = classifier.labels(dataset.items[dataset.held_out])
        classifier.accuracy = float((found == _labels(dataset)[dataset.held_out]).mean())
    return classifier


def _labels(dataset: PackedDataset) -> NDArray[np.int64]:
    assert dataset.labels is not None
    return dataset.labels


def _read(path: Path, dataset: PackedDataset, device: torch.device) -> Classifier | None:
    space = dataset.manifest.space
    judge = Judge(space, len(space.classes))
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if (facts.get("format"), facts.get("dataset")) != (_FORMAT, dataset.manifest.id):
                return None
            judge.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            accuracy = float(facts["accuracy"]) if "accuracy" in facts else None
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        _log.warning("a cached classifier cannot be read and is trained again: %s", error)
        return None
    return Classifier(space, judge, accuracy, device)


def _keep(classifier: Classifier, dataset: PackedDataset, path: Path, write: Write) -> None:
    facts = {"format": _FORMAT, "dataset": dataset.manifest.id}
    if classifier.accuracy is not None:
        facts["accuracy"] = repr(classifier.accuracy)
    content = save(classifier.state(), facts)
    try:
        write(path, content)
    except OSError as error:
        _log.warning("a classifier cannot be cached: %s", error)


def _hash(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(_FORMAT.encode())
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].numpy().tobytes())
    return digest.hexdigest()
