"""Feature spaces: where generated and real items are compared.

A number means something only together with its feature space, so each has a ``sha256`` of what
defines it: figures with different ones must not be compared.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ganmodels.data.packed import PackedDataset
from ganmodels.referee.config import FeatureKind
from ganmodels.referee.features.classifier import Classifier, Write, load_classifier
from ganmodels.referee.features.convolutions import RandomConvolutions
from ganmodels.referee.features.errors import FeaturesUnavailable
from ganmodels.referee.features.inception import Inception
from ganmodels.referee.features.pixels import Pixels
from ganmodels.spaces import ImageSpace

__all__ = ["Features", "FeaturesUnavailable", "load_features"]

# All have kind, sha256, accuracy, of(items) -> float32 [n, d], labels(items) -> int64 [n] | None.
Features = Pixels | RandomConvolutions | Classifier | Inception


def load_features(
    kind: FeatureKind,
    dataset: PackedDataset,
    cache: Path | None,
    inception_weights: Path | None,
    device: torch.device,
    write: Write = Path.write_bytes,
) -> Features:
    """The feature space for a dataset.

    ``auto`` is a classifier where there are labels of two classes or more, else random
    convolutions for images and the values themselves for points. ``cache`` is the file that a
    classifier is read from and written to, by ``write``; without it one is trained each time,
    which takes up to a minute and a half. ``inception_weights`` is a local file.

    Raises: FeaturesUnavailable, whose detail names the remedy.
    """
    space = dataset.manifest.space
    makers: Mapping[FeatureKind, Callable[[], Features]] = {
        "pixels": lambda: Pixels(space, device),
        "random": lambda: RandomConvolutions(space, device),
        "classifier": lambda: load_classifier(dataset, cache, device, write),
        "inception": lambda: Inception(space, inception_weights, device),
    }
    return makers[_suitable(dataset) if kind == "auto" else kind]()


def _suitable(dataset: PackedDataset) -> FeatureKind:
    if len(dataset.manifest.space.classes) >= 2:
        return "classifier"
    return "random" if isinstance(dataset.manifest.space, ImageSpace) else "pixels"
