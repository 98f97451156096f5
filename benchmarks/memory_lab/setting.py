"""Recipes on data of their kind, in batches that are large enough to measure."""

import json
import math

from ganmodels.config import TrainConfig
from ganmodels.estimate import estimate
from ganmodels.merging import settings
from ganmodels.recipes import RECIPES
from ganmodels.spaces import ImageSpace, PointSpace, Space
from worker.engine import autocast_dtype, choose_device, describe

MIB = 1 << 20
DATASET, SOURCE = "ds_" + "0" * 32, "ds_" + "1" * 32
ITEMS = 8_192
_CLASSES = tuple(str(number) for number in range(10))
_COLOURED = ("sngan", "cgan-pd", "wgan-gp", "diffaugment", "ada", "r3gan", "r3gan-stacked-mnist")
_ENOUGH_BYTES, _TOO_MANY_BYTES = 256 * MIB, 3 * 1024 * MIB
_LARGEST_BATCH = 4_096
_TOO_MANY_FLOPS = 2 * 10**12


def space_of(recipe: str) -> Space:
    """What the recipe is for: images like MNIST's or CIFAR-10's, or points."""
    if recipe == "points":
        return PointSpace(dimensions=2)
    if recipe in _COLOURED:
        return ImageSpace(height=32, width=32, channels=3, classes=_CLASSES)
    return ImageSpace(height=28, width=28, channels=1, classes=_CLASSES)


def config_of(recipe: str, batch_size: int, accumulate: int, precision: str) -> TrainConfig:
    """A recipe with another batch."""
    optimisation = {"accumulate": accumulate, "precision": precision}
    changes = {"batch_size": batch_size, "optimisation": optimisation}
    space = space_of(recipe).model_dump(mode="json")
    resolved = {**settings(recipe, changes, ITEMS), "dataset": DATASET, "space": space}
    if RECIPES[recipe].game.needs_source:
        resolved["source"] = {"dataset": SOURCE, "space": space}
    return TrainConfig.model_validate_json(json.dumps(resolved))


def large_enough(recipe: str, precision: str) -> TrainConfig:
    """A recipe whose batch is doubled while the estimate is under 256 MiB.

    It is halved while that is over 3 GiB or a step takes more than 2 * 10^12 operations.
    """
    optimisation = RECIPES[recipe].optimisation
    size, parts = optimisation.batch_size, optimisation.accumulate
    while 2 * size <= _LARGEST_BATCH and needed(config_of(recipe, size, parts, precision)) < (
        _ENOUGH_BYTES
    ):
        size *= 2
    while size > parts and _too_large(config_of(recipe, size, parts, precision)):
        size, parts = size // 2, max(1, min(parts, size // 4))
    return config_of(recipe, size, parts, precision)


def _too_large(config: TrainConfig) -> bool:
    return needed(config) > _TOO_MANY_BYTES or estimate(config).step_flops > _TOO_MANY_FLOPS


def resident_bytes(config: TrainConfig) -> int:
    """What the deck holds: the items of all datasets."""
    value_bytes = 1 if isinstance(config.space, ImageSpace) else 4
    return len(config.datasets) * ITEMS * math.prod(config.space.shape) * value_bytes


def needed(config: TrainConfig) -> int:
    """The estimate in the precision that a worker on this machine would choose."""
    environment = describe(config, choose_device("cpu"), None)
    return estimate(config, autocast_dtype(environment)).memory_bytes
