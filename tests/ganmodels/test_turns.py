"""In every turn the networks are shown what the papers say: items, labels, augmentation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganmodels.augmentation import NoAugmentation
from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batch, Deck
from ganmodels.games.gan import Gan
from ganmodels.objectives import RelativisticPairing
from tests.ganmodels.builders import GANS, SMALL, batches_for, config_for, deck_for, match_for

every_gan = pytest.mark.parametrize("recipe", GANS)
Shown = list[tuple[Tensor, Tensor | None]]
OFFSET = 100.0
STRAIGHT = {**SMALL["mlp"], "discriminator_bias": 0.0}


class Offset(NoAugmentation):
    """Moves items to where neither reals nor fakes can be."""

    def __call__(self, items: Tensor, random: torch.Generator, strength: Any = None) -> Tensor:
        return items + OFFSET


class Double(NoAugmentation):
    def __call__(self, items: Tensor, random: torch.Generator, strength: Any = None) -> Tensor:
        return 2 * items


def augmented(config: TrainConfig, augmentation: NoAugmentation) -> TrainConfig:
    game = config.game.model_copy(update={"augmentation": augmentation})
    return config.model_copy(update={"game": game})


def shown_to(network: nn.Module) -> Shown:
    """Fills with the inputs of each forward pass from now on."""
    shown: Shown = []

    def note(_: nn.Module, inputs: tuple[Tensor, Tensor | None]) -> None:
        shown.append((inputs[0].detach().clone(), inputs[1]))

    network.register_forward_pre_hook(note)
    return shown


def fixed_stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def contains(shown: Shown, items: Tensor) -> bool:
    return any(torch.equal(items, seen) for seen, _ in shown)


@every_gan
def test_the_discriminator_learns_from_augmented_reals_and_fakes_only(recipe):
    config = augmented(config_for(recipe), Offset())
    match, real = match_for(config), batches_for(config).at(0)
    shown = shown_to(match.discriminator)
    match.game.discriminator_step(match, real, fixed_stream())
    assert all((items > OFFSET / 2).all() for items, _ in shown)
    assert contains(shown, real.items.detach() + OFFSET)
    assert sum(len(items) for items, _ in shown) >= 2 * len(real.items)


@every_gan
def test_the_generator_is_judged_by_augmented_fakes(recipe):
    config = augmented(config_for(recipe), Offset())
    match, real = match_for(config), batches_for(config).at(0)
    shown = shown_to(match.discriminator)
    match.game.generator_step(match, real, fixed_stream())
    assert all((items > OFFSET / 2).all() for items, _ in shown)
    game, ahead = config.game, config.game.unrolling
    beside_reals = bool(game.objective.paired or game.feature_matching)
    assert contains(shown, real.items + OFFSET) == bool(beside_reals or ahead)
    looks = 2 * ahead.steps if ahead else 0
    assert sum(len(items) for items, _ in shown) == (1 + beside_reals + looks) * len(real.items)


@pytest.mark.parametrize("penalty", ["r1", "r2"])
def test_a_penalty_differentiates_by_the_item_before_its_augmentation(penalty):
    """Without biases this discriminator's slope is the same at x and at 2 x."""
    game = {"penalties": [{"kind": penalty}], "network": STRAIGHT, "conditioning": {"kind": "none"}}
    config = config_for("points", game=game)

    def value(config: TrainConfig) -> float:
        match, real = match_for(config), batches_for(config).at(0)
        return match.game.discriminator_step(match, real, fixed_stream())["penalty"].item()

    assert value(config) > 0
    assert value(augmented(config, Double())) == pytest.approx(4 * value(config), rel=1e-5)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("dcgan", [[0], [1]]),
        ("wgan-gp", [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]),
        ("r3gan-small", [[0, 1], [2, 3]]),
    ],
)
def test_each_turn_is_shown_a_batch_of_its_own(recipe, expected):
    """A paired objective compares the generator's fakes with a fresh batch too."""
    config = config_for(recipe)
    match, batches = match_for(config), batches_for(config)
    shown, drawn = shown_to(match.discriminator), list[tuple[int, Batch]]()

    def draw(number: int) -> Batch:
        drawn.append((number, batches.at(number)))
        return drawn[-1][1]

    for numbers in expected:
        match.play(Deck(draw))
        assert [number for number, _ in drawn] == numbers
        times = [sum(torch.equal(items, batch.items) for items, _ in shown) for _, batch in drawn]
        assert times == [1] * len(numbers)
        shown.clear()
        drawn.clear()


CONDITIONAL: list[Any] = [
    ("r3gan-small", {"conditioning": {"kind": "concatenation"}}),
    ("cgan", {}),
]


@pytest.mark.parametrize(("recipe", "game"), CONDITIONAL)
@pytest.mark.parametrize("turn", [Gan.discriminator_step, Gan.generator_step])
def test_fakes_are_made_and_judged_with_the_labels_of_their_reals(recipe, game, turn):
    config = config_for(recipe, game=game)
    match, real = match_for(config), batches_for(config).at(3)
    assert real.labels is not None
    assert len(real.labels.unique()) > 1
    made, judged = shown_to(match.generator), shown_to(match.discriminator)
    turn(match.game, match, real, fixed_stream())
    assert len(made) == 1
    assert all(torch.equal(labels, real.labels) for _, labels in made + judged)


@every_gan
def test_objectives_receive_one_logit_per_item_and_no_second_dimension(recipe):
    """Logits [n] beside [n, 1] would become all n^2 pairs without an error."""
    received: list[tuple[Tensor, Tensor]] = []
    config = config_for(recipe)
    objective = type(config.game.objective)

    class Noting(objective):  # type: ignore[misc, valid-type]
        def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
            received.append((real, fake))
            return super().discriminator_loss(real, fake)

        def generator_loss(self, real: Tensor | None, fake: Tensor) -> Tensor:
            received.append((fake if real is None else real, fake))
            return super().generator_loss(real, fake)

    game = config.game.model_copy(update={"objective": Noting()})
    match = match_for(config.model_copy(update={"game": game}))
    match.play(deck_for(config))
    looks = game.unrolling.steps if game.unrolling else 0
    assert len(received) == game.discriminator_steps + game.generator_steps * (1 + looks)
    assert {logits.shape for pair in received for logits in pair} == {
        (config.optimisation.batch_size // game.pack,)
    }


def test_relativistic_pairing_compares_each_fake_with_one_real():
    objective = RelativisticPairing()
    real, fake = torch.tensor([0.0, 3.0]), torch.tensor([1.0, -2.0])
    each = [softplus(fake[i] - real[i]).item() for i in range(2)]
    assert objective.discriminator_loss(real, fake).item() == pytest.approx(sum(each) / 2)
    each = [softplus(real[i] - fake[i]).item() for i in range(2)]
    assert objective.generator_loss(real, fake).item() == pytest.approx(sum(each) / 2)
