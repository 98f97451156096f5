"""Virtual batch normalisation: an item depends on the reference and itself, on nothing else."""

import numpy as np
import pytest
import torch

from ganmodels.estimate import estimate
from ganmodels.games.gan import Gan
from ganmodels.games.match import State, restore_pair
from ganmodels.latents import Latent
from ganmodels.networks import Dcgan, Mlp, Resnet, Tiny
from ganmodels.networks.virtual import REFERENCE_ITEMS, VirtualNorm2d
from ganmodels.sampling import Sampler
from tests.ganmodels.builders import CPU, SMALL, config_for, image_space, match_for, play

VIRTUAL = {"network": {**SMALL["dcgan"], "generator_norm": "virtual"}}
NETWORKS = {
    "dcgan": Dcgan(generator_width=4, generator_norm="virtual"),
    "tiny": Tiny(generator_width=2, generator_norm="virtual"),
    "resnet": Resnet(generator_width=4, generator_norm="virtual"),
    "mlp": Mlp(generator_widths=(8, 8), generator_norm="virtual"),
}
CONDITIONINGS = ["none", "concatenation", "every_layer", "auxiliary"]


def of_conditioning(kind: str):
    return config_for("cgan", game={**VIRTUAL, "conditioning": {"kind": kind}})


def test_each_item_is_normalised_by_the_reference_and_itself():
    torch.manual_seed(0)
    items = 3 * torch.randn(REFERENCE_ITEMS + 2, 3, 4, 5, dtype=torch.float64) + 2
    reference = items[:REFERENCE_ITEMS]
    normalised = VirtualNorm2d(3).double()(items, None)
    for number in range(REFERENCE_ITEMS, REFERENCE_ITEMS + 2):
        among = torch.cat([reference, items[number : number + 1]])
        variance, mean = torch.var_mean(among, (0, 2, 3), correction=0, keepdim=True)
        expected = (items[number] - mean[0]) / (variance[0] + 1e-5).sqrt()
        torch.testing.assert_close(normalised[number], expected)
    torch.testing.assert_close(
        normalised[:REFERENCE_ITEMS].mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64)
    )


def test_gain_and_bias_are_learned_for_each_channel():
    norm, items = VirtualNorm2d(2), torch.randn(REFERENCE_ITEMS + 1, 2, 3, 3)
    plain = norm(items, None)
    with torch.no_grad():
        norm.gain[1], norm.bias[1] = 2.0, 3.0
    torch.testing.assert_close(norm(items, None)[:, 1], 2 * plain[:, 1] + 3)
    torch.testing.assert_close(norm(items, None)[:, 0], plain[:, 0])


@pytest.mark.parametrize("training", [True, False], ids=["training", "serving"])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_item_does_not_depend_on_its_batch_mates(name, training):
    torch.manual_seed(0)
    game = Gan(network=NETWORKS[name], latent=Latent(gaussian=5))
    generator = game.generator(image_space()).train(training)
    latents = torch.randn(8, 5)
    others = torch.cat([latents[:3], 10 * torch.randn(5, 5)])
    mine, theirs = generator(latents, None), generator(others, None)
    assert mine.shape == (8, 1, 8, 8)
    assert torch.equal(mine[:3], theirs[:3])
    assert not torch.equal(mine[3:], theirs[3:])


@pytest.mark.parametrize("kind", CONDITIONINGS)
def test_the_reference_has_every_label_and_a_label_changes_the_item(kind):
    config = of_conditioning(kind)
    generator = match_for(config).generator
    assert generator.labels.bincount().tolist() == [22, 21, 21]
    latents = torch.randn(1, 64).expand(3, -1)
    items = generator(latents, torch.arange(3))
    assert torch.equal(items[0], items[1]) == (kind == "none")


def test_the_reference_is_drawn_with_the_seed_and_never_moves():
    config = of_conditioning("concatenation")
    match, other = match_for(config), match_for(config, seed=1)
    before = match.generator.latents.clone()
    assert not torch.equal(before, other.generator.latents)
    play(match, config, 3)
    assert torch.equal(match_for(config).generator.latents, before)
    assert torch.equal(match.generator.latents, before)
    assert torch.equal(match.average.latents, before)


def test_a_match_resumes_bit_by_bit():
    config = of_conditioning("concatenation")
    straight = match_for(config)
    play(straight, config, 2)
    state = straight.state()
    saved = State({key: tensor.clone() for key, tensor in state.tensors.items()}, state.step)
    play(straight, config, 2)
    resumed = match_for(config)
    resumed.load(saved)
    play(resumed, config, 2)
    mine, theirs = straight.state().tensors, resumed.state().tensors
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items())


def test_a_restored_generator_has_the_reference_it_was_trained_with():
    config = of_conditioning("concatenation")
    match = match_for(config)
    play(match, config, 2)
    held = {
        "generator": match.average.state_dict(),
        "discriminator": match.average_discriminator.state_dict(),
    }
    generator, _ = restore_pair(config, held)
    samplers = [
        Sampler(config.game, config.space, one, None, CPU) for one in (match.average, generator)
    ]
    labels = np.arange(12) % 3
    first, second = (one.draw(one.latents(7, 0, 12), labels) for one in samplers)
    assert first.tobytes() == second.tobytes()
    alone = samplers[1].draw(samplers[1].latents(7, 5, 1), labels[5:6])
    assert alone.tobytes() == first[5:6].tobytes()


def test_the_cost_of_the_reference_is_part_of_the_estimate():
    plain = config_for("cgan", game={"conditioning": {"kind": "none"}})
    plain_cost, cost = estimate(plain), estimate(of_conditioning("none"))
    assert cost.generator_parameters == plain_cost.generator_parameters
    assert cost.step_flops > plain_cost.step_flops
