"""Whether an evaluation can be done here at all: asked before any work, and before a training."""

import torch

from ganmodels.data.packed import PackedDataset
from ganmodels.referee.config import Protocol
from ganmodels.referee.evaluation.split import reference_count
from ganmodels.referee.features.inception import IMAGES_PER_SECOND
from worker.settings import Settings

# Fakes, reals, and the reals that give the floor.
_SETS_OF_IMAGES = 3
# The rest is for the measures themselves.
_SHARE_FOR_FEATURES = 0.8
_FEWEST_SAMPLES = 20


def without_weights(protocol: Protocol, settings: Settings) -> str | None:
    """Why this installation cannot take the features, if it cannot."""
    if protocol.features == "inception" and settings.inception_weights is None:
        return "inception features need a weights file: RINGSIDE_INCEPTION_WEIGHTS"
    return None


def too_slow(protocol: Protocol, dataset: PackedDataset, settings: Settings) -> str | None:
    """Why the features would not be taken within the time limit, if they would not."""
    if protocol.features != "inception" or _has_gpu(settings):
        return None
    limit_seconds = settings.evaluation_timeout_seconds
    images = _SETS_OF_IMAGES * reference_count(dataset, protocol)
    most = int(_SHARE_FOR_FEATURES * limit_seconds * IMAGES_PER_SECOND) // _SETS_OF_IMAGES
    if images <= _SETS_OF_IMAGES * most:
        return None
    fewer = f"ask for {most} samples, " if most >= _FEWEST_SAMPLES else ""
    return (
        f"inception features of {images} images take about {images // IMAGES_PER_SECOND} s on a "
        f"CPU, and an evaluation ends after {limit_seconds:g} s; {fewer}raise "
        "RINGSIDE_EVALUATION_TIMEOUT_SECONDS or set RINGSIDE_EVALUATION_DEVICE to a GPU"
    )


def _has_gpu(settings: Settings) -> bool:
    wanted = settings.evaluation_device
    return wanted.startswith("cuda") or (wanted == "auto" and torch.cuda.is_available())
