"""How a discriminator's last turn and the generator's turn of one step share their passes.

Those that share more cost less, and change the dynamics: the generator learns from the fakes, or
from the very pass, by which the discriminator has just learned. To add one: write the class here
and add its name to ``Exchange``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganmodels.data.batches import Batch
from ganmodels.games.player import Player, Told
from ganmodels.networks.discriminator import Verdict
from ganmodels.spec import Spec
from ganmodels.types import Scalar

if TYPE_CHECKING:
    from ganmodels.games.gan import Gan
    from ganmodels.games.match import Match


class Alternating(Spec):
    """Each turn has fakes of its own. Source: Goodfellow et al. 2014 (arXiv:1406.2661)."""

    kind: Literal["alternating"] = "alternating"
    joint: ClassVar[bool] = False
    separate_items: ClassVar[bool] = False

    def play(self, game: Gan, match: Match, real: Batch, random: torch.Generator) -> Told:
        """The discriminator's turn alone: the generator's follow."""
        return game.discriminator_step(match, real, random)


class SharedFakes(Spec):
    """Both learn from the same fakes, the generator from how the updated discriminator sees them.

    Saves a pass of the generator. So does the procedure of Radford et al. 2015 (arXiv:1511.06434)
    in most implementations.
    """

    kind: Literal["shared_fakes"] = "shared_fakes"
    joint: ClassVar[bool] = True
    separate_items: ClassVar[bool] = False

    def play(self, game: Gan, match: Match, real: Batch, random: torch.Generator) -> Told:
        """One update of each, the discriminator's first."""
        fake = game.make(match, real, random)
        shown = fake._replace(items=fake.items.detach())
        told = game.discriminator_step(match, real, random, shown)
        return told | game.generator_step(match, real, random, fake)


class Simultaneous(Spec):
    """Both learn from one pass of the discriminator over reals and fakes, before either moves.

    The gradient of each player is that of its own loss at the same weights: simultaneous descent,
    as Mescheder et al. 2017 (arXiv:1705.10461) analyse it. Saves a pass of each network.
    """

    kind: Literal["simultaneous"] = "simultaneous"
    joint: ClassVar[bool] = True
    separate_items: ClassVar[bool] = False

    def play(self, game: Gan, match: Match, real: Batch, random: torch.Generator) -> Told:
        """One update of each, from the same weights of both."""
        fake = game.make(match, real, random)
        seen = game.look(match, real, fake, random)
        judging, told = game.judging(match, seen, random)
        making, more = game.making(match, seen.fake, _settled(seen.of_real), seen.of_fake)
        players = match.players["discriminator"], match.players["generator"]
        for player, loss in zip(players, (judging, making), strict=True):
            _take(player, _gradients(loss, player.weights, retain_graph=loss is judging))
        return _figures(game, match, told | more)


class Rescaled(Spec):
    """As simultaneous, and one way back through the discriminator serves both players.

    Where a logit depends on one item alone, the gradients of both losses at that item differ by a
    factor: the ratio of the losses' slopes at its logit. The discriminator's is multiplied by it.
    """

    kind: Literal["rescaled"] = "rescaled"
    joint: ClassVar[bool] = True
    separate_items: ClassVar[bool] = True

    def play(self, game: Gan, match: Match, real: Batch, random: torch.Generator) -> Told:
        """One update of each, from the same weights of both."""
        fake = game.make(match, real, random)
        leaf = fake.items.detach().requires_grad_(True)
        seen = game.look(match, real, fake._replace(items=leaf), random)
        judging, told = game.judging(match, seen, random)
        ratio, more = _ratio_of_slopes(game, seen.of_real.logits, seen.of_fake.logits)
        judge, maker = match.players["discriminator"], match.players["generator"]
        at_items, *gradients = _gradients(judging, [leaf, *judge.weights])
        assert at_items is not None
        _take(judge, gradients)
        # The generator's loss, as far as its weights are concerned.
        seen_from_maker = (fake.items * (at_items * ratio.view(-1, *[1] * (leaf.ndim - 1)))).sum()
        _take(maker, _gradients(seen_from_maker, maker.weights))
        return _figures(game, match, told | more)


def _ratio_of_slopes(game: Gan, real: Tensor, fake: Tensor) -> tuple[Tensor, Told]:
    """The generator's slope over the discriminator's at each fake's logit, and G's loss.

    0 where the latter is too small for a float: nothing of it is left to be rescaled.
    """
    real, fake = real.detach(), fake.detach().requires_grad_(True)
    making = game.objective.generator_loss(real, fake)
    (for_maker,) = torch.autograd.grad(making, fake)
    (for_judge,) = torch.autograd.grad(game.objective.discriminator_loss(real, fake), fake)
    ratio = torch.where(for_judge == 0, torch.zeros_like(for_judge), for_maker / for_judge)
    return ratio, {"generator_loss": making.detach()}


def _gradients(
    loss: Scalar, tensors: Sequence[Tensor], retain_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """None for weights that took no part, as in ``backward``."""
    return torch.autograd.grad(loss, tensors, retain_graph=retain_graph, allow_unused=True)


def _take(player: Player, gradients: Sequence[Tensor | None]) -> None:
    """Laid out as the weights are, as in ``backward``: optimisers in one kernel rely on it."""
    for weight, gradient in zip(player.weights, gradients, strict=True):
        if gradient is not None and gradient.stride() != weight.stride():
            gradient = torch.empty_like(weight).copy_(gradient)
        weight.grad = gradient


def _settled(verdict: Verdict) -> Verdict:
    """What is said of reals does not depend on the generator."""
    return Verdict(*(None if one is None else one.detach() for one in verdict))  # type: ignore[arg-type]


def _figures(game: Gan, match: Match, told: Told) -> Told:
    """Both players move; the figures with the norms of their gradients."""
    norms: dict[str, Scalar] = {
        f"{name}_gradient_norm": player.move() for name, player in match.players.items()
    }
    game.clip(match)
    return {name: figure.detach() for name, figure in told.items()} | norms


Exchange = Annotated[
    Alternating | SharedFakes | Simultaneous | Rescaled, Field(discriminator="kind")
]
