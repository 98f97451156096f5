"""What watching costs: the same training with and without a referee, block by block in turn."""

import time
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.referee_lab.datasets import dataset
from benchmarks.referee_lab.planted import Planted
from benchmarks.referee_lab.play import READ_EVERY, Setting, setting_of

COST_WANTED = 0.03
_BLOCKS = 9
_PRICED = (
    Planted("digits", "digits", "cgan", 10_000, None, {}),
    Planted("digits", "digits", "dcgan", 10_000, None, {}),
    Planted("MNIST", "mnist", "cgan", 10_000, None, {}),
    Planted("MNIST", "mnist", "dcgan", 10_000, None, {}),
    Planted("ring", "ring", "points", 10_000, None, {}),
)


class Block(NamedTuple):
    """Seconds of the steps between two readings, and of one look at the match."""

    steps: float
    look: float


def cost(console: Console) -> bool:
    """Print the share of the training time that watching takes; whether it is as low as wanted."""
    torch.set_num_threads(1)
    table = Table("data", "recipe", "step ms", "look ms", "look / 50 steps", "wanted")
    holds = True
    for priced in _PRICED:
        data = dataset(priced.dataset)
        if data is None:
            continue
        blocks = _blocks(setting_of(priced, data, seed=1))
        share = median(block.look / block.steps for block in blocks)
        holds = holds and share <= COST_WANTED
        table.add_row(
            priced.name,
            priced.recipe,
            f"{1e3 * median(block.steps for block in blocks) / READ_EVERY:.2f}",
            f"{1e3 * median(block.look for block in blocks):.2f}",
            f"{100 * share:.2f} %",
            "<= 3 %",
        )
    console.print(table)
    return holds


def _blocks(setting: Setting) -> list[Block]:
    """Medians of neighbouring blocks, so that what else the machine does hits both."""
    blocks = []
    for _ in range(_BLOCKS):
        began = time.perf_counter()
        for _ in range(READ_EVERY):
            setting.match.play(setting.deck)
        means = setting.match.read_metrics().means
        played = time.perf_counter()
        setting.referee.read(setting.match, means)
        blocks.append(Block(played - began, time.perf_counter() - played))
    return blocks[1:]
