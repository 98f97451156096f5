"""Inception-v3 features of published Frechet and kernel distances, by torch-fidelity."""

import hashlib
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.referee.features.batching import in_batches
from ganmodels.referee.features.errors import FeaturesUnavailable
from ganmodels.spaces import ImageSpace, Space

IMAGES_PER_SECOND = 4
"""What one core of a CPU takes features of, whatever their size: they are enlarged."""

_LAYER = "2048"
_HASH_BLOCK = 1 << 20


class Inception:
    """The 2048 pooled features of Inception-v3 with TensorFlow's published weights.

    torch-fidelity enlarges images to 299x299 as TensorFlow did. Grey becomes RGB; alpha is left
    out. Source: Heusel et al. 2017 (arXiv:1706.08500).
    """

    kind: ClassVar[Literal["inception"]] = "inception"
    accuracy: ClassVar[float | None] = None

    def __init__(self, space: Space, weights: Path | None, device: torch.device) -> None:
        """Load the weights, a file that the caller's settings name; nothing is downloaded.

        torch-fidelity 0.4 reads it by ``torch.load`` with ``weights_only=False``, which would run
        code in the file. PyTorch's own switch ``TORCH_FORCE_WEIGHTS_ONLY_LOAD`` overrules that
        argument, and is set for this process: a file that holds more than tensors is refused.

        Raises: FeaturesUnavailable for points, or without library or readable weights.
        """
        if not isinstance(space, ImageSpace):
            raise FeaturesUnavailable(
                "inception_on_points",
                "Inception features need images; for points ask for features 'pixels'.",
            )
        if weights is None:
            raise FeaturesUnavailable(
                "inception_without_weights",
                "Inception features need a file of weights; set RINGSIDE_INCEPTION_WEIGHTS to "
                "the path of torch-fidelity's weights-inception-2015-12-05-6726825d.pth.",
            )
        self.space, self.device = space, device
        self._network = _load(weights).to(device)
        self.sha256 = _hash(weights)

    def of(self, items: NDArray[np.generic]) -> NDArray[np.float32]:
        """Features [n, 2048] of stored images."""
        return in_batches(items, self._features)

    def labels(self, items: NDArray[np.generic]) -> NDArray[np.int64] | None:
        """None: ImageNet's classes are not the dataset's."""
        return None

    def _features(self, items: NDArray[np.generic]) -> Tensor:
        images = torch.from_numpy(np.array(rgb(items))).to(self.device).permute(0, 3, 1, 2)
        parts = [self._network(some)[0] for some in images.contiguous().split(25)]
        return torch.cat(parts)


def rgb(items: NDArray[np.generic]) -> NDArray[np.generic]:
    """uint8 [n, h, w, 3] of stored images of 1 to 4 channels; alpha is left out."""
    if items.shape[3] >= 3:
        return items[..., :3]
    return np.repeat(items[..., :1], 3, axis=3)


def _load(weights: Path) -> Any:
    extractor = _library()
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        return extractor("inception-v3-compat", [_LAYER], str(weights))
    except (OSError, RuntimeError, UnpicklingError, ValueError, TypeError, EOFError):
        raise FeaturesUnavailable(
            "inception_weights_unreadable",
            "The file that RINGSIDE_INCEPTION_WEIGHTS names is missing or does not hold the "
            "weights of torch-fidelity's Inception-v3; point it at "
            "weights-inception-2015-12-05-6726825d.pth.",
        ) from None


def _library() -> Any:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    # A torchvision that was built for another PyTorch fails with a RuntimeError or an OSError.
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FeaturesUnavailable(
            "inception_not_installed",
            "Inception features need torch-fidelity with a torchvision that fits PyTorch; "
            f"pip install 'ringside[inception]' (it failed with: {reason[:200]}).",
        ) from None
    return FeatureExtractorInceptionV3


def _hash(weights: Path) -> str:
    digest = hashlib.sha256(f"inception/1/{_LAYER}/".encode())
    with weights.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
