"""Augmentations do to images what the papers say, and let gradient penalties look through."""

import math

import pytest
import torch
from torch.autograd import gradgradcheck

from ganmodels.augmentation import Ada, DiffAugment, NoAugmentation, Shift
from ganmodels.augmentation.warp import warped

AUGMENTATIONS = {
    "none": NoAugmentation(),
    "shift": Shift(pixels=2),
    "diffaugment": DiffAugment(policy=("color", "translation", "cutout")),
    "ada": Ada(),
    "ada blit": Ada(policy=("blit",)),
    "ada geometry": Ada(policy=("geometry",)),
    "ada color": Ada(policy=("color",)),
}
every_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)
every_shape = pytest.mark.parametrize(
    "shape", [(1, 9, 13), (2, 8, 8), (3, 8, 8), (4, 16, 9), (1, 1, 8), (3, 128, 8)], ids=str
)


def augmented(name: str, items: torch.Tensor, strength: float = 1.0, seed: int = 0):
    random = torch.Generator().manual_seed(seed)
    return AUGMENTATIONS[name](items, random, torch.tensor(strength))


def images(*shape: int, seed: int = 0, count: int = 12, dtype=torch.float32) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, *shape, generator=random, dtype=dtype) * 2 - 1


@every_shape
@every_augmentation
def test_images_of_any_shape_keep_it_and_stay_finite(name, shape):
    items = images(*shape)
    changed = augmented(name, items)
    assert changed.shape == items.shape
    assert torch.isfinite(changed).all()
    assert torch.equal(changed, items) == (name == "none")


@every_augmentation
@pytest.mark.parametrize("channels", [1, 4])
def test_augmentations_can_be_differentiated_twice(name, channels):
    items = images(channels, 3, 4, count=2, dtype=torch.float64).requires_grad_(True)
    assert gradgradcheck(lambda some: augmented(name, some).pow(3), items)


@every_augmentation
def test_reals_and_fakes_meet_the_same_function_at_the_same_place_of_the_stream(name):
    """A function that is drawn without a look at the images is affine in them."""
    real, fake = images(3, 8, 9), images(3, 8, 9, seed=1)
    nothing = augmented(name, torch.zeros_like(real))
    apart = augmented(name, real) + augmented(name, fake)
    assert torch.allclose(apart, augmented(name, real + fake) + nothing, atol=1e-4)


@every_augmentation
def test_the_draws_are_those_of_the_stream(name):
    items = images(3, 8, 9)
    assert torch.equal(augmented(name, items), augmented(name, items))
    assert torch.equal(augmented(name, items), augmented(name, items, seed=1)) == (name == "none")


@every_augmentation
def test_an_item_far_out_changes_no_other(name):
    items, far = images(3, 8, 9), images(3, 8, 9)
    far[4] = 1e30
    others = [index for index in range(len(items)) if index != 4]
    assert torch.equal(augmented(name, far)[others], augmented(name, items)[others])


@every_augmentation
def test_gradients_are_the_same_in_every_run_on_several_threads(name):
    gradients = []
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in range(3):
            items = images(3, 32, 32, count=32).requires_grad_(True)
            gradients.append(torch.autograd.grad(augmented(name, items).pow(3).sum(), items)[0])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@every_shape
@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name.startswith("ada")])
def test_at_strength_0_images_are_as_they_were_bit_by_bit(name, shape):
    items = images(*shape)
    assert torch.equal(augmented(name, items, strength=0.0), items)


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_every_transformation_comes_with_the_strength_as_its_probability(strength):
    """Of grey images: brightness, contrast, and an inversion that spares every second image."""
    items = images(1, 2, 2, count=20_000)
    same = (augmented("ada color", items, strength) == items).flatten(1).all(1)
    expected = (1 - strength) ** 2 * (1 - strength / 2)
    assert same.float().mean().item() == pytest.approx(expected, abs=0.015)


def test_turns_come_with_the_strength_as_their_probability_though_there_are_two():
    """As often as (1 - p)^4 nothing is scaled, turned, stretched or moved."""
    strength, items = 0.5, images(1, 4, 4, count=1).expand(20_000, -1, -1, -1)
    same = (augmented("ada geometry", items, strength) == items).flatten(1).all(1)
    assert same.float().mean().item() == pytest.approx((1 - strength) ** 4, abs=0.015)


@pytest.mark.parametrize("name", ["diffaugment", "ada color"])
@pytest.mark.parametrize("channels", [2, 4])
def test_colours_change_and_alpha_does_not(name, channels):
    items = images(channels, 8, 8)
    color = DiffAugment(policy=("color",)) if name == "diffaugment" else AUGMENTATIONS[name]
    changed = color(items, torch.Generator().manual_seed(0), torch.tensor(1.0))
    assert torch.equal(changed[:, -1], items[:, -1])
    assert not torch.equal(changed[:, :-1], items[:, :-1])


@pytest.mark.parametrize("name", ["diffaugment", "ada color"])
def test_grey_pictures_in_rgb_stay_grey(name):
    items = images(1, 8, 8).expand(-1, 3, -1, -1)
    changed = augmented(name, items)
    assert torch.allclose(changed, changed.mean(1, keepdim=True).expand_as(changed), atol=1e-5)


def test_adaptive_colours_keep_the_middle_of_the_greys_but_for_brightness_and_contrast():
    """Hue turns about the axis of greys and saturation scales away from it."""
    items = images(3, 6, 6, count=200)
    means = augmented("ada color", items).mean(1).flatten(1)
    before = items.mean(1).flatten(1)
    centred, centred_before = (m - m.mean(1, keepdim=True) for m in (means, before))
    ratio = (centred * centred_before).sum(1) / centred_before.square().sum(1)
    assert torch.allclose(centred, ratio[:, None] * centred_before, atol=1e-4)
    assert (ratio < 0).float().mean().item() == pytest.approx(0.5, abs=0.12)


