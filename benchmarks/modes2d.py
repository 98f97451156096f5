"""Modes of two known densities: how many a generator finds, how sharply, how evenly, how widely.

    python -m benchmarks.modes2d                  the ring of 8 and the grid of 25, ten seeds each
    python -m benchmarks.modes2d ring --json benchmarks/results/modes2d-ring.json

Each seed trains the shipped recipe on the built-in dataset, for the recipe's own steps where
neither --steps nor --minutes is given; 2,500 samples of the averaged generator are compared with
the density that the dataset was drawn from. Spread is the samples' deviation around their mode's
mean over the true one: modes shrunken to points have full quality and no spread.
"""

import math
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from rich.console import Console

from benchmarks.lab.options import Budget, Options, read_options
from benchmarks.lab.playing import Task, play
from benchmarks.lab.report import Column, Report, Row, finish
from benchmarks.modes_lab.baselines import SAMPLES, beside
from benchmarks.modes_lab.densities import DENSITIES
from benchmarks.modes_lab.measure import BARS, Figures, measure
from benchmarks.referee_lab.datasets import dataset
from ganmodels.recipes import RECIPES

RECIPE_OF: Mapping[str, str] = MappingProxyType({"ring": "points", "grid": "points"})
# Latents of the evaluation are named by a seed of their own; training draws from other streams.
SAMPLE_SEED = 20_171_213
_PROTOCOL = (
    f"{SAMPLES:,} samples of the averaged generator; of high quality within 3 sigma of a mode; KL "
    "of their histogram over modes from the even one, nats; spread: their deviation around their "
    f"mode's mean over sigma; trained on the built-in 100,000 points less those held out; sample "
    f"seed {SAMPLE_SEED}; seconds are wall time, CPU seconds those of this process"
)
_COLUMNS = (
    Column("modes", "modes", ".4g"),
    Column("quality", "within 3 sigma", ".2%"),
    Column("divergence", "KL", ".4f"),
    Column("spread", "spread", ".2f"),
    Column("met", "meets all", ".2g"),
    Column("cpu_seconds", "CPU seconds", ".0f"),
)


def main() -> None:
    """Train, measure, print the table, keep the record."""
    options = read_options(__doc__ or "", tuple(DENSITIES), minutes=math.inf, seeds=10)
    torch.set_num_threads(options.threads)
    console, rows = Console(width=170), list[Row]()
    for name in options.variants:
        if not options.baselines_only:
            runs = [_run(name, seed, options, console) for seed in options.seeds]
            rows += [*runs, _worst(name, runs)]
        rows += [*beside(name), _wanted(name)]
    finish(Report("modes2d", _PROTOCOL, _COLUMNS, rows), options, console)


def _run(name: str, seed: int, options: Options, console: Console) -> Row:
    recipe, data = RECIPE_OF[name], dataset(name)
    assert data is not None, "the densities are built in"
    began = time.process_time()
    played = play(Task(recipe, {}, data), seed, _budget(recipe, options.budget))
    seconds = time.process_time() - began
    sampler = played.sampler()
    latents = sampler.latents(SAMPLE_SEED, 0, SAMPLES)
    points = sampler.draw(latents, sampler.labels(SAMPLE_SEED, 0, SAMPLES)).astype(np.float64)
    found = measure(points, DENSITIES[name])
    met = float(BARS[name].met(found))
    figures = {**found._asdict(), "met": met, "cpu_seconds": seconds}
    row = Row("run", f"{name}: {recipe}", figures, seed, played.facts())
    console.print(row, highlight=False, soft_wrap=True)
    return row


def _budget(recipe: str, asked: Budget) -> Budget:
    """The recipe's own steps where nothing was asked for."""
    shipped = RECIPES[recipe].schedule.steps
    return asked if asked.steps or asked.minutes < math.inf else asked._replace(steps=shipped)


def _worst(name: str, runs: Sequence[Row]) -> Row:
    """The worst of each figure over the seeds, and how many seeds meet all bars."""
    worst = {"modes": min, "quality": min, "divergence": max, "spread": min, "cpu_seconds": max}
    figures = {key: of(float(run.figures[key]) for run in runs) for key, of in worst.items()}
    met = sum(float(run.figures["met"]) for run in runs)
    all_of = {**figures, "met": f"{met:.0f} of {len(runs)}"}
    return Row("run", f"{name}: the worst of all seeds", all_of)


def _wanted(name: str) -> Row:
    bars = BARS[name]
    figures = Figures(bars.modes, bars.quality, bars.divergence, bars.spread)
    return Row("wanted", f"{name}: of every seed", figures._asdict())


if __name__ == "__main__":
    main()
