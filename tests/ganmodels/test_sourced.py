"""Games that translate do what their papers say: losses, turns, pools, and who learns when."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, softplus

from ganmodels.data.batches import Batch, Deck
from ganmodels.games.match import Match
from ganmodels.games.translator import BACKWARD, FORWARD
from ganmodels.networks.discriminator import Verdict
from tests.ganmodels.builders import SOURCED, batches_for, config_for, match_for, play, source_for

every_sourced = pytest.mark.parametrize("recipe", SOURCED)


class Scaled(nn.Module):
    """Stands for a generator: multiplies."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, items: Tensor, labels: Tensor | None) -> Tensor:
        return items * self.factor


class Moved(nn.Module):
    """Stands for a generator: moves images by a pixel."""

    def forward(self, items: Tensor, labels: Tensor | None) -> Tensor:
        return items.roll(1, dims=3)


class Patches(nn.Module):
    """Stands for a discriminator: the logit of a place is its pixel times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, items: Tensor, labels: Tensor | None) -> Verdict:
        return Verdict(items[:, 0] * self.factor, items)


NO_WARM_UP = {"generator_warm_up": 0, "discriminator_warm_up": 0, "generator_steps": 2}


def with_stand_ins(match: Match, **factors: float) -> Match:
    for name, factor in factors.items():
        stand_in = Patches if name.endswith("discriminator") else Scaled
        match.players[name].network = stand_in(factor)
    return match


def pair_of(config) -> tuple[Tensor, Tensor]:
    """A batch of the dataset and one of its source."""
    return batches_for(config).at(0).items, source_for(config).at(0).items


def weights_of(match: Match) -> dict[str, list[Tensor]]:
    return {
        name: [p.detach().clone() for p in player.network.parameters()]
        for name, player in match.players.items()
    }


def learned(match: Match, before: dict[str, list[Tensor]]) -> set[str]:
    """Players whose weights have changed."""
    now = weights_of(match)
    return {
        name
        for name, held in before.items()
        if not all(torch.equal(a, b) for a, b in zip(held, now[name], strict=True))
    }


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_refiner_minimises_mean_cross_entropy_of_patches_and_weighted_difference():
    game = {"self_regularisation": 3.0, "regularised_window": 1, "generator_warm_up": 0}
    config = config_for("simgan", game=game)
    match = with_stand_ins(match_for(config), generator=0.5, discriminator=2.0)
    _, source = pair_of(config)
    loss, told = match.game.generator_loss(match, source)
    adversarial = softplus(-2.0 * (0.5 * source)).mean()
    kept = (0.5 * source).abs().mean()
    torch.testing.assert_close(told["generator_loss"], adversarial)
    torch.testing.assert_close(told["self_regularisation_loss"], kept)
    torch.testing.assert_close(loss, adversarial + 3.0 * kept)


def test_with_a_window_the_refiner_may_move_what_its_squares_hold():
    config = config_for("simgan", game={"regularised_window": 4, "generator_warm_up": 10})
    match = with_stand_ins(match_for(config), generator=0.5, discriminator=2.0)
    _, source = pair_of(config)
    match.players["generator"].network = Moved()
    loss, _ = match.game.generator_loss(match, source)
    moved = source.roll(1, dims=3)
    means = [avg_pool2d(images, 4, stride=1) for images in (moved, source)]
    torch.testing.assert_close(loss, (means[0] - means[1]).abs().mean())
    assert loss < (moved - source).abs().mean()


def test_the_refiners_judge_minimises_mean_cross_entropy_over_all_patches():
    config = config_for("simgan")
    match = with_stand_ins(match_for(config), generator=0.5, discriminator=2.0)
    real, source = pair_of(config)
    loss, told = match.game.discriminator_loss(match, real, source, stream())
    expected = softplus(-2.0 * real).mean() + softplus(2.0 * 0.5 * source).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(told["real_logit"], 2.0 * real.mean())


def test_the_translators_minimise_both_ways_cycle_and_identity_of_the_paper():
    """2 (D(G(a)) - 1)^2 / 2 is the paper's (D(G(a)) - 1)^2; cycle 10, identity 5."""
    config = config_for("cyclegan")
    players = {"generator": 0.5, "backward_generator": 0.8}
    judges = {"discriminator": 2.0, "backward_discriminator": 3.0}
    match = with_stand_ins(match_for(config), **players, **judges)
    b, a = pair_of(config)
    loss, told, made = match.game.generators_loss(match, a, b, stream())
    adversarial = (2.0 * 0.5 * a - 1).square().mean() + (3.0 * 0.8 * b - 1).square().mean()
    cycle = (0.4 * a - a).abs().mean() + (0.4 * b - b).abs().mean()
    identity = (0.5 * b - b).abs().mean() + (0.8 * a - a).abs().mean()
    torch.testing.assert_close(loss, adversarial + 10 * cycle + 5 * identity)
    torch.testing.assert_close(told["cycle_loss"], cycle)
    torch.testing.assert_close(made.forward, 0.5 * a)
    torch.testing.assert_close(made.backward, 0.8 * b)


def test_the_translators_judges_minimise_half_the_squares_of_each_kind():
    config = config_for("cyclegan")
    match = with_stand_ins(match_for(config), discriminator=2.0, backward_discriminator=3.0)
    b, a = pair_of(config)
    for way, factor in ((FORWARD, 2.0), (BACKWARD, 3.0)):
        loss, _ = match.game.discriminator_loss(match, way, b, a)
        expected = ((factor * b - 1).square().mean() + (factor * a).square().mean()) / 2
        torch.testing.assert_close(loss, expected)


