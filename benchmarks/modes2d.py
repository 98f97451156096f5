"""Modes of two known densities: how many a generator finds, how sharply, how evenly, how widely.

    python -m benchmarks.modes2d                  the ring of 8 and the grid of 25, ten seeds each
    python -m benchmarks.modes2d ring --seeds 3 --json benchmarks/results/modes2d-ring.json

Each seed trains the shipped recipe on the built-in dataset; 2,500 samples of the averaged
generator are compared with the density that the dataset was drawn from. Beside them stand samples
of a uniform box, training points drawn again, a perfect sampler, and the published figures.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from benchmarks.modes_lab.baselines import baselines, published
from benchmarks.modes_lab.densities import DENSITIES
from benchmarks.modes_lab.measure import BARS, measure
from benchmarks.modes_lab.play import SAMPLES, play
from benchmarks.modes_lab.report import Report, Run, record, show

RECIPE_OF = {"ring": "points", "grid": "points"}


class Options(NamedTuple):
    """What was asked for."""

    densities: tuple[str, ...]
    seeds: range
    minutes: float | None
    json: Path | None


def main() -> None:
    """Train, measure, print, keep the record."""
    options = _options()
    torch.set_num_threads(1)
    console = Console(width=150)
    reports = [_report(name, options, console) for name in options.densities]
    if options.json:
        record(reports, ["python", "-m", "benchmarks.modes2d", *sys.argv[1:]], options.json)
    sys.exit(0 if all(report.reached for report in reports) else 1)


def _report(name: str, options: Options, console: Console) -> Report:
    """Every seed of one density; a line is printed as each one ends."""
    recipe, density, bars = RECIPE_OF[name], DENSITIES[name], BARS[name]
    protocol = (
        f"recipe {recipe}, dataset {name} (its training points, one scalar makes their deviation "
        f"1), {SAMPLES:,} samples of the averaged generator, one thread"
    )
    runs = []
    for seed in options.seeds:
        played = play(recipe, name, seed, options.minutes)
        figures = measure(played.points, density)
        facts = (played.steps, played.cpu_seconds, played.wall_seconds)
        runs.append(Run(seed, figures, bars.met(figures), *facts))
        console.print(f"{name}, seed {seed}: {runs[-1]}", highlight=False, soft_wrap=True)
    report = Report(name, protocol, bars, runs, [*baselines(name), published(name)])
    show(report, console)
    return report


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("density", nargs="?", choices=sorted(DENSITIES), help="one of them; both")
    parser.add_argument("--seeds", type=int, default=10, help="how many (10)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--minutes", type=float, help="at most so many a seed: fewer steps")
    parser.add_argument("--json", type=Path, help="where to keep the record")
    given = parser.parse_args()
    densities = (given.density,) if given.density else tuple(DENSITIES)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    return Options(densities, seeds, given.minutes, given.json)


if __name__ == "__main__":
    main()
