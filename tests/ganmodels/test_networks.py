"""Networks build for every space they claim, and take labels where they are told to."""

import itertools

import pytest
import torch

from ganmodels.conditioning import Concatenation, LearnedMap, Projection, Unconditional
from ganmodels.games.gan import Gan
from ganmodels.latents import Latent
from ganmodels.networks import Dcgan, Mlp, Resnet
from ganmodels.spaces import PointSpace
from tests.ganmodels.builders import image_space

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
}
SHAPES = [(8, 8, 1), (9, 13, 3), (16, 16, 4), (28, 28, 1), (48, 64, 3), (30, 8, 2), (8, 128, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_items_have_the_shape_of_their_space_and_get_one_logit_each(name, shape):
    space = image_space(*shape)
    game = Gan(network=NETWORKS[name], latent=Latent(gaussian=5, signs=2))
    items = game.generator(space)(torch.randn(2, 7), None)
    assert items.shape == (2, *space.shape)
    assert items.abs().max() <= 1
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
        ("mlp", "dcgan", "resnet"), (Concatenation(), LearnedMap(), Projection(embedding_width=4))
    )
    if not (name == "mlp" and conditioning.needs_generator_norm)
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


def test_a_spectrally_normalised_discriminator_has_a_bounded_slope():
    torch.manual_seed(0)
    space = image_space()
    discriminator = Gan(network=NETWORKS["resnet"]).discriminator(space)
    for _ in range(20):
        discriminator(torch.randn(4, *space.shape), None)
    heads = [m for m in discriminator.head.modules() if isinstance(m, torch.nn.Linear)]
    assert torch.linalg.matrix_norm(heads[0].weight, ord=2).item() == pytest.approx(1, abs=0.05)
