"""The losses are those of the papers, and push the right way."""

import math
from typing import get_args

import pytest
import torch

from ganmodels.objectives import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Objective,
    RelativisticPairing,
    Wasserstein,
)

OBJECTIVES = get_args(get_args(Objective)[0])
every_objective = pytest.mark.parametrize("kind", OBJECTIVES, ids=lambda kind: kind.__name__)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


@pytest.mark.parametrize(
    ("objective", "discriminator", "generator"),
    [
        (Minimax(), softplus(-2) + softplus(-1), -softplus(-1)),
        (NonSaturating(), softplus(-2) + softplus(-1), softplus(1)),
        (
            Minimax(real_target=0.9),
            0.9 * softplus(-2) + 0.1 * softplus(2) + softplus(-1),
            -softplus(-1),
        ),
        (
            NonSaturating(real_target=0.9),
            0.9 * softplus(-2) + 0.1 * softplus(2) + softplus(-1),
            softplus(1),
        ),
        (LeastSquares(), 0.5 + 0.5, 2.0),
        (Hinge(), 0.0, 1.0),
        (Hinge(margin=3.0), 1.0 + 2.0, 1.0),
        (Wasserstein(), -3.0, 1.0),
        (RelativisticPairing(), softplus(-3), softplus(3)),
    ],
)
def test_losses_at_logits_2_and_minus_1_are_those_of_the_paper(objective, discriminator, generator):
    real, fake = torch.full((4,), 2.0), torch.full((4,), -1.0)
    assert objective.discriminator_loss(real, fake).item() == pytest.approx(discriminator)
    assert objective.generator_loss(real, fake).item() == pytest.approx(generator)


@every_objective
def test_the_discriminator_raises_reals_and_lowers_fakes(kind):
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    kind().discriminator_loss(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad >= 0).all() if kind is LeastSquares else (fake.grad > 0).all()


@every_objective
def test_the_generator_raises_its_fakes(kind):
    real, fake = torch.zeros(3), torch.zeros(3, requires_grad=True)
    kind().generator_loss(real, fake).backward()
    assert (fake.grad < 0).all()


def test_relativistic_pairing_without_reals_is_refused():
    with pytest.raises(ValueError, match="real logits"):
        RelativisticPairing().generator_loss(None, torch.zeros(3))


def test_relativistic_pairing_refuses_logits_that_do_not_pair():
    patches = torch.zeros(4, 3, 3)
    for real, fake in (
        (torch.zeros(4), torch.zeros(4, 1)),
        (torch.zeros(4), torch.zeros(3)),
        (patches, patches),
    ):
        with pytest.raises(ValueError, match="do not pair"):
            RelativisticPairing().discriminator_loss(real, fake)
        with pytest.raises(ValueError, match="do not pair"):
            RelativisticPairing().generator_loss(real, fake)


@pytest.mark.parametrize("kind", [k for k in OBJECTIVES if not k.paired], ids=lambda k: k.__name__)
def test_verdicts_on_patches_weigh_the_same_as_verdicts_on_items(kind):
    real, fake = torch.randn(2, 12), torch.randn(2, 12)
    flat = kind().discriminator_loss(real.flatten(), fake.flatten())
    patches = kind().discriminator_loss(real.reshape(2, 3, 4), fake.reshape(2, 3, 4))
    assert patches.item() == pytest.approx(flat.item())
    assert kind().generator_loss(None, fake.reshape(2, 3, 4)).item() == pytest.approx(
        kind().generator_loss(None, fake).item()
    )


@pytest.mark.parametrize("kind", [Minimax, NonSaturating])
@pytest.mark.parametrize("target", [0.6, 0.9, 1.0])
def test_smoothing_moves_the_optimal_discriminator(kind, target):
    """Where a share of 3 in 4 items is real, the optimal D says 0.75 t."""
    objective = kind(real_target=target)
    optimum = torch.logit(torch.tensor([0.75 * target], dtype=torch.float64))
    logit = optimum.clone().requires_grad_(True)
    on_reals = objective.discriminator_loss(logit, logit.detach())
    on_fakes = objective.discriminator_loss(logit.detach(), logit)
    (slope,) = torch.autograd.grad(0.75 * on_reals + 0.25 * on_fakes, logit)
    assert slope.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", [Minimax, NonSaturating])
def test_the_boundary_is_where_an_item_is_as_likely_real_as_fake(kind):
    assert kind().boundary == 0
    # Smoothed, the optimal D says 0.9 p / (p + q), and 0.45 where p = q.
    smoothed = torch.tensor(kind(real_target=0.9).boundary).sigmoid()
    assert smoothed.item() == pytest.approx(0.45)
