"""One step of the game does what the paper says, and a match can stop and go on exactly."""

import re

import pytest
import torch

from ganmodels.games.gan import METRICS, Gan
from ganmodels.games.match import Match, State
from ganmodels.recipes import RECIPES
from tests.ganmodels.builders import (
    GANS,
    SMALL,
    batches_for,
    config_for,
    image_space,
    match_for,
    play,
)

every_recipe = pytest.mark.parametrize("recipe", RECIPES)
every_gan = pytest.mark.parametrize("recipe", GANS)


def snapshot(match: Match) -> State:
    state = match.state()
    return State({key: tensor.clone() for key, tensor in state.tensors.items()}, state.step)


def differing(first: State, second: State) -> list[str]:
    assert first.tensors.keys() == second.tensors.keys()
    return [k for k, v in first.tensors.items() if not torch.equal(v, second.tensors[k])]


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@every_recipe
def test_resume_is_bit_identical(recipe):
    config = config_for(recipe)
    straight = match_for(config)
    play(straight, config, 3)
    saved = snapshot(straight)
    play(straight, config, 4)
    resumed = match_for(config)
    resumed.load(saved)
    play(resumed, config, 4)
    assert resumed.step == straight.step == 7
    assert differing(straight.state(), resumed.state()) == []
    assert resumed.read_metrics() == straight.read_metrics()


SPECTRAL = {"network": {**SMALL["dcgan"], "discriminator_norm": "spectral"}}
# What a continuation computes anew: the averages copy counters and singular vectors from the
# networks, _u comes from _v, and the _v of a matrix of one row is exact from any start.
COMPUTED_ANEW = re.compile(
    r".*_average/.*(\.num_batches_tracked|\._u|\._v)|discriminator/(.*\._u|head\..*\._v)"
)
# Pairs see differences of logits only, so the bias of the last layer (weight number 3) stays 0.
BIAS_OF_PAIRS = {
    "discriminator/head.linear.bias",
    "discriminator_average/head.linear.bias",
    "discriminator_optimiser/3/exp_avg",
    "discriminator_optimiser/3/exp_avg_sq",
}


@pytest.mark.parametrize(
    ("recipe", "game", "never_changes"),
    [("cgan", {}, set()), ("cgan", SPECTRAL, set()), ("points", {}, BIAS_OF_PAIRS)],
    ids=["cgan", "cgan, spectral", "points"],
)
def test_each_tensor_of_the_state_is_needed_to_go_on(recipe, game, never_changes):
    """Any one tensor left as it was at the start makes the continuation differ."""
    config = config_for(recipe, game=game)
    straight = match_for(config)
    start = snapshot(straight).tensors
    play(straight, config, 2)
    saved = snapshot(straight)
    play(straight, config, 1)
    start = {k: start.get(k, torch.zeros_like(tensor)) for k, tensor in saved.tensors.items()}
    changed = {key for key, tensor in saved.tensors.items() if not torch.equal(tensor, start[key])}
    assert saved.tensors.keys() - changed == never_changes
    needed = set()
    for key in changed:
        resumed = match_for(config)
        resumed.load(State({**saved.tensors, key: start[key]}, saved.step))
        play(resumed, config, 1)
        if differing(straight.state(), resumed.state()):
            needed.add(key)
    assert changed - needed == {key for key in changed if COMPUTED_ANEW.fullmatch(key)}


def test_the_step_is_part_of_the_state():
    config = config_for("dcgan")
    straight = match_for(config)
    play(straight, config, 3)
    saved = snapshot(straight)
    play(straight, config, 2)
    resumed = match_for(config)
    resumed.load(saved._replace(step=2))
    play(resumed, config, 2)
    assert differing(straight.state(), resumed.state())


def test_a_state_that_lacks_a_tensor_is_refused():
    config = config_for("cgan")
    match = match_for(config)
    play(match, config, 1)
    saved = snapshot(match)
    del saved.tensors["generator_optimiser/0/exp_avg"]
    with pytest.raises(ValueError, match="generator_optimiser/0/exp_avg"):
        match_for(config).load(saved)


@every_recipe
def test_equal_seeds_give_equal_matches_and_other_seeds_others(recipe):
    config = config_for(recipe)
    first, second = match_for(config), match_for(config)
    other = match_for(config, seed=1)
    for match in (first, second, other):
        play(match, config, 2)
    assert differing(first.state(), second.state()) == []
    assert differing(first.state(), other.state())


