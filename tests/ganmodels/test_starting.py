"""Starting from other weights: what is taken over, and what learns."""

import pytest
import torch

from ganmodels.starting import Start, first_anew, fit, freeze
from tests.ganmodels.builders import SMALL, batches_for, config_for, image_space, match_for

LAYERS = (torch.nn.Conv2d, torch.nn.Linear)


@pytest.mark.parametrize("network", ["dcgan", "tiny", "r3", "resnet", "mlp"])
def test_layers_are_frozen_in_the_order_in_which_items_pass_them(network):
    changes = {"kind": network, **SMALL[network]}
    if network in ("dcgan", "tiny", "resnet"):
        changes["discriminator_norm"] = "none"
    config = config_for("lsgan", game={"network": changes})
    discriminator, passed = match_for(config).discriminator, []
    for name, module in discriminator.named_modules():
        if isinstance(module, LAYERS):
            module.register_forward_hook(lambda *_, name=name: passed.append(name))
    discriminator(batches_for(config).at(0).items, None)
    freeze(discriminator, 2)
    still = {
        n
        for n, m in discriminator.named_modules()
        if isinstance(m, LAYERS) and not m.weight.requires_grad
    }
    assert still == set(passed[:2])


def still(network: torch.nn.Module) -> set[str]:
    """Names of what does not learn."""
    return {name for name, weight in network.named_parameters() if not weight.requires_grad}


@pytest.mark.parametrize("recipe", ["dcgan", "cgan", "vanilla", "cdcgan", "semi-supervised"])
def test_without_frozen_layers_all_weights_of_a_start_learn(recipe):
    discriminator = match_for(config_for(recipe)).discriminator
    before = still(discriminator)
    freeze(discriminator, 0)
    assert still(discriminator) == before


def test_what_labels_look_like_is_learned_anew_whatever_is_frozen():
    """Clusters are found anew in other data, and mean something else there."""
    discriminator = match_for(config_for("dcgan")).discriminator
    freeze(discriminator, 1)
    assert "trunk.input.pictures.weight" not in still(discriminator)
    assert still(discriminator)


def weights_of(config) -> dict[str, dict[str, torch.Tensor]]:
    players = match_for(config).players
    return {name: player.network.state_dict() for name, player in players.items()}


def test_a_start_of_other_classes_keeps_all_but_what_tells_them():
    old = config_for("acgan", image_space(classes=3))
    new = config_for("acgan", image_space(classes=5))
    found = fit(new, weights_of(old))
    told = {"generator/stem.weight", "discriminator/classifier.weight"}
    assert set(found.new) == told | {"discriminator/classifier.bias"}
    assert len(found.taken) > 10


@pytest.mark.parametrize(
    ("layers", "name"), [(0, None), (1, "discriminator/"), (2, "discriminator/")]
)
def test_a_layer_that_starts_anew_is_not_frozen(layers, name):
    grey, coloured = image_space(channels=1), image_space(channels=3)
    config = config_for("lsgan", coloured)
    start = Start(checkpoint="0" * 64, freeze_discriminator_layers=layers)
    config = config.model_copy(update={"start": start})
    anew = first_anew(config, fit(config, weights_of(config_for("lsgan", grey))))
    assert (anew is None) if name is None else anew.startswith(name)


def test_what_fits_altogether_may_be_frozen():
    config = config_for("lsgan")
    start = Start(checkpoint="0" * 64, freeze_discriminator_layers=2)
    config = config.model_copy(update={"start": start})
    assert first_anew(config, fit(config, weights_of(config))) is None