def matrix(*rows: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor([[*rows, (0.0, 0.0, 1.0)]])


PICTURE = torch.arange(20.0).reshape(1, 1, 4, 5)


@pytest.mark.parametrize(
    ("warp", "expected"),
    [
        (matrix((-1, 0, 0), (0, 1, 0)), PICTURE.flip(3)),
        (matrix((-1, 0, 0), (0, -1, 0)), PICTURE.rot90(2, (2, 3))),
        (matrix((1, 0, 1), (0, 1, 0)), PICTURE[..., [1, 2, 3, 4, 3]]),
        (matrix((1, 0, 0), (0, 1, -2)), PICTURE[:, :, [2, 1, 0, 1]]),
        (matrix((1, 0, 8), (0, 1, 0)), PICTURE),
    ],
    ids=["mirrored", "half turn", "moved, edge reflected", "moved down", "a whole period away"],
)
def test_a_warp_of_pixels_to_pixels_copies_them(warp, expected):
    assert torch.equal(warped(PICTURE, warp), expected)


def test_a_quarter_turn_of_a_square_copies_its_pixels():
    square = images(2, 6, 6, count=1)
    assert torch.equal(warped(square, matrix((0, -1, 0), (1, 0, 0))), square.rot90(1, (2, 3)))


def test_between_pixels_a_warp_interpolates_in_both_directions():
    moved = warped(PICTURE, matrix((1, 0, 0.5), (0, 1, 0.25)))
    assert moved[0, 0, 0, 0].item() == pytest.approx(0.75 * 0.5 + 0.25 * 5.5)


@pytest.mark.parametrize("distance", [1e3, 1e8, -1e8])
def test_however_far_a_warp_reaches_it_finds_pixels_of_the_image(distance):
    moved = warped(PICTURE, matrix((1, 0, distance), (0, 1, -distance)))
    assert ((moved >= 0) & (moved <= 19)).all()


def test_blits_of_squares_show_each_pixel_or_its_reflection_and_make_no_new_values():
    items = images(1, 8, 8, count=50)
    changed = augmented("ada blit", items)
    for before, after in zip(items, changed, strict=True):
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())


def test_cutouts_remove_a_quarter_of_the_image_or_less_at_its_border():
    cut = DiffAugment(policy=("cutout",))(torch.ones(300, 2, 8, 12), torch.Generator())
    removed = (cut == 0).flatten(1).float().mean(1)
    assert removed.max().item() == pytest.approx(0.25)
    assert 0.05 < removed.min().item() < 0.15
    assert torch.equal(cut[:, 0], cut[:, 1])


def test_translation_moves_by_up_to_an_eighth_and_fills_with_the_middle_grey():
    image = torch.zeros(1, 1, 16, 24)
    image[0, 0, 8, 12] = 1
    moved = DiffAugment(policy=("translation",))(image.expand(900, -1, -1, -1), torch.Generator())
    places = moved.flatten(1).argmax(1)
    assert set((places // 24).tolist()) == set(range(6, 11))
    assert set((places % 24).tolist()) == set(range(9, 16))
    filled = DiffAugment(policy=("translation",))(torch.ones(50, 1, 16, 24), torch.Generator())
    assert set(filled.unique().tolist()) == {0, 1}


def test_the_strength_follows_how_sure_the_discriminator_is_of_its_reals():
    ada, half = Ada(target=0.6, adjust_images=1000), torch.tensor(0.5)
    sure, unsure = torch.tensor(0.9), torch.tensor(0.2)
    assert ada.adjusted(half, sure, 100).item() == pytest.approx(0.6)
    assert ada.adjusted(half, unsure, 100).item() == pytest.approx(0.4)
    assert ada.adjusted(half, torch.tensor(0.6), 100).item() == pytest.approx(0.5)
    assert ada.adjusted(torch.tensor(0.75), sure, 100).item() == pytest.approx(0.8)
    assert ada.adjusted(torch.tensor(0.05), unsure, 100).item() == 0
    assert ada.needs_anchored_logits
    assert ada.first_strength == 0


def test_without_a_target_the_strength_follows_the_burn_in_alone():
    ada = Ada(adaptive=False, start=0.1, final=0.5, most=0.4)
    strength, sure = torch.tensor(0.3), torch.tensor(1.0)
    strengths = [ada.adjusted(strength, sure, 10**6, settled).item() for settled in (0, 0.5, 1)]
    assert strengths == pytest.approx([0.1, 0.3, 0.4])
    assert not ada.needs_anchored_logits


@pytest.mark.parametrize("name", ["none", "shift", "diffaugment"])
def test_the_strength_of_a_fixed_augmentation_is_left_alone(name):
    augmentation, strength = AUGMENTATIONS[name], torch.tensor(0.3)
    assert augmentation.adjusted(strength, torch.tensor(1.0), 10**9) is strength
    items = images(3, 8, 8)
    assert torch.equal(augmented(name, items, 0.0), augmented(name, items, 1.0))


def test_brightness_and_contrast_have_the_magnitudes_of_the_paper():
    """A middle grey becomes brightness N(0, 0.2^2) times contrast 2^N(0, 0.5^2)."""
    bright = augmented("ada color", torch.zeros(20_000, 1, 1, 1))
    expected = 0.2 * math.exp((0.5 * math.log(2)) ** 2)
    assert bright.std().item() == pytest.approx(expected, rel=0.05)
