"""Penalties are exact for discriminators whose gradient is known."""

import pytest
import torch

from ganmodels.penalties import R1, R2, Judged, OneCentred, squared_gradient_norm

WEIGHT = torch.tensor([3.0, 4.0])


def judged_by(critic) -> Judged:
    real = torch.tensor([[1.0, 2.0], [0.5, -1.0]], requires_grad=True)
    fake = torch.tensor([[-1.0, 0.0], [2.0, 2.0]], requires_grad=True)
    return Judged(real, fake, critic(real), critic(fake), critic, torch.Generator())


def linear(items: torch.Tensor) -> torch.Tensor:
    weight = WEIGHT.clone().requires_grad_(True)
    return items @ weight


@pytest.mark.parametrize("penalty", [R1(gamma=2.0), R2(gamma=2.0)])
def test_zero_centred_penalty_of_a_linear_critic_is_half_gamma_times_its_squared_slope(penalty):
    assert penalty(judged_by(linear)).item() == pytest.approx(25.0)


def test_one_centred_penalty_of_a_linear_critic_is_weight_times_squared_distance_to_slope_1():
    assert OneCentred(weight=10.0)(judged_by(linear)).item() == pytest.approx(160.0)


def test_r1_looks_at_reals_and_r2_at_fakes():
    def square(items: torch.Tensor) -> torch.Tensor:
        return items.square().sum(1)

    judged = judged_by(square)
    real = 0.5 * (4 * judged.real.detach().square().sum(1)).mean()
    fake = 0.5 * (4 * judged.fake.detach().square().sum(1)).mean()
    assert R1(gamma=1.0)(judged).item() == pytest.approx(real.item())
    assert R2(gamma=1.0)(judged).item() == pytest.approx(fake.item())


def test_a_lazy_penalty_is_scaled_by_its_interval():
    judged = judged_by(linear)
    assert R1(every=4)(judged).item() == pytest.approx(4 * R1()(judged).item())


def test_a_gradient_that_was_cut_from_the_graph_is_an_error():
    items = torch.ones(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="no graph"):
        squared_gradient_norm(items @ WEIGHT, items)


def test_the_penalty_moves_the_discriminator():
    weight = WEIGHT.clone().requires_grad_(True)
    R1(gamma=2.0)(judged_by(lambda items: items @ weight)).backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, 2 * WEIGHT)
