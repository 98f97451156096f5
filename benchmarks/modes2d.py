"""Modes of two known densities: how many a generator finds, how sharply, how evenly, how widely.

    python -m benchmarks.modes2d                  the ring of 8 and the grid of 25, ten seeds each
    python -m benchmarks.modes2d ring --json benchmarks/results/modes2d-ring.json
    python -m benchmarks.modes2d ring-blind grid-blind --seeds 3

Each seed trains a recipe on the built-in dataset, for the variant's own steps where neither --steps
nor --minutes is given; 2,500 samples of the averaged generator are compared with the density that
the dataset was drawn from. Spread is the samples' deviation around their mode's mean over the true
one: modes shrunken to points have full quality and no spread. The shipped recipe tells both
networks the k-means cluster of each point, found in the training points, and a baseline shows what
those clusters alone reach; the blind variants do without.
"""

import math
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

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

RECIPE = "points"
USUAL = tuple(DENSITIES)
# Latents of the evaluation are named by a seed of their own; training draws from other streams.
SAMPLE_SEED = 20_171_213
_PROTOCOL = (
    f"{SAMPLES:,} samples of the averaged generator; of high quality within 3 sigma of a mode; KL "
    "of their histogram over modes from the even one, nats; spread: their deviation around their "
    f"mode's mean over sigma; trained on the built-in 100,000 points less those held out; sample "
    f"seed {SAMPLE_SEED}; seconds are wall time, CPU seconds those of this process"
)
_BLIND = {
    "conditioning": {"kind": "none"},
    "labels": {"kind": "given"},
    "latent": {"gaussian": 6, "signs": 4},
}
_COLUMNS = (
    Column("modes", "modes", ".4g"),
    Column("quality", "within 3 sigma", ".2%"),
    Column("divergence", "KL", ".4f"),
    Column("spread", "spread", ".2f"),
    Column("met", "meets all", ".2g"),
    Column("cpu_seconds", "CPU seconds", ".0f"),
)


class Variant(NamedTuple):
    """A density, and what is changed of the recipe that learns it."""

    density: str
    changes: dict[str, Any]
    steps: int


_SHIPPED = RECIPES[RECIPE].schedule.steps
VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "ring": Variant("ring", {}, _SHIPPED),
        "grid": Variant("grid", {}, _SHIPPED),
        "ring-blind": Variant("ring", {"game": _BLIND}, 10_000),
        "grid-blind": Variant("grid", {"game": _BLIND}, 10_000),
    }
)


def main() -> None:
    """Train, measure, print the table, keep the record."""
    options = read_options(__doc__ or "", tuple(VARIANTS), math.inf, seeds=10, usual=USUAL)
    torch.set_num_threads(options.threads)
    console, rows = Console(width=170), list[Row]()
    for name in options.variants:
        if not options.baselines_only:
            runs = [_run(name, seed, options, console) for seed in options.seeds]
            rows += [*runs, _worst(name, runs)]
    for density in dict.fromkeys(VARIANTS[name].density for name in options.variants):
        rows += [*beside(density), _wanted(density)]
    finish(Report("modes2d", _PROTOCOL, _COLUMNS, rows), options, console)


def _run(name: str, seed: int, options: Options, console: Console) -> Row:
    variant = VARIANTS[name]
    data = dataset(variant.density)
    assert data is not None, "the densities are built in"
    began = time.process_time()
    task = Task(RECIPE, variant.changes, data)
    played = play(task, seed, _budget(variant, options.budget))
    seconds = time.process_time() - began
    sampler = played.sampler()
    latents = sampler.latents(SAMPLE_SEED, 0, SAMPLES)
    points = sampler.draw(latents, sampler.labels(SAMPLE_SEED, 0, SAMPLES)).astype(np.float64)
    found = measure(points, DENSITIES[variant.density])
    met = float(BARS[variant.density].met(found))
    figures = {**found._asdict(), "met": met, "cpu_seconds": seconds}
    row = Row("run", f"{name}: {RECIPE}", figures, seed, played.facts())
    console.print(row, highlight=False, soft_wrap=True)
    return row


def _budget(variant: Variant, asked: Budget) -> Budget:
    """The variant's own steps where nothing was asked for."""
    given = asked.steps or asked.minutes < math.inf
    return asked if given else asked._replace(steps=variant.steps)


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
