"""Features of every discriminator: by the names of its layers, of the item alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from ganmodels.calibration import Calibration
from ganmodels.layers import PENULTIMATE, features, layers
from ganmodels.recipes import RECIPES
from ganmodels.scoring import ANY_LABEL, Mates, Scorer
from tests.ganmodels.builders import (
    clusters_for,
    config_for,
    items_for,
    labels_for,
    match_for,
)

COUNT = 11
UNASKED = np.full(COUNT, ANY_LABEL)


def scorer_for(recipe: str) -> Scorer:
    config = config_for(recipe)
    discriminator = match_for(config).average_discriminator
    mates = None
    if discriminator.mates_matter:
        labels = labels_for(config.space) if config.game.conditional else None
        mates = Mates.of(items_for(config.space), labels, 8)
    zeros = np.zeros(512, np.float32)
    calibration, clusters = Calibration(zeros, zeros), clusters_for(config)
    return Scorer(config.game, config.space, discriminator, calibration, clusters, mates)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_layer_of_every_recipe_has_its_shape_and_sees_the_item_alone(recipe):
    scorer = scorer_for(recipe)
    items, found = items_for(scorer.space)[:COUNT], layers(scorer)
    names = [layer.name for layer in found]
    assert len(set(names)) == len(names) >= 2
    assert PENULTIMATE in names
    for name, shape in found:
        together = features(scorer, items, UNASKED, name)
        assert together.dtype == np.float32
        assert together.shape == (COUNT, *shape)
        assert np.array_equal(features(scorer, items[9:10], UNASKED[:1], name)[0], together[9])


@pytest.mark.parametrize("recipe", ["dcgan", "cgan", "acgan", "vanilla", "wgan-gp"])
def test_the_head_judges_by_the_penultimate_layer(recipe):
    scorer = scorer_for(recipe)
    items = items_for(scorer.space)[:COUNT]
    found = torch.from_numpy(features(scorer, items, UNASKED, PENULTIMATE))
    with torch.inference_mode():
        logits = scorer.discriminator.head(found, scorer.told(items, UNASKED))
    assert logits.numpy() == pytest.approx(scorer.score(items, UNASKED).logits, abs=1e-5)


def test_a_pooled_layer_is_the_mean_of_each_map():
    scorer = scorer_for("dcgan")
    items = items_for(scorer.space)[:COUNT]
    maps = features(scorer, items, UNASKED, "stages.0")
    pooled = features(scorer, items, UNASKED, "stages.0:pool")
    assert pooled == pytest.approx(maps.mean((2, 3)), abs=1e-6)


def test_a_stage_holds_what_the_next_one_is_given():
    scorer = scorer_for("dcgan")
    items = items_for(scorer.space)[:COUNT]
    first, second = (
        torch.from_numpy(features(scorer, items, UNASKED, f"stages.{place}")) for place in (0, 1)
    )
    with torch.inference_mode():
        assert torch.allclose(scorer.discriminator.trunk.stages[1](first, None), second, atol=1e-6)


def test_a_conditional_discriminator_sees_an_item_under_the_label_asked_for():
    scorer = scorer_for("cdcgan")
    items = items_for(scorer.space)[:COUNT]
    under = [features(scorer, items, np.full(COUNT, one), PENULTIMATE) for one in (0, 1)]
    assert not np.array_equal(*under)
    best = features(scorer, items, scorer.told(items, UNASKED).numpy(), PENULTIMATE)
    assert np.array_equal(features(scorer, items, UNASKED, PENULTIMATE), best)


def test_features_copy_no_weights_and_leave_the_discriminator_as_it_is():
    scorer = scorer_for("sngan")
    items = items_for(scorer.space)[:COUNT]
    before = scorer.score(items, UNASKED).logits
    kept = {name: value.clone() for name, value in scorer.discriminator.state_dict().items()}
    features(scorer, items, UNASKED, PENULTIMATE)
    after = scorer.discriminator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in kept.items())
    assert not any(part._forward_hooks for part in scorer.discriminator.modules())
    assert np.array_equal(scorer.score(items, UNASKED).logits, before)


def test_threads_that_ask_at_once_do_not_get_each_others_features():
    scorer = scorer_for("dcgan")
    items = items_for(scorer.space)
    expected = [features(scorer, items[one : one + 1], UNASKED[:1], "stages.0") for one in range(9)]

    def ask(place: int) -> np.ndarray:
        one = place % 9
        scorer.score(items[:3], UNASKED[:3])
        return features(scorer, items[one : one + 1], UNASKED[:1], "stages.0")

    with ThreadPoolExecutor(4) as threads:
        for place, found in enumerate(threads.map(ask, range(36))):
            assert np.array_equal(found, expected[place % 9])
