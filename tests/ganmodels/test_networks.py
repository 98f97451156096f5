"""Networks build for every space they claim, and take labels where they are told to."""

import itertools
import math

import pytest
import torch

from ganmodels.conditioning import Concatenation, LearnedMap, Projection, Unconditional
from ganmodels.games.gan import Gan
from ganmodels.latents import Latent
from ganmodels.networks import R3, Dcgan, Maxout, Mlp, Resnet, Tiny
from ganmodels.networks.mlp import NOISE_PACE
from ganmodels.recipes import RECIPES
from ganmodels.shapes import shapes_only
from ganmodels.spaces import PointSpace
from tests.ganmodels.builders import config_for, image_space

NETWORKS = {
    "mlp": Mlp(generator_widths=(8, 8), discriminator_widths=(8,)),
    "dcgan": Dcgan(generator_width=4, discriminator_width=4),
    "dcgan plain": Dcgan(
        generator_width=4,
        discriminator_width=4,
        generator_norm="none",
        discriminator_norm="none",
        extra_convolutions=False,
    ),
    "dcgan spectral": Dcgan(
        generator_width=4, discriminator_width=4, discriminator_norm="spectral"
    ),
    "resnet": Resnet(generator_width=4, discriminator_width=4),
    "resnet plain": Resnet(
        generator_width=4,
        discriminator_width=4,
        generator_norm="none",
        discriminator_norm="none",
        blocks_per_grid=2,
    ),
    "r3": R3(widths=(16, 8), blocks_per_grid=1),
    "tiny": Tiny(generator_width=2, discriminator_width=2),
    "tiny plain": Tiny(generator_norm="none", discriminator_norm="none"),
    "tiny spectral": Tiny(discriminator_norm="spectral"),
    "maxout": Maxout(generator_widths=(8, 8), discriminator_widths=(8, 8), pieces=2),
}
SHAPES = [(8, 8, 1), (9, 13, 3), (16, 16, 4), (28, 28, 1), (48, 64, 3), (30, 8, 2), (8, 128, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_items_have_the_shape_of_their_space_and_get_one_logit_each(name, shape):
    space = image_space(*shape)
    game = Gan(network=NETWORKS[name], latent=Latent(gaussian=5, signs=2))
    items = game.generator(space)(torch.randn(2, 7), None)
    assert items.shape == (2, *space.shape)
    assert items.abs().max() <= 1 or name == "r3"
    assert game.discriminator(space)(items, None).logits.shape == (2,)


def test_a_generator_of_128_pixels_has_128_pixels():
    space = image_space(128, 128, 3)
    game = Gan(network=NETWORKS["dcgan"])
    assert game.generator(space)(torch.randn(1, 64), None).shape == (1, 3, 128, 128)


def test_points_are_not_bounded():
    space = PointSpace(dimensions=2)
    generator = Gan(network=NETWORKS["mlp"]).generator(space)
    assert generator(100 * torch.randn(64, 64), None).abs().max() > 1


CONDITIONED = [
    (name, conditioning)
    for name, conditioning in itertools.product(
        ("mlp", "dcgan", "resnet", "r3", "tiny", "maxout"),
        (Concatenation(), LearnedMap(), Projection(embedding_width=4)),
    )
    if not (name in ("mlp", "r3", "maxout") and conditioning.needs_generator_norm)
]


@pytest.mark.parametrize(("name", "conditioning"), CONDITIONED, ids=str)
def test_a_label_changes_the_item_and_its_logit(name, conditioning):
    space = image_space()
    torch.manual_seed(0)
    game = Gan(network=NETWORKS[name], conditioning=conditioning)
    generator, discriminator = game.generator(space).eval(), game.discriminator(space).eval()
    for module in generator.modules():
        if hasattr(module, "gain"):
            torch.nn.init.normal_(module.gain)
    latents = torch.randn(1, 64).expand(3, -1)
    items = generator(latents, torch.arange(3))
    assert not torch.equal(items[0], items[1])
    logits = discriminator(items[:1].expand(3, -1, -1, -1), torch.arange(3)).logits
    assert len(set(logits.tolist())) == 3


def test_without_conditioning_labels_change_nothing():
    space = image_space()
    game = Gan(network=NETWORKS["dcgan"], conditioning=Unconditional())
    generator = game.generator(space).eval()
    latents = torch.randn(1, 64).expand(3, -1)
    assert torch.equal(generator(latents, torch.arange(3)), generator(latents, None))


def test_a_residual_block_without_normalisation_starts_as_the_identity():
    torch.manual_seed(0)
    discriminator = Gan(network=NETWORKS["resnet plain"]).discriminator(image_space())
    features = torch.randn(2, 4, 8, 8)
    for block in discriminator.trunk.blocks:
        assert torch.equal(block(features), features)


@pytest.mark.parametrize("count", [1, 4])
def test_blocks_of_two_layers_start_smaller_by_the_root_of_their_number(count):
    torch.manual_seed(0)
    wide = Resnet(discriminator_width=64, discriminator_norm="none", blocks_per_grid=count)
    blocks = Gan(network=wide).discriminator(image_space()).trunk.blocks
    for block in blocks:
        weight = block.first.weight
        he = math.sqrt(2 / weight[0].numel())
        assert weight.std().item() == pytest.approx(he / math.sqrt(len(blocks)), rel=0.05)


def test_a_spectrally_normalised_discriminator_has_a_bounded_slope():
    torch.manual_seed(0)
    space = image_space()
    discriminator = Gan(network=NETWORKS["resnet"]).discriminator(space)
    for _ in range(20):
        discriminator(torch.randn(4, *space.shape), None)
    heads = [m for m in discriminator.head.modules() if isinstance(m, torch.nn.Linear)]
    assert torch.linalg.matrix_norm(heads[0].weight, ord=2).item() == pytest.approx(1, abs=0.05)


def noisy_points(**changes) -> torch.nn.Module:
    torch.manual_seed(0)
    network = Mlp(generator_widths=(8,), output_noise=True, **changes)
    game = Gan(network=network, latent=Latent(gaussian=3, signs=2))
    return game.generator(PointSpace(dimensions=2))


def test_output_noise_adds_the_first_coordinates_times_a_learned_scale():
    generator = noisy_points()
    latents = torch.randn(5, 5)
    silent = latents.clone()
    silent[:, :2] = 0
    added = generator(latents, None) - generator(silent, None)
    assert torch.allclose(added, 0.1 * latents[:, :2], atol=1e-6)
    with torch.no_grad():
        generator.noise.log_scale += 1 / NOISE_PACE
    assert torch.allclose(generator(latents, None) - generator(silent, None), torch.e * added)


def test_the_scale_of_output_noise_is_learned_from_what_the_discriminator_says():
    generator = noisy_points()
    latents = torch.randn(500, 5)
    generator(latents, None).square().sum().backward()
    assert (generator.noise.log_scale.grad > 0).all(), "less noise, smaller squares"


def test_layers_see_the_other_coordinates_and_images_with_noise_stay_bounded():
    space = image_space(8, 8)
    game = Gan(network=Mlp(output_noise=True), latent=Latent(gaussian=67))
    generator = game.generator(space)
    assert generator.layers[0].in_features == 3
    assert generator(100 * torch.randn(9, 67), None).abs().max() <= 1


def test_biases_of_the_first_layer_lay_folds_away_from_the_origin():
    def first_and_second(bias: float) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        network = Mlp(discriminator_widths=(500, 8), discriminator_bias=bias)
        layers = Gan(network=network).discriminator(PointSpace(dimensions=2)).trunk.layers
        return layers[0].bias, layers[1].bias

    first, second = first_and_second(2.0)
    assert first.std().item() == pytest.approx(2.0, rel=0.15)
    assert not second.any()
    assert not torch.cat(first_and_second(0.0)).any()


def test_the_layers_that_touch_items_start_with_weights_so_many_times_as_large():
    def deviations(gain: float) -> list[float]:
        torch.manual_seed(0)
        game = Gan(network=Mlp(item_gain=gain), latent=Latent(gaussian=64))
        space = image_space(16, 16)
        generator, trunk = game.generator(space), game.discriminator(space).trunk
        layers = (generator.layers[0], generator.layers[-1], trunk.layers[0], trunk.layers[1])
        return [layer.weight.std().item() for layer in layers]

    plain, small = deviations(1.0), deviations(0.1)
    assert small == pytest.approx([plain[0], plain[1] / 10, plain[2] / 10, plain[3]])


def test_a_perceptron_is_told_its_label_as_loudly_as_a_tenth_of_its_input():
    game = Gan(network=Mlp(), latent=Latent(gaussian=90), conditioning=Concatenation())
    generator = game.generator(image_space(28, 28, classes=10))
    joined = game.conditioning.join_latents(torch.ones(4, 90), torch.arange(4), 10)
    seen = generator.label_gain(joined)
    assert torch.equal(seen[:, :90], torch.ones(4, 90))
    assert seen[:, 90:].square().sum(1).tolist() == pytest.approx([9.0] * 4)


def test_where_an_item_stands_in_its_batch_does_not_change_what_a_labelled_perceptron_says():
    torch.manual_seed(0)
    game = Gan(network=Mlp(discriminator_widths=(8,)), conditioning=Concatenation())
    discriminator = game.discriminator(image_space(8, 8, classes=3)).eval()
    items, labels = torch.randn(8, 1, 8, 8), torch.arange(8) % 3
    with torch.inference_mode():
        logits = discriminator(items, labels).logits
        turned = discriminator(items.roll(1, 0), labels.roll(1)).logits
    assert torch.equal(turned, logits.roll(1))


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_discriminator_squashes_its_logits(recipe):
    """Losses take logits: what is squashed twice has no slope left."""
    config = config_for(recipe)
    with shapes_only():
        networks = config.game.networks(config)
    squashing = (torch.nn.Sigmoid, torch.nn.Softmax, torch.nn.LogSoftmax, torch.nn.LogSigmoid)
    for name, network in networks.items():
        if name.endswith("discriminator"):
            assert not [m for m in network.modules() if isinstance(m, squashing)]
