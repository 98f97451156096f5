"""What a configuration costs, found by playing its match with tensors that hold nothing.

What trains is what is counted: parameters, gradients, moments, averages, what a pass leaves for
the way back, graphs of gradients, looks ahead, casts to another precision. Nothing is known here
of games, so that no game can forget to say what it costs.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batch, Deck, to_network
from ganmodels.games.gan import Gan
from ganmodels.games.match import Match
from ganmodels.games.unrolling import Unrolling
from ganmodels.imagined import Imagination
from ganmodels.spaces import ImageSpace, Space

_CPU = torch.device("cpu")
# The second part of a batch finds the gradients of the first; the third is like the second.
_PARTS = 2
# Fields of games, and from where on another turn costs what the one before did.
_TURNS, _MOST_TURNS = ("discriminator_steps", "generator_steps"), 2
# The second look ahead is the first that has one before it; all further ones cost the same.
_MOST_LOOKS = 3
_REMEMBERED = 64
# glibc gives blocks of 32 MiB or more pages of their own. Smaller ones share a heap, and what is
# freed there leaves holes: 100 bytes of tensors take 125 to 175, by ``python -m benchmarks.memory``
# (with MALLOC_MMAP_THRESHOLD_=131072, at half of the speed, 101 to 103).
_OWN_PAGES_BYTES = 32 << 20
_HEAP_SHARE = 1.42


class Estimate(NamedTuple):
    """Parameters of generators and of discriminators, memory of a training, a step's arithmetic."""

    generator_parameters: int
    discriminator_parameters: int
    memory_bytes: int
    step_flops: int


class _Played(NamedTuple):
    """What a match came to.

    ``parameters`` by player; ``peak_bytes`` of memory in steps, ``copied_bytes`` for a copy of the
    state, whose values are ``state_bytes``.
    """

    parameters: Mapping[str, int]
    state_bytes: int
    copied_bytes: int
    peak_bytes: int
    step_flops: int


def estimate(config: TrainConfig, autocast: torch.dtype | None = None) -> Estimate:
    """The cost of training on one device with forward passes in ``autocast``; None is float32.

    Memory is the peak of a step beside a copy of the state, from which a checkpoint is written.
    The resident dataset is not counted. Arithmetic is that of a step in which all penalties are
    due, or of the last step where that is more.
    """
    played = _play(config, autocast)
    judges = {name for name in played.parameters if name.endswith("discriminator")}
    judging = sum(played.parameters[name] for name in judges)
    return Estimate(
        generator_parameters=sum(played.parameters.values()) - judging,
        discriminator_parameters=judging,
        memory_bytes=played.peak_bytes + played.copied_bytes,
        step_flops=played.step_flops,
    )


def state_bytes(config: TrainConfig) -> int:
    """Size of all that a match needs to go on: of a checkpoint, without what it is described by."""
    return _play(config, None).state_bytes


@lru_cache(_REMEMBERED)
def _play(config: TrainConfig, autocast: torch.dtype | None) -> _Played:
    """A few looks ahead are played at most; each further one takes what the last of them does."""
    looks = _looks(config)
    if looks <= _MOST_LOOKS:
        return _play_turns(config, autocast)
    played, fewer = (
        _play_turns(_with_looks(config, count), autocast)
        for count in (_MOST_LOOKS, _MOST_LOOKS - 1)
    )
    further = looks - _MOST_LOOKS
    return played._replace(
        peak_bytes=played.peak_bytes + further * (played.peak_bytes - fewer.peak_bytes),
        step_flops=played.step_flops + further * (played.step_flops - fewer.step_flops),
    )


def _looks(config: TrainConfig) -> int:
    """How many updates of the discriminator a generator looks ahead."""
    unrolling = config.game.unrolling if isinstance(config.game, Gan) else None
    return unrolling.steps if unrolling else 0


def _with_looks(config: TrainConfig, looks: int) -> TrainConfig:
    return _with_game(config, {"unrolling": Unrolling(steps=looks)})


def _play_turns(config: TrainConfig, autocast: torch.dtype | None) -> _Played:
    """Two turns of each player are played at most; further ones are like the second."""
    turns = {name: getattr(config.game, name, 1) for name in _TURNS}
    many = {name: count for name, count in turns.items() if count > _MOST_TURNS}
    shortened = _with_game(config, dict.fromkeys(many, _MOST_TURNS))
    played = _imagine(shortened, autocast)
    flops = played.step_flops
    for name, count in many.items():
        fewer = _imagine(_with_game(shortened, {name: _MOST_TURNS - 1}), autocast)
        flops += (count - _MOST_TURNS) * (played.step_flops - fewer.step_flops)
    return played._replace(step_flops=flops)


def _with_game(config: TrainConfig, changes: Mapping[str, object]) -> TrainConfig:
    return config.model_copy(update={"game": config.game.model_copy(update=changes)})


def _imagine(config: TrainConfig, autocast: torch.dtype | None) -> _Played:
    optimisation = config.optimisation
    parts = min(_PARTS, optimisation.accumulate)
    # A whole number of items in each part, as many as it has in training.
    fewer = {"accumulate": parts, "batch_size": optimisation.batch_size // optimisation.accumulate}
    fewer["batch_size"] *= parts
    short = config.model_copy(update={"optimisation": optimisation.model_copy(update=fewer)})
    with Imagination(_resident) as imagination:
        match = Match(short, _CPU, autocast)
        for player in match.players.values():
            player.create_moments()
        deck, flops = _deck(short), 0
        # The batch itself is held whole, whatever it is computed in.
        rest = optimisation.batch_size - fewer["batch_size"]
        whole = [_items(config.space, rest) for _ in config.datasets]
        # The first step has all penalties, the last is beyond all warm-ups.
        for step in (0, match.total_steps - 1):
            match.step, before = step, imagination.flops
            match.play(deck)
            flops = max(flops, imagination.flops - before)
        del whole
        sizes = [tensor.nbytes for tensor in match.state().tensors.values()]
    parameters = {name: _count(player.network) for name, player in match.players.items()}
    flops = flops * optimisation.accumulate // parts
    copied = sum(map(_resident, sizes))
    return _Played(parameters, sum(sizes), copied, imagination.storages.peak_bytes, flops)


def _resident(size_bytes: int) -> int:
    """Memory that a tensor of so many bytes takes of a machine."""
    share = 1.0 if size_bytes >= _OWN_PAGES_BYTES else _HEAP_SHARE
    return round(share * size_bytes)


def _deck(config: TrainConfig) -> Deck:
    """Batches of nothing, as the dealer makes them."""
    space, count = config.space, config.optimisation.batch_size
    labelled = config.game.labels.classes(space) > 0

    def draw(number: int) -> Batch:
        labels = torch.zeros(count, dtype=torch.int64) if labelled else None
        return Batch(_items(space, count), labels)

    return Deck(draw, draw, draw)


def _items(space: Space, count: int) -> Tensor:
    if isinstance(space, ImageSpace):
        shape = (space.height, space.width, space.channels)
        return to_network(torch.zeros(count, *shape, dtype=torch.uint8), space, _CPU)
    return to_network(torch.zeros(count, *space.shape), space, _CPU)


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
