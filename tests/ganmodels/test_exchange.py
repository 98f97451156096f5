"""Turns that share their passes give each player the gradient of its own loss."""

import pytest
import torch

from ganmodels.data.batches import stream
from ganmodels.games import exchange as exchange_module
from ganmodels.games.gan import Gan
from ganmodels.games.match import Match
from tests.ganmodels.builders import batches_for, config_for, match_for, play

PLAIN = {"conditioning": {"kind": "none"}, "labels": {"kind": "given"}}
NO_NORM = {"kind": "dcgan", "discriminator_norm": "none"}
NAMES = ("generator", "discriminator")


def game_of(exchange: str, **more: object) -> dict[str, object]:
    network = {"generator_width": 4, "discriminator_width": 4, **NO_NORM}
    return {**PLAIN, "network": network, "exchange": {"kind": exchange}, **more}


def gradients(match: Match) -> dict[str, torch.Tensor]:
    """What each player last learned by, as one vector."""
    return {
        name: torch.cat(
            [w.grad.flatten() for w in match.players[name].weights if w.grad is not None]
        )
        for name in NAMES
    }


def after_one_step(exchange: str, **more: object) -> dict[str, torch.Tensor]:
    config = config_for("dcgan", game=game_of(exchange, **more))
    match = match_for(config)
    play(match, config, 1)
    return gradients(match)


def by_each_loss_alone(**more: object) -> dict[str, torch.Tensor]:
    """The gradients of both losses at the first weights, with fakes and passes of their own."""
    config = config_for("dcgan", game=game_of("simultaneous", **more))
    real, found = batches_for(config).at(0), {}
    for name in NAMES:
        match = match_for(config)
        game, random = match.game, stream(match.seed, "step", 0, torch.Generator())
        assert isinstance(game, Gan)
        loss = game.discriminator_loss if name == "discriminator" else game.generator_loss
        loss(match, real, random)[0].backward()
        found[name] = gradients_of(match, name)
    return found


def gradients_of(match: Match, name: str) -> torch.Tensor:
    held = [w.grad for w in match.players[name].weights]
    return torch.cat([gradient.flatten() for gradient in held if gradient is not None])


OBJECTIVES = [{"kind": kind} for kind in ("non_saturating", "minimax", "relativistic_pairing")]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one["kind"])
@pytest.mark.parametrize("exchange", ["simultaneous", "rescaled"])
def test_both_players_learn_by_their_own_losses_at_the_same_weights(exchange, objective):
    found, expected = (
        after_one_step(exchange, objective=objective),
        by_each_loss_alone(objective=objective),
    )
    for name in NAMES:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-7)


def test_penalties_on_reals_move_the_discriminator_alone_when_slopes_are_rescaled():
    penalised = {"penalties": [{"kind": "r1", "gamma": 10.0}]}
    with_it, without = (after_one_step("rescaled", **more) for more in (penalised, {}))
    torch.testing.assert_close(with_it["generator"], without["generator"], rtol=1e-4, atol=1e-7)
    assert not torch.allclose(with_it["discriminator"], without["discriminator"], rtol=1e-2)


def test_shared_fakes_are_judged_again_by_the_updated_discriminator():
    slow = {"kind": "adam", "learning_rate": 1e-12}
    config = config_for("dcgan", game=game_of("shared_fakes"), optimisation={"discriminator": slow})
    match = match_for(config)
    play(match, config, 1)
    # A discriminator that stays where it is sees them as it saw them before.
    expected = after_one_step("simultaneous")["generator"]
    torch.testing.assert_close(gradients(match)["generator"], expected, rtol=1e-4, atol=1e-7)
    moved = after_one_step("shared_fakes")["generator"]
    assert not torch.allclose(moved, expected, rtol=1e-3)


@pytest.mark.parametrize("exchange", ["shared_fakes", "simultaneous", "rescaled"])
def test_a_joint_exchange_takes_one_batch_and_goes_on_exactly(exchange):
    config = config_for("dcgan", game=game_of(exchange))
    straight, resumed = match_for(config), match_for(config)
    play(straight, config, 3)
    saved = {key: tensor.clone() for key, tensor in straight.state().tensors.items()}
    resumed.load(straight.state()._replace(tensors=saved))
    play(straight, config, 2)
    play(resumed, config, 2)
    for key, tensor in straight.state().tensors.items():
        assert torch.equal(tensor, resumed.state().tensors[key]), key
    assert config.game.draws_per_step == 1


def test_a_clipped_critic_is_clipped_in_a_joint_exchange_too():
    game = game_of("simultaneous", objective={"kind": "wasserstein"}, weight_clip=0.01)
    config = config_for("dcgan", game=game)
    match = match_for(config)
    play(match, config, 1)
    assert (
        max(float(w.detach().abs().max()) for w in match.players["discriminator"].weights) <= 0.01
    )


@pytest.mark.parametrize("exchange", ["simultaneous", "rescaled"])
def test_gradients_lie_in_memory_as_their_weights_do_with_penalties_too(exchange):
    # Adam in one kernel takes weights and gradients place by place.
    config = config_for("dcgan", game=game_of(exchange, penalties=[{"kind": "r1"}]))
    match = match_for(config)
    play(match, config, 1)
    for player in match.players.values():
        assert all(w.grad is None or w.grad.stride() == w.stride() for w in player.weights)


def test_a_discriminator_that_is_sure_beyond_floats_gives_a_rescaled_generator_nothing():
    game = config_for("dcgan", game=game_of("rescaled")).game
    ratio, told = exchange_module._ratio_of_slopes(
        game, torch.zeros(2), torch.tensor([-120.0, 1.0])
    )
    assert ratio[0] == 0 and ratio[1] < 0
    assert told["generator_loss"].isfinite()
