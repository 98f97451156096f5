"""Every remedy is a change that can be applied as it is."""

from typing import get_args

import pytest

from ganmodels.config import TrainConfig
from ganmodels.merging import merge_patch
from ganmodels.recipes import RECIPES
from ganmodels.referee.config import Failure
from ganmodels.referee.remedies import remedy, with_rates
from ganmodels.validity import check
from tests.ganmodels.builders import config_for


@pytest.mark.parametrize("failure", get_args(Failure))
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_remedy_is_a_patch_that_changes_the_configuration_and_leaves_it_valid(recipe, failure):
    config = config_for(recipe)
    advice = remedy(failure, config, since_step=10)
    patched = TrainConfig.model_validate(
        merge_patch(config.model_dump(mode="json"), advice.patch), strict=False
    )
    check(patched)
    assert patched != config
    assert advice.detail


def test_the_remedy_for_a_sure_discriminator_under_minimax_is_another_loss():
    config = config_for("dcgan", game={"objective": {"kind": "minimax"}})
    patch = remedy("discriminator_overpowering", config, 10).patch
    assert patch["game"]["objective"] == {"kind": "non_saturating"}


def test_the_remedy_for_a_discriminator_that_is_outrun_is_an_equal_pace():
    rates = {"generator": {"learning_rate": 2e-3}, "discriminator": {"learning_rate": 2e-5}}
    patch = remedy("mode_collapse", config_for("dcgan", optimisation=rates), 10).patch
    assert patch["optimisation"]["generator"] == patch["optimisation"]["discriminator"]


def test_half_of_the_rates_is_half_for_both_networks():
    config = config_for("dcgan")
    halved = with_rates(config, 0.5).optimisation
    assert halved.generator.learning_rate == config.optimisation.generator.learning_rate / 2
    assert halved.discriminator.learning_rate == config.optimisation.discriminator.learning_rate / 2
