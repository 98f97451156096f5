"""Costs are those of the step that trains, found without computing it."""

import time

import pytest
import torch

from benchmarks.memory_lab.child import Counted
from ganmodels.estimate import estimate, state_bytes
from ganmodels.fitting import fitting
from ganmodels.games.match import Match
from ganmodels.imagined import Imagination
from ganmodels.recipes import RECIPES
from tests.ganmodels.builders import CPU, config_for, deck_for, match_for, play

# Each trains in a way that the others do not; the rest are tried in the slow tests.
UNLIKE = {"points", "wgan-gp", "ada", "improved-gan", "semi-supervised", "simgan"}
EVERY = [
    recipe if recipe in UNLIKE else pytest.param(recipe, marks=pytest.mark.slow)
    for recipe in RECIPES
]


def peak_of(config, counting, autocast):
    # What is found once for the data is no part of a step.
    deck = deck_for(config)
    with counting:
        match = Match(config, CPU, autocast)
        match.play(deck)
        match.step = match.total_steps - 1
        match.play(deck)
    return counting


@pytest.mark.parametrize("autocast", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("recipe", EVERY)
def test_imagined_tensors_take_what_real_ones_take(recipe, autocast):
    config = config_for(recipe, optimisation={"accumulate": 2})
    real = peak_of(config, Counted(), autocast)
    imagined = peak_of(config, Imagination(), autocast)
    assert imagined.storages.peak_bytes == pytest.approx(
        real.storages.peak_bytes, rel=0.02, abs=4096
    )


def test_the_state_is_counted_to_the_byte():
    for recipe in ("cgan", "simgan", "semi-supervised"):
        config = config_for(recipe)
        match = match_for(config)
        for player in match.players.values():
            player.create_moments()
        held = sum(tensor.nbytes for tensor in match.state().tensors.values())
        assert state_bytes(config) == held


def test_estimating_draws_no_random_numbers():
    before = torch.get_rng_state()
    estimate(config_for("semi-supervised", seed=3))
    assert torch.equal(torch.get_rng_state(), before)


def test_half_of_the_bits_take_less_memory_and_as_much_work():
    config = config_for("lsgan", optimisation={"batch_size": 64})
    wide, narrow = estimate(config), estimate(config, torch.bfloat16)
    assert narrow.memory_bytes < wide.memory_bytes
    assert narrow.step_flops == wide.step_flops


def test_an_imagined_tensor_is_of_no_use_outside():
    with Imagination():
        tensor = torch.zeros(2)
    with pytest.raises(RuntimeError, match="imagination"):
        tensor + 1


def test_games_of_every_size_of_part_have_their_arithmetic():
    costs = [
        estimate(config_for("lsgan", optimisation={"batch_size": 16, "accumulate": parts}))
        for parts in (1, 2, 4, 8)
    ]
    assert len({cost.step_flops for cost in costs}) == 1
    memory = [cost.memory_bytes for cost in costs]
    assert memory == sorted(memory, reverse=True)


@pytest.mark.parametrize("turns", [{"discriminator_steps": 6}, {"generator_steps": 4}])
def test_the_arithmetic_of_many_turns_is_that_of_each(turns):
    config = config_for("wgan-gp", game=turns)
    with Imagination() as imagination:
        match_for(config).play(deck_for(config))
    assert estimate(config).step_flops == imagination.flops


@pytest.mark.parametrize("network", ["dcgan", "resnet"])
def test_looking_far_ahead_costs_what_each_look_costs(network):
    game = {"network": {"kind": network, "discriminator_norm": "none"}}
    configs = [
        config_for("unrolled", game={**game, "unrolling": {"steps": looks}}) for looks in (2, 3, 7)
    ]
    played = [peak_of(config, Imagination(), None).storages.peak_bytes for config in configs]
    costs = [estimate(config) for config in configs]
    few, more, far = (cost.memory_bytes for cost in costs)
    # What an estimate adds for the heap is a share of each tensor.
    share = (more - few) / (played[1] - played[0])
    assert far - few == pytest.approx(share * (played[2] - played[0]), rel=1e-4)
    with Imagination() as imagination:
        match_for(configs[-1]).play(deck_for(configs[-1]))
    assert costs[-1].step_flops == imagination.flops


def test_many_turns_and_looks_take_no_more_playing_than_a_few():
    playing = []
    for count in (3, 20):
        turns = {"discriminator_steps": count, "generator_steps": count}
        game = {**turns, "unrolling": {"steps": count}}
        began = time.process_time()
        estimate(config_for("unrolled", game=game))
        playing.append(time.process_time() - began)
    assert playing[1] < 3 * playing[0]


def test_the_fewest_parts_that_fit_are_found():
    config = config_for("wgan-gp", optimisation={"batch_size": 64})
    parts = {
        count: estimate(
            config_for("wgan-gp", optimisation={"batch_size": 64, "accumulate": count})
        ).memory_bytes
        for count in (2, 4, 8)
    }
    fit = fitting(config, parts[4])
    assert fit is not None
    assert (fit.batch_size, fit.accumulate, fit.memory_bytes) == (64, 4, parts[4])
    assert "accumulate to 4 (4 parts of 16 items)" in fit.advice


def test_parts_are_said_to_be_the_same_only_without_batch_statistics():
    plain = config_for(
        "lsgan",
        game={"network": {"generator_norm": "none", "discriminator_norm": "none"}},
        optimisation={"batch_size": 64},
    )
    mixed = config_for("lsgan", optimisation={"batch_size": 64})
    fits = [fitting(one, estimate(one).memory_bytes * 3 // 4) for one in (plain, mixed)]
    assert [fit and fit.same_mathematics for fit in fits] == [True, False]
    assert "statistics" in fits[1].advice


def test_a_smaller_batch_is_the_last_resort_and_too_large_networks_have_none():
    # A prime batch has no equal parts but single items.
    config = config_for("lsgan", optimisation={"batch_size": 61})
    fit = fitting(config, estimate(config).memory_bytes * 3 // 4)
    assert fit is not None
    assert (fit.batch_size, fit.accumulate) == (30, 1)
    assert fit.advice == "set batch_size to 30"
    assert fitting(config, 1000) is None


def test_playing_a_match_goes_on_as_before_after_an_estimate():
    config = config_for("cgan")
    first, second = match_for(config), match_for(config)
    play(first, config, 2)
    estimate(config)
    play(second, config, 2)
    mine, theirs = first.state().tensors, second.state().tensors
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
