"""What a configuration costs, counted without computing anything: shapes on the meta device."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganmodels.config import TrainConfig

BYTES_PER_VALUE = 4
# Of each network: weights, gradients, two moments of Adam, and the average.
COPIES = 5
# A second-order penalty keeps the graph of the gradient beside the graph of the logits.
SECOND_ORDER_FACTOR = 3


class Estimate(NamedTuple):
    """Parameters of both networks, memory of a training, arithmetic of one step."""

    generator_parameters: int
    discriminator_parameters: int
    memory_bytes: int
    step_flops: int


def estimate(config: TrainConfig) -> Estimate:
    """The cost of training on one device, resident dataset not counted.

    Activations are counted exactly by running both networks on the meta device; what the
    allocator and the libraries add is not.
    """
    game, batch = config.game, config.optimisation.batch_size
    with torch.device("meta"):
        networks = game.networks(config)
        generator, discriminator = networks["generator"], networks["discriminator"]
        latents = torch.empty(batch, game.latent.width)
        labels = torch.zeros(batch, dtype=torch.int64)
        items = torch.empty(batch, *config.space.shape)
        forward_g, kept_g = _forward(generator, latents, labels)
        forward_d, kept_d = _forward(discriminator, items, labels)
    g_parameters, d_parameters = _count(generator), _count(discriminator)
    second_order = SECOND_ORDER_FACTOR if game.penalties else 1
    memory = BYTES_PER_VALUE * (
        COPIES * (g_parameters + d_parameters) + max(2 * second_order * kept_d, kept_g + kept_d)
    )
    return Estimate(g_parameters, d_parameters, memory, _step_flops(config, forward_g, forward_d))


def _step_flops(config: TrainConfig, forward_g: int, forward_d: int) -> int:
    """One turn of D: reals and fakes, forward and backward. One turn of G: through a frozen D."""
    game = config.game
    turn = forward_g + 2 * 3 * forward_d
    for penalty in game.penalties:
        turn += 3 * forward_d // penalty.every
    return game.discriminator_steps * turn + 3 * forward_g + (2 + game.objective.paired) * forward_d


def _forward(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[int, int]:
    """Floating-point operations of a forward pass, and how many values it leaves in memory."""
    kept = 0

    def count(module: nn.Module, arguments: object, output: torch.Tensor) -> None:
        nonlocal kept
        kept += output.numel()

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    with FlopCounterMode(display=False) as counter:
        network(inputs, labels)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops(), kept


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
