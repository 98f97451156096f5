"""Inputs are named by (seed, index): latents, or items of a source, held-out ones first."""

import numpy as np
import pytest

from ganmodels.inputs import ItemInputs, LatentInputs
from ganmodels.latents import Latent
from ganmodels.sampling import Sampler
from tests.ganmodels.builders import config_for, match_for
from tests.ganmodels.referee.datasets import builtin


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return builtin(tmp_path_factory.mktemp("inputs"), "digits")


def places(digits, items) -> list[int]:
    """Where each item stands among the distinct ones of the dataset."""
    flat = digits.items.reshape(len(digits.items), -1)
    return [int((flat == item.reshape(-1)).all(1).argmax()) for item in items]


def test_latents_are_those_of_serving():
    latent = Latent(gaussian=3, signs=2)
    drawn = LatentInputs(latent).at(7, 5, 4)
    assert np.array_equal(drawn, np.stack([latent.at(7, 5 + index) for index in range(4)]))


def test_held_out_items_come_first_and_each_once(digits):
    count = len(digits.held_out)
    items = ItemInputs(digits).at(0, 0, digits.manifest.count)
    assert sorted(places(digits, items[:count])) == sorted(
        places(digits, digits.items[digits.held_out])
    )
    mine, theirs = items.reshape(len(items), -1), digits.items.reshape(len(items), -1)
    assert np.array_equal(np.sort(mine, axis=0), np.sort(theirs, axis=0))


def test_an_item_depends_on_seed_and_index_only(digits):
    inputs, total = ItemInputs(digits), digits.manifest.count
    assert np.array_equal(inputs.at(3, 10, 5), inputs.at(3, 0, 15)[10:])
    assert not np.array_equal(inputs.at(3, 0, 15), inputs.at(4, 0, 15))
    assert np.array_equal(inputs.at(3, total + 2, 3), inputs.at(3, 2, 3))


def test_a_sampler_without_its_source_says_so():
    config = config_for("simgan")
    sampler = Sampler(config.game, config.space, match_for(config).average)
    with pytest.raises(ValueError, match="source"):
        sampler.inputs(0, 0, 1)
    with pytest.raises(ValueError, match="no latents"):
        sampler.latents(0, 0, 1)


def test_what_is_made_of_an_item_depends_on_no_other():
    config = config_for("cyclegan")
    sampler = Sampler(config.game, config.space, match_for(config).average)
    items = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 1), dtype=np.uint8)
    labels = np.zeros(11, dtype=np.int64)
    together = sampler.draw(items, labels)
    assert (together.shape, together.dtype) == (items.shape, np.uint8)
    assert np.array_equal(sampler.draw(items[3:4], labels[:1]), together[3:4])
