"""The networks of R3GAN, of the tiny protocol and of the first GAN are those of the papers."""

import math

import pytest
import torch
from torch.nn.functional import interpolate

from ganmodels.games.gan import Gan
from ganmodels.games.match import Match, State
from ganmodels.latents import Latent
from ganmodels.networks import R3, Maxout, Network, Tiny
from ganmodels.networks.maxout import MaxoutLayer
from ganmodels.networks.r3 import Block, doubled, halved
from ganmodels.optimisation import Sgd
from tests.ganmodels.builders import config_for, image_space, match_for, play


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def pair(network: Network, shape=(28, 28, 1), latent=64):
    torch.manual_seed(0)
    game, space = Gan(network=network, latent=Latent(gaussian=latent)), image_space(*shape)
    return game.generator(space), game.discriminator(space)


def test_r3_with_the_settings_for_stacked_mnist_has_the_parameters_of_table_9():
    generator, discriminator = pair(R3(widths=(768,)), shape=(32, 32, 3))
    assert round(parameters(generator) / 1e6, 2) == 20.73
    assert round(parameters(discriminator) / 1e6, 2) == 20.68


def test_r3_takes_its_widths_from_the_smallest_grid_up_and_repeats_the_last():
    generator, discriminator = pair(R3(widths=(32, 16), blocks_per_grid=3), shape=(64, 32, 3))
    of_generator = [[block.widen.in_channels for block in grid] for grid in generator.grids]
    assert of_generator == [[32] * 3, [16] * 3, [16] * 3, [16] * 3]
    of_trunk = [
        [block.widen.in_channels for block in grid.blocks] for grid in discriminator.trunk.grids
    ]
    assert of_trunk == of_generator[::-1]
    assert generator.basis.shape == (32, 8, 4)


def test_r3_mixes_16_channels_at_a_time_at_twice_the_width():
    block = Block(24, blocks=4)
    assert block.mix.in_channels == 48
    assert block.mix.weight.shape[1] == 16


def test_r3_blocks_start_as_the_identity_and_smaller_the_more_there_are():
    torch.manual_seed(0)
    block, features = Block(64, blocks=16), torch.randn(2, 64, 5, 5)
    assert torch.equal(block(features), features)
    gain = math.sqrt(2 / 1.04) / 2
    assert block.widen.weight.std().item() == pytest.approx(gain / math.sqrt(64), rel=0.03)
    assert block.mix.weight.std().item() == pytest.approx(gain / math.sqrt(9 * 16), rel=0.03)
    assert block.widen.bias.abs().max() == 0


def test_r3_resamples_linearly():
    items, inside = torch.randn(2, 3, 6, 8), (..., slice(1, -1), slice(1, -1))
    up = interpolate(items, scale_factor=2, mode="bilinear")
    down = interpolate(items, scale_factor=0.5, mode="bilinear", antialias=True)
    assert torch.allclose(doubled(items)[inside], up[inside], atol=1e-5)
    assert torch.allclose(halved(items)[inside], down[inside], atol=1e-5)


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 13, 3), (30, 8, 2), (33, 65, 1)], ids=str)
@pytest.mark.parametrize("network", [R3(widths=(8,), blocks_per_grid=1), Tiny()], ids=str)
def test_every_pixel_is_seen_and_every_pixel_is_made(network, shape):
    generator, discriminator = pair(network, shape)
    items = generator(torch.randn(4, 64), None)
    assert (items.std(0) > 0).all()
    items = items.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(items, None).logits.square().sum(), items)
    assert (gradient.abs().sum(0) > 0).all()


def test_a_gradient_penalty_reaches_all_weights_of_r3_but_biases_that_shift_logits_alone():
    _, discriminator = pair(R3(widths=(8,), blocks_per_grid=1), (8, 8, 1))
    for name, parameter in discriminator.named_parameters():
        if name.endswith("narrow.weight"):
            torch.nn.init.normal_(parameter)
    items = torch.randn(4, 1, 8, 8, requires_grad=True)
    logits = discriminator(items, None).logits
    (gradient,) = torch.autograd.grad(logits.sum(), items, create_graph=True)
    gradient.square().sum().backward()
    weights = {n: p for n, p in discriminator.named_parameters() if n.endswith("weight")}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights.values())


