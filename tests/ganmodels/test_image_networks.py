"""Networks from images to images keep the shape of any image; their judges judge patches."""

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from ganmodels.estimate import estimate, state_bytes
from ganmodels.networks import ImageNetwork, ResidualRefiner
from ganmodels.recipes import RECIPES
from ganmodels.spaces import ImageSpace
from tests.ganmodels.builders import SMALL, SOURCED, config_for, image_space

KINDS = ("residual_refiner", "residual_translator")
SIZES = [(8, 8), (8, 128), (9, 11), (13, 8), (15, 17), (28, 28), (31, 33), (64, 48), (127, 127)]
every_kind = pytest.mark.parametrize("kind", KINDS)


def network_of(kind: str, **changes):
    return TypeAdapter(ImageNetwork).validate_python({"kind": kind, **SMALL[kind], **changes})


def gradient_support(judge: nn.Module, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the pixels that the logit in the middle depends on."""
    items = torch.rand(1, 1, height, width, requires_grad=True)
    logits = judge(items, None).logits
    logits[0, logits.shape[1] // 2, logits.shape[2] // 2].backward()
    seen = items.grad[0, 0] != 0
    return int(seen.any(1).sum()), int(seen.any(0).sum())


@every_kind
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_images_of_any_size_keep_their_shape_and_are_judged_by_patches(kind, size, channels):
    space = image_space(*size, channels)
    network, items = network_of(kind), torch.rand(2, channels, *size) * 2 - 1
    made = network.generator(space)(items, None)
    assert made.shape == items.shape
    assert made.abs().max() <= 1
    logits = network.discriminator(space)(items, None).logits
    assert logits.dim() == 3
    assert len(logits) == 2
    assert logits[0].numel() > 1


@every_kind
@pytest.mark.parametrize("norm", ["instance", "spectral", "none"])
def test_judges_of_every_norm_judge_the_smallest_images(kind, norm):
    network = network_of(kind, discriminator_norm=norm)
    space = image_space(8, 8)
    logits = network.discriminator(space)(torch.randn(2, 1, 8, 8), None).logits
    assert logits.isfinite().all()
    assert network.discriminator_has_spectral_norm == (norm == "spectral")


@pytest.mark.parametrize(("layers", "pixels"), [(1, 16), (2, 34), (3, 70)])
def test_a_patch_of_the_translators_judge_is_as_large_as_its_layers_say(layers, pixels):
    network = network_of(
        "residual_translator", discriminator_layers=layers, discriminator_norm="none"
    )
    judge = network.discriminator(image_space(128, 128))
    assert gradient_support(judge, 128, 128) == (pixels, pixels)


@pytest.mark.parametrize(("halvings", "pixels"), [(1, 13), (2, 23)])
def test_a_patch_of_the_refiners_judge_is_as_large_as_its_halvings_say(halvings, pixels):
    torch.manual_seed(0)
    network = network_of("residual_refiner", width=8, discriminator_halvings=halvings)
    judge = network.discriminator(image_space(64, 64))
    with torch.no_grad():
        # Then no unit is off.
        for parameter in judge.parameters():
            parameter.abs_().add_(0.01)
    rows, columns = gradient_support(judge, 64, 64)
    # Where a maximum is taken only one of nine places counts.
    assert pixels // 3 <= rows <= pixels
    assert pixels // 3 <= columns <= pixels


def test_the_translator_has_the_layers_of_the_paper():
    """c7s1-64, d128, d256, 9 x R256, u128, u64, c7s1-3."""
    network = network_of("residual_translator", generator_width=64, blocks=9)
    generator = network.generator(image_space(128, 128, 3))
    layers = [m for m in generator.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in layers] == [64, 128, 256, *[256] * 18, 128, 64, 3]
    assert [layer.kernel_size[0] for layer in layers] == [7, *[3] * 22, 7]


def test_the_refiner_has_the_layers_of_the_paper():
    """A 3x3 convolution, four blocks of two, a 1x1 one; the judge has 96, 64, 32, 32 and 1."""
    network = RECIPES["simgan"].game.network.__class__()
    space = image_space(55, 35)
    layers = [m for m in network.generator(space).modules() if isinstance(m, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [*[64] * 9, 1]
    layers = [m for m in network.discriminator(space).modules() if isinstance(m, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [96, 64, 32, 32, 1]


@pytest.mark.parametrize("recipe", SOURCED)
def test_the_estimate_counts_all_players_and_their_pools(recipe):
    config = config_for(recipe)
    pooled = config_for(recipe, game={"replay": {"size": 1012}})
    counted, pool_bytes = estimate(config), state_bytes(pooled) - state_bytes(config)
    directions = len(config.game.directions)
    assert pool_bytes == directions * 1000 * (4 * 64 + 8)
    # Twice: a checkpoint is written from a copy.
    assert estimate(pooled).memory_bytes - counted.memory_bytes >= 2 * pool_bytes
    generator = sum(p.numel() for p in config.game.networks(config)["generator"].parameters())
    assert counted.generator_parameters == directions * generator
    assert counted.step_flops > 0


def test_a_new_refiner_copies():
    space = ImageSpace(height=16, width=16, channels=3)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    refined = ResidualRefiner(width=8, blocks=1).generator(space)(images, None)
    torch.testing.assert_close(refined, 0.95 * images, rtol=0, atol=1e-5)
