"""Batches are a pure function of (seed, draw); augmentation and averages do what they say."""

import numpy as np
import pytest
import torch

from ganmodels.augmentation import Shift
from ganmodels.data.batches import Batches, to_network
from ganmodels.estimate import estimate
from ganmodels.optimisation import Average, Constant, CosineDecay, LinearDecay
from ganmodels.spaces import PointSpace
from tests.ganmodels.builders import CPU, config_for, image_space

SPACE = PointSpace(dimensions=1)


def numbered(count: int, batch_size: int, seed: int = 0) -> Batches:
    items = np.arange(count, dtype=np.float32)[:, None]
    return Batches(items, np.arange(count), SPACE, batch_size, seed, CPU)


def test_each_pass_shows_every_item_once():
    batches = numbered(10, 4)
    drawn = torch.cat([batches.at(draw).items for draw in range(5)]).flatten().int().tolist()
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]


def test_a_draw_is_the_same_in_any_order_and_in_any_process():
    forward, backward = numbered(10, 4), numbered(10, 4)
    expected = [forward.at(draw).items for draw in range(12)]
    for draw in reversed(range(12)):
        assert torch.equal(backward.at(draw).items, expected[draw])
    assert not torch.equal(numbered(10, 4, seed=1).at(0).items, expected[0])


def test_labels_stay_with_their_items():
    batch = numbered(50, 20).at(3)
    assert torch.equal(batch.items.flatten().long(), batch.labels)


def test_images_lie_in_minus_1_to_1_and_points_are_scaled():
    space = image_space(2, 2, 1)
    pixels = np.array([0, 255, 127, 128], dtype=np.uint8).reshape(1, 2, 2, 1)
    assert to_network(pixels, space, CPU).flatten().tolist() == pytest.approx(
        [-1, 1, -1 / 255, 1 / 255], abs=1e-6
    )
    points = np.array([[4.0]], dtype=np.float32)
    assert to_network(points, PointSpace(dimensions=1, scale=2.0), CPU).item() == 2


def test_a_shift_moves_whole_images_by_at_most_its_pixels():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    moved = Shift(pixels=2)(image.expand(400, -1, -1, -1), torch.Generator().manual_seed(0))
    places = moved.flatten(1).argmax(1)
    rows, columns = places // 9, places % 9
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}


def test_a_shift_can_be_differentiated_twice():
    image = torch.randn(2, 1, 5, 5, requires_grad=True)
    moved = Shift(pixels=1)(image, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(moved.pow(3).sum(), image, create_graph=True)
    gradient.sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_decays_begin_at_1_and_end_at_their_final_value():
    assert Constant().factor(0.9) == 1
    linear = LinearDecay(start=0.5, final=0.1)
    assert [linear.factor(f) for f in (0, 0.5, 0.75, 1)] == pytest.approx([1, 1, 0.55, 0.1])
    cosine = CosineDecay(final=0.2)
    assert [cosine.factor(f) for f in (0, 0.5, 1)] == pytest.approx([1, 0.6, 0.2])


def test_the_average_forgets_half_every_half_life_and_starts_quickly():
    average = Average(half_life_images=1000)
    assert average.retention(10**6, 100) ** 10 == pytest.approx(0.5)
    assert average.retention(1, 1) == pytest.approx(2 / 11)


def test_the_estimate_counts_parameters_exactly_and_grows_with_the_batch():
    config = config_for("cgan")
    cost = estimate(config)
    counted = sum(p.numel() for p in config.game.generator(config.space).parameters())
    assert cost.generator_parameters == counted
    optimisation = config.optimisation.model_copy(update={"batch_size": 16})
    double = estimate(config.model_copy(update={"optimisation": optimisation}))
    assert double.step_flops == 2 * cost.step_flops
    assert double.memory_bytes > cost.memory_bytes


def test_a_batch_in_parts_costs_as_much_work_and_less_memory():
    costs = [estimate(config_for("points", optimisation={"accumulate": parts})) for parts in (1, 4)]
    assert costs[0].step_flops == costs[1].step_flops
    assert costs[0].memory_bytes > costs[1].memory_bytes


@pytest.mark.parametrize("kind", ["minibatch_stddev", "minibatch_discrimination"])
def test_discriminators_that_look_at_the_whole_batch_have_a_cost_too(kind):
    plain = config_for("lsgan")
    mixed = config_for("lsgan", game={"minibatch_features": {"kind": kind}})
    assert estimate(mixed).discriminator_parameters > estimate(plain).discriminator_parameters
