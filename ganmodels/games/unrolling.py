"""Unrolling: the generator is judged by the discriminator as it will be a few updates from now.

Source: Metz et al. 2017 (arXiv:1611.02163), equations 8 to 10.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from ganmodels.games.player import Player
from ganmodels.optimisation import Adam
from ganmodels.spec import Spec
from ganmodels.types import Scalar

Weights = dict[str, Tensor]
_TINY = 1e-24


class Unrolling(Spec):
    """How many updates of the discriminator the generator looks ahead."""

    steps: int = Field(default=5, ge=1, le=20)


def look_ahead(player: Player, steps: int, loss_at: Callable[[Weights], Scalar]) -> Weights:
    """A player's weights after some updates by Adam on ``loss_at``, with their whole graph.

    The network, its optimiser and their state stay as they are: nothing is to be restored.
    """
    network, optimiser, rule = player.network, player.optimiser, player.rule
    assert isinstance(rule, Adam), "validity refuses others"
    beta2 = optimiser.param_groups[0]["betas"][1]
    learning = {id(weight) for weight in player.weights}
    named = {name: p for name, p in network.named_parameters() if id(p) in learning}
    weights = {name: p.detach().clone().requires_grad_() for name, p in named.items()}
    known = {name: optimiser.state.get(p, {}) for name, p in named.items()}
    first = {n: known[n].get("exp_avg", torch.zeros_like(w)).detach() for n, w in weights.items()}
    second = {
        n: known[n].get("exp_avg_sq", torch.zeros_like(w)).detach() for n, w in weights.items()
    }
    taken = max((int(state["step"]) for state in known.values() if "step" in state), default=0)
    rate = optimiser.param_groups[0]["lr"]
    for step in range(taken + 1, taken + steps + 1):
        gradients = torch.autograd.grad(loss_at(weights), list(weights.values()), create_graph=True)
        for name, gradient in zip(weights, gradients, strict=True):
            first[name] = torch.lerp(gradient, first[name], rule.beta1)
            second[name] = torch.lerp(gradient.square(), second[name], beta2)
            mean = first[name] / (1 - rule.beta1**step)
            # The root of nothing has no derivative.
            scale = (second[name] / (1 - beta2**step) + _TINY).sqrt() + rule.epsilon
            weights[name] = weights[name] - rate * mean / scale
    return weights
