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


@every_objective
def test_a_probability_lies_in_0_to_1_or_is_not_claimed(kind):
    probability = kind().probability(torch.tensor([-50.0, 0.0, 50.0]))
    claimed = kind in (Minimax, NonSaturating, LeastSquares)
    assert (probability is not None) == claimed
    if probability is not None:
        assert ((probability >= 0) & (probability <= 1)).all()
        assert (probability.diff() >= 0).all()


def test_relativistic_pairing_refuses_logits_that_do_not_pair():
    for real, fake in ((torch.zeros(4), torch.zeros(4, 1)), (torch.zeros(4), torch.zeros(3))):
        with pytest.raises(ValueError, match="do not pair"):
            RelativisticPairing().discriminator_loss(real, fake)
        with pytest.raises(ValueError, match="do not pair"):
            RelativisticPairing().generator_loss(real, fake)