@every_gan
def test_each_step_teaches_its_own_network_only(recipe):
    config = config_for(recipe)
    match, batches = match_for(config), batches_for(config)
    random = torch.Generator().manual_seed(0)
    generator, discriminator = weights(match.generator), weights(match.discriminator)
    match.game.discriminator_step(match, batches.at(0), random)
    assert same(generator, weights(match.generator))
    assert not same(discriminator, weights(match.discriminator))
    assert all(parameter.grad is None for parameter in match.generator.parameters())
    discriminator = weights(match.discriminator)
    match.game.generator_step(match, batches.at(1), random)
    assert not same(generator, weights(match.generator))
    assert same(discriminator, weights(match.discriminator))


def test_the_average_follows_weights_and_buffers():
    config = config_for("dcgan")
    match = match_for(config)
    play(match, config, 3)
    mine, theirs = match.average.state_dict(), match.generator.state_dict()
    running = next(key for key in mine if key.endswith("running_mean"))
    counter = next(key for key in mine if key.endswith("num_batches_tracked"))
    assert not torch.equal(mine[running], torch.zeros_like(mine[running]))
    assert not torch.equal(mine[running], theirs[running])
    assert torch.equal(mine[counter], theirs[counter])


def test_averages_count_the_images_of_all_turns_of_the_discriminator():
    half_lives = {"average": 100, "discriminator_average": 40}
    changes = {name: {"half_life_images": images} for name, images in half_lives.items()}
    config = config_for("wgan-gp", optimisation=changes)
    match = match_for(config)
    match.step = 1000  # long after the warm-up
    followers = [(match.average, match.generator, 100)]
    followers.append((match.average_discriminator, match.discriminator, 40))
    for average, _, _ in followers:
        for parameter in average.parameters():
            parameter.zero_()
    play(match, config, 1)
    for average, network, half_life in followers:
        retention = 0.5 ** (5 * 8 / half_life)
        for mine, theirs in zip(weights(average), weights(network), strict=True):
            torch.testing.assert_close(mine, (1 - retention) * theirs)


def test_the_state_holds_the_singular_vectors_of_spectral_normalisation():
    match = match_for(config_for("sngan"))
    buffers = dict(match.discriminator.named_buffers())
    saved = match.state().tensors
    assert {key.rpartition(".")[2] for key in buffers} == {"_u", "_v"}
    assert all(torch.equal(saved[f"discriminator/{k}"], held) for k, held in buffers.items())


@every_recipe
def test_metrics_are_finite_and_complete(recipe):
    config = config_for(recipe)
    match = match_for(config)
    play(match, config, 3)
    measured = match.read_metrics()
    assert tuple(measured.means) == config.game.metrics
    assert config.game.metrics[:2] == ("discriminator_loss", "generator_loss")
    if isinstance(config.game, Gan):
        assert config.game.metrics[: len(METRICS)] == METRICS
    assert measured.bad is None
    assert all(abs(value) < 1e6 for value in measured.means.values())


def test_the_first_step_that_is_not_finite_is_named():
    config = config_for("dcgan")
    match = match_for(config)
    play(match, config, 2)
    with torch.no_grad():
        next(match.generator.parameters()).fill_(float("nan"))
    play(match, config, 3)
    assert match.read_metrics().bad.step == 3


def test_images_seen_counts_reals_shown_to_the_discriminator():
    config = config_for("wgan-gp")
    match = match_for(config)
    play(match, config, 2)
    assert match.images_seen == 2 * 5 * 8


@pytest.mark.parametrize("recipe", ["wgan-gp", "r3gan-small", "dragan"])
def test_penalties_in_bfloat16_turn_the_gradient_less_than_another_batch_does(recipe):
    config = config_for(recipe, image_space(16, 16, 1, 0), optimisation={"batch_size": 32})
    wide, narrow, other = (
        judging_gradient(config, precision, batch)
        for precision, batch in ((None, 0), (torch.bfloat16, 0), (None, 1))
    )
    assert torch.cosine_similarity(wide, narrow, 0) > 0.998
    assert torch.dist(wide, narrow) < torch.dist(wide, other) / 3


def judging_gradient(config, precision: torch.dtype | None, batch: int) -> torch.Tensor:
    """The gradient of the discriminator's whole loss at the first weights, on a batch."""
    match = Match(config, torch.device("cpu"), precision)
    random = torch.Generator().manual_seed(0)
    match.game.discriminator_loss(match, batches_for(config).at(batch), random)[0].backward()
    held = [weight.grad for weight in match.players["discriminator"].weights]
    return torch.cat([gradient.flatten() for gradient in held if gradient is not None])


def test_bfloat16_forward_passes_leave_float32_weights():
    config = config_for("cgan")
    match = Match(config, torch.device("cpu"), torch.bfloat16)
    play(match, config, 2)
    tensors = match.state().tensors
    floating = [t for name, t in tensors.items() if t.is_floating_point() and name != "metric_sums"]
    assert all(tensor.dtype == torch.float32 for tensor in floating)
    assert match.read_metrics().bad is None
