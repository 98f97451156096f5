"""Optimisers follow their schedules, and go on from their state as if they had never stopped."""

import copy
import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from ganmodels.optimisation import Adam, BurnInDecay, Optimisation, Optimiser, Sgd

OPTIMISERS = [Adam(), Adam(beta1=0.0, beta2=0.9, final_beta2=0.99), Sgd(), Sgd(momentum=0.0)]
every_optimiser = pytest.mark.parametrize("spec", OPTIMISERS, ids=repr)


def settings_at(spec: Optimiser, step: int = 0, factor: float = 1.0, settled: float = 1.0):
    optimiser = spec.build([torch.nn.Parameter(torch.ones(2))])
    spec.adjust(optimiser, step=step, factor=factor, settled=settled)
    return optimiser.param_groups[0]


def test_adam_moves_its_second_beta_while_training_settles():
    spec = Adam(learning_rate=0.5, beta1=0.0, beta2=0.9, final_beta2=0.99)
    betas = [settings_at(spec, settled=settled)["betas"] for settled in (0.0, 0.5, 1.0)]
    assert [beta for beta, _ in betas] == [0, 0, 0]
    assert [beta for _, beta in betas] == pytest.approx([0.9, 0.945, 0.99])
    assert settings_at(Adam(beta2=0.9), settled=0.5)["betas"] == (0.5, 0.9)
    assert settings_at(spec, factor=0.1)["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize(("epsilon", "moved"), [(1e-8, 0.1), (1e-4, 0.05)])
def test_adam_moves_weights_less_where_gradients_are_below_epsilon(epsilon: float, moved: float):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = Adam(learning_rate=0.1, epsilon=epsilon).build([weight])
    (1e-4 * weight.sum()).backward()
    optimiser.step()
    assert weight.item() == pytest.approx(-moved, rel=1e-3)


def test_sgd_follows_the_schedule_of_the_first_gan():
    """Rate divided by 1.000004 a step down to 1e-6, momentum .5 to .7 over 250 epochs of 500."""
    spec = Sgd()
    rates = [settings_at(spec, step)["lr"] for step in (0, 1, 100_000, 10**8)]
    assert rates == pytest.approx([0.1, 0.1 / 1.000004, 0.1 / math.exp(0.4), 1e-6], rel=1e-5)
    momenta = [settings_at(spec, step)["momentum"] for step in (0, 62_500, 125_000, 10**6)]
    assert momenta == pytest.approx([0.5, 0.6, 0.7, 0.7])
    assert settings_at(Sgd(final_momentum=0.5), 10**6)["momentum"] == 0.5
    assert settings_at(spec, factor=0.5)["lr"] == pytest.approx(0.05)
    assert settings_at(Sgd(rate_decay=2.0), 10**8)["lr"] == 1e-6


def test_the_least_rate_never_raises_a_rate():
    assert settings_at(Sgd(learning_rate=1e-7), 10**6)["lr"] == 1e-7


@every_optimiser
def test_what_was_adjusted_is_what_the_next_update_uses(spec):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = spec.build([weight])
    spec.adjust(optimiser, step=0, factor=0.5, settled=0.0)
    weight.sum().backward()
    optimiser.step()
    assert weight.item() == pytest.approx(-0.5 * spec.learning_rate, rel=1e-4)


def learn(spec, weight, optimiser, steps: range) -> None:
    for step in steps:
        spec.adjust(optimiser, step=step, factor=1.0, settled=step / 6)
        optimiser.zero_grad()
        (weight.sin() * torch.arange(1.0, 4.0)).sum().backward()
        optimiser.step()


@every_optimiser
def test_a_filled_state_goes_on_bit_by_bit(spec):
    whole = torch.nn.Parameter(torch.ones(3))
    optimiser = spec.build([whole])
    learn(spec, whole, optimiser, range(3))
    second = torch.nn.Parameter(whole.detach().clone())
    state = copy.deepcopy(list(optimiser.state[whole].items()))
    learn(spec, whole, optimiser, range(3, 6))

    resumed = spec.build([second])
    spec.create_state(resumed)
    assert [name for name, _ in state] == list(resumed.state[second])
    for name, value in state:
        resumed.state[second][name].copy_(value)
    learn(spec, second, resumed, range(3, 6))
    assert torch.equal(whole, second)


def test_training_settles_along_half_a_cosine_counted_in_images():
    optimisation = Optimisation(burn_in_images=1000)
    settled = [optimisation.settled(images) for images in (0, 250, 500, 1000, 10**9)]
    expected = [0, (1 - math.sqrt(0.5)) / 2, 0.5, 1, 1]
    assert settled == pytest.approx(expected)
    assert Optimisation().settled(0) == 1


def test_the_burn_in_decay_ends_with_the_burn_in_whatever_the_length_of_the_training():
    decay = BurnInDecay(final=0.25)
    assert [decay.factor(0.9, settled) for settled in (0, 0.5, 1)] == [1, 0.625, 0.25]
    assert decay.factor(0.0) == 0.25


def test_a_configuration_that_names_no_optimiser_means_adam():
    adapter = TypeAdapter(Optimiser)
    assert adapter.validate_json('{"learning_rate": 0.5}') == Adam(learning_rate=0.5)
    assert adapter.validate_json('{"kind": "sgd", "momentum": 0}') == Sgd(momentum=0.0)
    for wrong in ('{"kind": "lion"}', '{"momentum": 0.5}', "3", "null"):
        with pytest.raises(ValidationError):
            adapter.validate_json(wrong)
