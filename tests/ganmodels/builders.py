"""Small configurations for tests."""

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches, Deck
from ganmodels.data.subset import labelled_subset
from ganmodels.games import Gan, SemiSupervised
from ganmodels.games.match import Match
from ganmodels.labels import Clusters
from ganmodels.merging import settings
from ganmodels.recipes import RECIPES
from ganmodels.spaces import ImageSpace, PointSpace, Space

DATASET, SOURCE = "ds_" + "0" * 32, "ds_" + "1" * 32
CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "dcgan": {"generator_width": 4, "discriminator_width": 4},
    "resnet": {"generator_width": 4, "discriminator_width": 4},
    "mlp": {"generator_widths": [8], "discriminator_widths": [8]},
    "noisy_mlp": {"generator_widths": [8], "discriminator_widths": [8, 8]},
    "maxout": {"generator_widths": [8], "discriminator_widths": [8]},
    "tiny": {"generator_width": 2, "discriminator_width": 2},
    "r3": {"widths": [8], "blocks_per_grid": 1},
    "residual_refiner": {"width": 4, "blocks": 1, "discriminator_width": 6},
    "residual_translator": {"generator_width": 4, "blocks": 1, "discriminator_width": 4},
}


# Pools that are full, and warm-ups that are over, after a few steps.
SHORT: dict[str, Any] = {
    "simgan": {"generator_warm_up": 2, "discriminator_warm_up": 1, "replay": {"size": 12}},
    "cyclegan": {"replay": {"size": 12}},
}
# Recipes by what is played in them.
SOURCED = [name for name, recipe in RECIPES.items() if recipe.game.needs_source]
GANS = [name for name, recipe in RECIPES.items() if isinstance(recipe.game, Gan)]


def image_space(height: int = 8, width: int = 8, channels: int = 1, classes: int = 3) -> ImageSpace:
    names = tuple(f"class {number}" for number in range(classes))
    return ImageSpace(height=height, width=width, channels=channels, classes=names)


def space_for(recipe: str) -> Space:
    return PointSpace(dimensions=2, scale=2.0) if recipe == "points" else image_space()


def config_for(recipe: str, space: Space | None = None, **changes: Any) -> TrainConfig:
    """A recipe with networks of a few channels, so that steps take milliseconds."""
    base = settings(recipe, {}, items=60)
    kind = base["game"]["network"]["kind"]
    game = {"network": SMALL[kind], **SHORT.get(recipe, {}), **changes.pop("game", {})}
    optimisation = {"accumulate": 1, **changes.pop("optimisation", {})}
    shortened = {"batch_size": 8, "game": game, "optimisation": optimisation, **changes}
    small = settings(recipe, shortened, items=60)
    space = space or space_for(recipe)
    resolved = {**small, "dataset": DATASET, "space": space.model_dump(mode="json")}
    if recipe in SOURCED:
        resolved["source"] = {"dataset": SOURCE, "space": resolved["space"]}
    return TrainConfig.model_validate_json(json.dumps(resolved))


def items_for(space: Space, count: int = 60) -> NDArray[np.generic]:
    random = np.random.default_rng(0)
    if isinstance(space, ImageSpace):
        shape = (count, space.height, space.width, space.channels)
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.standard_normal((count, space.dimensions), dtype=np.float32)


def labels_for(space: Space, count: int = 60) -> NDArray[np.int64] | None:
    return np.arange(count) % len(space.classes) if space.classes else None


def clusters_for(config: TrainConfig) -> Clusters | None:
    return config.game.labels.fit(items_for(config.space), config.seed)


def batches_for(config: TrainConfig) -> Batches:
    items = items_for(config.space)
    clusters = clusters_for(config)
    labels = clusters.nearest(items) if clusters else labels_for(config.space)
    size = config.optimisation.batch_size
    return Batches(items, labels, config.space, size, config.seed, CPU)


def source_for(config: TrainConfig) -> Batches:
    """Items of the source: the dataset's, turned over and inverted."""
    items = 255 - items_for(config.space)[:, ::-1]
    size = config.optimisation.batch_size
    return Batches(items, None, config.space, size, config.seed, CPU, "source order")


def deck_for(config: TrainConfig) -> Deck:
    real = batches_for(config)
    if isinstance(config.game, SemiSupervised):
        return Deck(real.at, labelled=labelled_for(config).at)
    return Deck(real.at, source_for(config).at if config.source else None)


def labelled_for(config: TrainConfig) -> Batches:
    """Two items of each class."""
    labels = labels_for(config.space)
    assert labels is not None
    chosen = labelled_subset(labels, len(config.space.classes), 2, config.seed)
    items, size = items_for(config.space)[chosen], config.optimisation.batch_size
    return Batches(items, labels[chosen], config.space, size, config.seed, CPU, "labelled")


def match_for(config: TrainConfig, seed: int | None = None) -> Match:
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    return Match(config, CPU)


def play(match: Match, config: TrainConfig, steps: int) -> None:
    deck = deck_for(config)
    for _ in range(steps):
        match.play(deck)
