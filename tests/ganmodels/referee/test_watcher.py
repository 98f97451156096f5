"""The watcher leaves no trace in the match that it looks at."""

import json

import numpy as np
import pytest
import torch

from ganmodels.config import TrainConfig
from ganmodels.recipes import RECIPES
from ganmodels.referee.panel import Panel
from ganmodels.referee.watcher import Watcher
from tests.ganmodels.builders import CPU, config_for, match_for, play
from tests.ganmodels.referee.datasets import builtin, packed


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    home = tmp_path_factory.mktemp("watched")
    return {name: builtin(home / name, name) for name in ("digits", "ring")}


def watcher_for(config: TrainConfig, datasets) -> tuple[Watcher, TrainConfig]:
    dataset = datasets["ring" if config.space.kind == "points" else "digits"]
    config = config_for(_recipe(config), dataset.manifest.space)
    clusters = config.game.labels.fit(dataset.items[:200], 0)
    source = dataset if config.source else None
    panel = Panel.choose(dataset, config.game, source)
    return Watcher(panel, dataset, clusters, CPU), config


def _recipe(config: TrainConfig) -> str:
    return next(name for name in RECIPES if config_for(name).game == config.game)


@pytest.mark.parametrize("recipe", RECIPES)
def test_looking_at_a_match_changes_nothing_in_it(recipe, datasets):
    watcher, config = watcher_for(config_for(recipe), datasets)
    watched, left_alone = match_for(config), match_for(config)
    for match in (watched, left_alone):
        play(match, config, 2)
    before = torch.random.get_rng_state()
    seen = watcher.look(watched)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert watcher.look(watched) == seen
    for match in (watched, left_alone):
        play(match, config, 2)
    mine, theirs = watched.state().tensors, left_alone.state().tensors
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("recipe", ["cgan", "points"])
def test_signals_survive_json(recipe, datasets):
    watcher, config = watcher_for(config_for(recipe), datasets)
    seen = watcher.look(match_for(config))
    assert json.loads(json.dumps(seen, allow_nan=False)) == seen


def test_the_panel_keeps_training_and_held_out_items_apart(datasets):
    dataset = datasets["digits"]
    panel = Panel.choose(dataset, config_for("cgan").game)
    assert set(panel.held_out.tolist()) <= set(dataset.held_out.tolist())
    for chosen in (panel.training, panel.neighbours):
        assert set(chosen.tolist()) <= set(dataset.training_indices.tolist())


def test_the_panel_of_a_dataset_is_always_the_same(datasets):
    game = config_for("points").game
    first, second = (Panel.choose(datasets["ring"], game) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(first.centres) == 8


def test_held_out_items_that_are_judged_are_of_all_classes_of_a_sorted_dataset(tmp_path):
    labels = np.repeat(np.arange(10), 60)
    images = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 1), dtype=np.uint8)
    dataset = packed(tmp_path / "sorted", images, labels)
    panel = Panel.choose(dataset, config_for("cgan").game)
    assert set(labels[panel.held_out[:30].numpy()]) == set(range(10))


@pytest.mark.parametrize("kind", ["minibatch_stddev", "minibatch_discrimination"])
def test_few_held_out_items_are_not_told_by_their_number(kind, tmp_path):
    # Two images in turn: what is held out is what was trained on.
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1), dtype=np.uint8)
    images = np.concatenate([image, 255 - image] * 50)
    dataset = packed(tmp_path / "equal", images)
    game = {
        "network": {"kind": "dcgan", "discriminator_norm": "none"},
        "conditioning": {"kind": "none"},
        "labels": {"kind": "given"},
        "minibatch_features": {"kind": kind},
    }
    config = config_for("dcgan", dataset.manifest.space, game=game)
    watcher = Watcher(Panel.choose(dataset, config.game), dataset, None, CPU)
    seen = watcher.look(match_for(config))
    assert 0.3 < seen["recognition"] < 0.7