def test_an_image_that_is_hidden_in_another_shows_when_noise_is_added():
    """A generator that shrinks and one that blows up again: noise is blown up too."""
    config = config_for("cyclegan")
    match = with_stand_ins(match_for(config), generator=0.01, backward_generator=100.0)
    b, a = pair_of(config)
    _, told, _ = match.game.generators_loss(match, a, 0 * b, stream())
    assert told["cycle_loss"] < 1e-4
    assert told["noisy_cycle_loss"] > 1


def test_no_identity_term_means_no_pass_for_it():
    config = config_for("cyclegan", game={"identity_weight": 0.0})
    match = match_for(config)
    sizes: list[int] = []
    match.generator.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    play(match, config, 1)
    # To translate, to return, and to return a quarter with noise.
    assert sizes == [8, 8, 2]


@pytest.mark.parametrize(
    ("step", "players"),
    [
        (0, {"generator"}),
        (1, {"generator"}),
        (2, {"discriminator"}),
        (3, {"generator", "discriminator"}),
    ],
)
def test_the_refiner_warms_up_alone_and_then_its_judge_alone(step, players):
    config = config_for("simgan")
    match = match_for(config)
    play(match, config, step)
    before = weights_of(match)
    match.read_metrics()
    play(match, config, 1)
    assert learned(match, before) == players
    means = match.read_metrics().means
    assert bool(means["discriminator_gradient_norm"]) == ("discriminator" in players)
    assert bool(means["generator_gradient_norm"]) == ("generator" in players)


def test_the_refiner_learns_by_the_difference_alone_while_it_warms_up():
    config = config_for("simgan")
    match = match_for(config)
    _, source = pair_of(config)
    loss, told = match.game.generator_loss(match, source)
    assert loss is told["self_regularisation_loss"]
    assert "generator_loss" not in told


def test_each_turn_of_the_refiner_is_given_items_of_its_own():
    config = config_for("simgan", game=NO_WARM_UP)
    match, drawn = match_for(config), list[tuple[str, int]]()

    def draw(kind: str, batches):
        def at(number: int) -> Batch:
            drawn.append((kind, number))
            return batches.at(number)

        return at

    deck = Deck(draw("real", batches_for(config)), draw("source", source_for(config)))
    for _ in range(2):
        match.play(deck)
    given = [number for kind, number in drawn if kind == "source"]
    assert given == list(range(6))
    assert [number for kind, number in drawn if kind == "real"] == [0, 1]


def test_only_the_translators_learn_in_their_turn_and_only_a_judge_in_its():
    config = config_for("cyclegan")
    match = match_for(config)
    real, source = batches_for(config).at(0), source_for(config).at(0)
    before = weights_of(match)
    _, made = match.game.generators_step(match, source, real, stream())
    assert learned(match, before) == {"generator", "backward_generator"}
    before = weights_of(match)
    match.game.discriminator_step(match, FORWARD, real, made.forward, stream())
    assert learned(match, before) == {"discriminator"}
    before = weights_of(match)
    match.game.discriminator_step(match, BACKWARD, source, made.backward, stream())
    assert learned(match, before) == {"backward_discriminator"}


def test_half_of_what_the_refiners_judge_sees_comes_from_the_pool():
    config = config_for("simgan", game={"replay": {"size": 8, "share": 0.5}})
    match = with_stand_ins(match_for(config), generator=0.5)
    real, source = pair_of(config)
    earlier = torch.full_like(source, 0.25)
    match.memories["replay"].swap(earlier, None, stream())
    seen: list[Tensor] = []
    match.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    match.game.discriminator_loss(match, real, source, stream())
    fakes = seen[1]
    assert torch.equal(fakes[:4], earlier[:4])
    torch.testing.assert_close(fakes[4:], 0.5 * source[4:])


@every_sourced
def test_pools_are_part_of_the_state(recipe):
    config = config_for(recipe)
    match = match_for(config)
    play(match, config, 5)
    pools = [key for key in match.state().tensors if "replay/items" in key]
    assert len(pools) == len(match.memories) == len(match.game.directions)
    assert all(match.state().tensors[key].any() for key in pools)


@every_sourced
@pytest.mark.parametrize("accumulate", [2, 4])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(recipe, accumulate):
    changes = {"game": {"replay": {"share": 0.0}}, "optimisation": {"generator": {"kind": "sgd"}}}
    changes["optimisation"]["discriminator"] = {"kind": "sgd"}
    whole = match_for(config_for(recipe, **changes))
    changes["optimisation"]["accumulate"] = accumulate
    config = config_for(recipe, **changes)
    parted = match_for(config)
    for match in (whole, parted):
        play(match, match.config, 1)
    for name, player in whole.players.items():
        others = parted.players[name].network.parameters()
        for mine, theirs in zip(player.network.parameters(), others, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@every_sourced
def test_an_items_logit_is_the_mean_of_its_patches(recipe):
    config = config_for(recipe)
    match = match_for(config)
    items = batches_for(config).at(0).items
    judged = match.judge(items, None, stream())
    with torch.no_grad():
        patches = match.discriminator(items, None).logits
    assert patches.dim() == 3
    torch.testing.assert_close(judged, patches.mean((1, 2)))
    with torch.no_grad():
        torch.testing.assert_close(match.discriminator.score(items, None, None), judged)


@every_sourced
def test_no_item_depends_on_the_others_of_its_batch(recipe):
    config = config_for(recipe)
    match = match_for(config)
    items = batches_for(config).at(0).items
    for player in match.players.values():
        with torch.no_grad():
            together, alone = player.network(items, None), player.network(items[:1], None)
        if isinstance(together, Verdict):
            together, alone = together.logits, alone.logits
        torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)