def test_the_tiny_pair_has_the_sizes_of_the_protocol():
    """64, 32, 16 and 8 channels from 4x4 to 28x28; 2, 4, 8 in a discriminator of a quarter."""
    generator, quarter = pair(Tiny(discriminator_width=2), (28, 28, 3), latent=256)
    assert generator.start == (64, 4, 4)
    sizes = [(layer.in_channels, layer.out_channels) for layer in generator.layers]
    assert sizes == [(64, 32), (32, 16), (16, 8)]
    assert generator.to_image.kernel_size == (3, 3)
    sizes = [
        (layer.in_channels, layer.out_channels)
        for layer in (stage.layer for stage in quarter.trunk.stages)
    ]
    assert sizes == [(3, 2), (2, 4), (4, 8)]
    assert quarter.trunk.width == 8 * 4 * 4
    assert pair(Tiny(discriminator_width=4))[1].trunk.width == 16 * 4 * 4


def test_the_first_gan_has_its_sizes_and_its_ranges_of_weights():
    network = Maxout(latent_scale=math.sqrt(3))
    generator, discriminator = pair(network, latent=100)
    assert parameters(generator) == 101 * 1200 + 1201 * 1200 + 1201 * 784
    assert parameters(discriminator) == 785 * 1200 + 241 * 1200 + 241
    for part, limit in ((generator, 0.05), (discriminator, 0.005)):
        weights = [p for p in part.parameters() if p.ndim == 2]
        assert max(w.abs().max().item() for w in weights) == pytest.approx(limit, rel=0.01)
        assert all(p.abs().max() == 0 for p in part.parameters() if p.ndim == 1)


def test_a_maxout_unit_is_the_largest_of_its_pieces():
    layer = MaxoutLayer(3, 4, pieces=5)
    items = torch.randn(6, 3)
    pieces = layer.linear(items).reshape(6, 4, 5)
    assert torch.equal(layer(items), pieces.max(2).values)


def test_the_first_gan_makes_and_sees_values_from_0_to_1():
    network = Maxout(kept=1.0, kept_items=1.0, generator_range=1.0, latent_scale=2.0)
    generator, discriminator = pair(network)
    latents = torch.randn(5, 64)
    sigmoid = torch.sigmoid(generator.layers(2 * latents)).reshape(5, 1, 28, 28)
    assert torch.allclose(generator(latents, None), 2 * sigmoid - 1, atol=1e-5)
    first, trunk = discriminator.trunk.layers[0], discriminator.trunk
    seen: list[torch.Tensor] = []
    first.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    trunk(torch.full((2, 1, 28, 28), -1.0), None)
    trunk(torch.ones(2, 1, 28, 28), None)
    assert [values.unique().tolist() for values in seen] == [[0], [1]]


def test_dropout_keeps_8_in_10_values_of_items_and_half_of_the_units_and_nothing_when_scoring():
    _, discriminator = pair(Maxout())
    trunk = discriminator.trunk
    assert [dropout.kept for dropout in trunk.dropouts] == [0.8, 0.5, 0.5]
    items = torch.randn(200, 1, 28, 28)
    assert (trunk(items, None) == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert not torch.equal(trunk(items, None), trunk(items, None))
    trunk.eval()
    assert torch.equal(trunk(items, None), trunk(items, None))


NETWORKS = {
    "r3": {"kind": "r3", "widths": [8], "blocks_per_grid": 1},
    "tiny": {"kind": "tiny", "generator_width": 2, "discriminator_width": 2},
    "maxout": {"kind": "maxout", "generator_widths": [8], "discriminator_widths": [8]},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_match_of_them_resumes_bit_by_bit(name):
    rules = {"generator": Sgd().model_dump(), "discriminator": Sgd().model_dump()}
    optimisation = rules if name == "maxout" else {}
    config = config_for("dcgan", game={"network": NETWORKS[name]}, optimisation=optimisation)
    straight = match_for(config)
    play(straight, config, 2)
    state = straight.state()
    saved = State({key: tensor.clone() for key, tensor in state.tensors.items()}, state.step)
    play(straight, config, 2)
    resumed: Match = match_for(config)
    resumed.load(saved)
    play(resumed, config, 2)
    mine, theirs = straight.state().tensors, resumed.state().tensors
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items())
