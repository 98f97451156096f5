"""What a discriminator is told of an item's company is the papers' statistic of it."""

import math

import pytest
import torch
from torch.autograd import gradgradcheck

from ganmodels.minibatch_features import (
    MinibatchDiscrimination,
    MinibatchStddev,
    NoMinibatchFeatures,
)

ALL = [
    NoMinibatchFeatures(),
    MinibatchStddev(group=3),
    MinibatchDiscrimination(kernels=2, dimensions=3),
]
every_kind = pytest.mark.parametrize("axis", ALL, ids=lambda axis: axis.kind)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_kind
@pytest.mark.parametrize("company", [None, normal(5, 4, seed=1)], ids=["training", "scoring"])
def test_features_are_kept_and_extra_ones_follow(axis, company):
    module, features = axis.build(4).double(), normal(7, 4)
    widened = module(features, company)
    assert widened.shape == (7, 4 + module.extra)
    assert torch.equal(widened[:, :4], features)
    assert axis.compares_items == (module.extra > 0)


@every_kind
def test_with_company_an_item_is_judged_alike_whoever_else_was_asked_for(axis):
    module, features, company = axis.build(4).double(), normal(7, 4), normal(6, 4, seed=1)
    together, alone = module(features, company), module(features[3:4], company)
    assert torch.allclose(together[3:4], alone, atol=1e-12)


def test_the_spread_is_that_of_the_strided_group_averaged_over_features():
    module, features = MinibatchStddev(group=3).build(4), normal(6, 4)
    spread = module(features, None)[:, 4]
    even, odd = (features[start::2].std(0, correction=0).mean() for start in (0, 1))
    assert torch.allclose(spread, torch.stack([even, odd] * 3), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 11])
def test_a_batch_that_groups_do_not_divide_leaves_no_item_alone(count):
    spread = MinibatchStddev(group=3).build(4)(normal(count, 4), None)[:, 4]
    assert torch.isfinite(spread).all()
    assert ((spread > 0.01) == (count > 1)).all()


def test_a_collapsed_batch_has_no_spread_and_a_finite_gradient():
    features = torch.ones(8, 4, requires_grad=True)
    spread = MinibatchStddev().build(4)(features, None)[:, 4]
    spread.sum().backward()
    assert spread.max() < 1e-3
    assert torch.isfinite(features.grad).all()


def test_scoring_takes_the_spread_of_the_item_among_groups_of_its_company():
    module, item, company = MinibatchStddev(group=3).build(4), normal(1, 4), normal(5, 4, seed=1)
    groups = (company[[0, 2]], company[[1, 3]])
    spreads = [torch.cat([item, group]).std(0, correction=0).mean() for group in groups]
    assert module(item, company)[0, 4].item() == pytest.approx(sum(spreads).item() / 2)
    few = torch.cat([item, company[:1]]).std(0, correction=0).mean().item()
    assert module(item, company[:1])[0, 4].item() == pytest.approx(few)


def test_closeness_is_the_sum_over_the_batch_of_the_exponential_of_minus_the_distance():
    module = MinibatchDiscrimination(kernels=2, dimensions=2).build(2)
    with torch.no_grad():
        module.projection.copy_(torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    widened = module(torch.tensor([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]), None)
    far = [math.exp(-3), math.exp(-2)]
    expected = [[2 + f for f in far], [1 + 2 * f for f in far], [2 + f for f in far]]
    assert torch.allclose(widened[:, 2:], torch.tensor(expected))


def test_scored_among_its_batch_mates_an_item_is_as_close_as_in_training():
    module, batch = MinibatchDiscrimination().build(4).double(), normal(6, 4)
    trained = module(batch, None)[2]
    scored = module(batch[2:3], batch[[0, 1, 3, 4, 5]])[0]
    assert torch.allclose(trained, scored)


@every_kind
def test_a_gradient_penalty_can_look_through_it(axis):
    module = axis.build(3).double()
    assert gradgradcheck(lambda f: module(f, None), normal(5, 3).requires_grad_(True))


@every_kind
def test_like_items_are_told_apart_in_half_precision_too(axis):
    module, features = axis.build(4), 100 + 0.01 * normal(6, 4).float()
    exact = module(features, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(features, None), exact)
