"""Frechet distance on MNIST in the features of a frozen CNN: recipes side by side at equal time.

    python -m benchmarks.mnist_frechet                        all recipes
    python -m benchmarks.mnist_frechet dcgan r3gan-small --minutes 10

10,000 samples against the 10,000 test images in the 128 features before the last layer of a CNN
that saw real training images alone; float64. Distances of other numbers of samples or in other
features are not comparable. Each recipe trains for the same wall time on the same machine.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.lab.digits import drawn, legibility
from benchmarks.lab.mnist import mnist
from benchmarks.lab.mnist_judge import MnistJudge, mnist_judge
from benchmarks.lab.options import Options, read_options
from benchmarks.lab.playing import Task, play
from benchmarks.lab.report import Column, Figures, Report, Row, baselines, finish, run_row
from benchmarks.referee_lab.datasets import dataset
from ganmodels.referee.measures.frechet import frechet
from ganmodels.referee.measures.manifold import manifold

RECIPES = ("dcgan", "wgan-gp", "r3gan-small")
SAMPLES, COMPARED = 10_000, 5_000
_PROTOCOL = (
    "10,000 samples against 10,000 test images, 128 features of a frozen CNN, float64; density "
    "and coverage on 5,000 each; every recipe for the same wall time; sample seed 0"
)
_COLUMNS = (
    Column("frechet", "Frechet distance", ".2f"),
    Column("standard_error", "+-", ".2f"),
    Column("density", "density"),
    Column("coverage", "coverage"),
    Column("digits", "digits covered", ".0f"),
    Column("rarest", "rarest digit", ".1%"),
    Column("confident", "judge > 0.9", ".1%"),
)


def main() -> None:
    """Print the table; each recipe that is asked for is trained on every seed."""
    options = read_options(__doc__ or "", RECIPES, minutes=5)
    torch.set_num_threads(options.threads)
    console, judge = Console(width=180), mnist_judge()
    rows = [] if options.baselines_only else list(_runs(options, judge, console))
    rows += baselines(_baselines(judge))
    protocol = f"{_PROTOCOL}; judge {judge.test_accuracy:.2%} on test images"
    finish(Report("mnist_frechet", protocol, _COLUMNS, rows), options, console)


def _runs(options: Options, judge: MnistJudge, console: Console) -> Iterator[Row]:
    data = dataset("mnist")
    assert data is not None
    for recipe in options.variants:
        for seed in options.seeds:
            played = play(Task(recipe, {}, data), seed, options.budget)
            row = run_row(recipe, seed, played, figures(drawn(played, SAMPLES), judge))
            console.print(row, highlight=False)
            yield row


def figures(images: NDArray[np.generic], judge: MnistJudge) -> Figures:
    """Of grey images [n, 28, 28] in 0..255."""
    fakes, reals = judge.features(images), judge.features(mnist().test_images)
    distance = frechet(fakes, reals)
    covered = manifold(fakes[:COMPARED], reals[:COMPARED])
    return {
        "frechet": distance.value,
        "standard_error": distance.standard_error or 0.0,
        "density": covered.density.value,
        "coverage": covered.coverage.value,
        **legibility(images, judge),
    }


def _baselines(judge: MnistJudge) -> Iterator[tuple[str, Figures]]:
    data, random = mnist(), np.random.default_rng(0)
    order = random.permutation(len(data.train_images))
    images, labels = data.train_images[order], data.train_labels[order]
    yield "real training images (the floor)", figures(images[:SAMPLES], judge)
    yield "1,000 of them, ten times each", figures(np.repeat(images[:1000], 10, 0), judge)
    yield "real images without the digit 4", figures(images[labels != 4][:SAMPLES], judge)
    means = np.stack([images[labels == digit].mean(0) for digit in range(10)])
    yield "ten class means", figures(np.repeat(means, SAMPLES // 10, 0), judge)
    noise = random.integers(0, 256, (SAMPLES, 28, 28), dtype=np.uint8)
    yield "uniform noise", figures(noise, judge)


if __name__ == "__main__":
    main()
