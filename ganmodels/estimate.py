"""What a configuration costs, counted without computing anything: shapes on the meta device."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganmodels.config import TrainConfig
from ganmodels.shapes import shapes_only

BYTES_PER_VALUE = 4
# Of each network: weights, gradients, two moments of Adam, and the average.
COPIES = 5


class Estimate(NamedTuple):
    """Parameters of generators and of discriminators, memory of a training, a step's arithmetic."""

    generator_parameters: int
    discriminator_parameters: int
    memory_bytes: int
    step_flops: int


def estimate(config: TrainConfig) -> Estimate:
    """The cost of training on one device, resident dataset not counted.

    Activations are counted exactly by running networks on the meta device; what the
    allocator and the libraries add is not.
    """
    game = config.game
    with shapes_only():
        networks = game.networks(config)
        forward_g, kept_g = _forward(networks["generator"], *_inputs(config))
        forward_d, kept_d = _forward(networks["discriminator"], *_items(config))
    judges = {name for name in networks if name.endswith("discriminator")}
    g_parameters = sum(_count(networks[name]) for name in networks.keys() - judges)
    d_parameters = sum(_count(networks[name]) for name in judges)
    at_once = config.optimisation.batch_size // config.optimisation.accumulate
    values = COPIES * (g_parameters + d_parameters) + game.peak_values(kept_g, kept_d)
    values += game.more_values((g_parameters, d_parameters), at_once)
    # Twice what is remembered: a checkpoint is written from a copy.
    memory = BYTES_PER_VALUE * values + 2 * game.remembered_bytes(config.space)
    flops = config.optimisation.accumulate * game.operations(forward_g, forward_d)
    return Estimate(g_parameters, d_parameters, memory, flops)


def _inputs(config: TrainConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """As much of what the generator is given as is computed at once."""
    latent, (items, labels) = config.game.latent, _items(config)
    return (items if latent is None else torch.empty(len(items), latent.width)), labels


def _items(config: TrainConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """As many items and labels as are computed at once."""
    count = config.optimisation.batch_size // config.optimisation.accumulate
    return torch.empty(count, *config.space.shape), torch.zeros(count, dtype=torch.int64)


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
