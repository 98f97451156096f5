"""Whether samples show the digit that was asked for, and how different those of one digit are.

    python -m benchmarks.conditional                what suits a CPU
    python -m benchmarks.conditional cgan --seeds 3 --minutes 5

A thousand samples of each digit, judged by a frozen CNN that saw real training images alone. A
generator that knows one picture of each digit is always right, so the mean distance between two
samples of a digit stands beside it, as a share of that between two real ones.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.lab.digits import drawn, spreads
from benchmarks.lab.mnist import mnist
from benchmarks.lab.mnist_judge import MnistJudge, mnist_judge
from benchmarks.lab.options import Options, read_options
from benchmarks.lab.playing import Task, play
from benchmarks.lab.report import Column, Figures, Report, Row, baselines, finish, run_row
from benchmarks.referee_lab.datasets import dataset
from ganmodels.referee.measures.frechet import frechet


class Variant(NamedTuple):
    """A recipe, and what is changed of it."""

    recipe: str
    changes: dict[str, Any]


_PROJECTION = {"conditioning": {"kind": "projection"}}
VARIANTS = {
    "cgan": Variant("cgan", {}),
    "acgan": Variant("acgan", {}),
    "cdcgan": Variant("cdcgan", {}),
    # The discriminator of cgan-pd on the networks of cgan: its own are too slow for a CPU.
    "projection": Variant("cgan", {"game": _PROJECTION}),
    "cgan-pd": Variant("cgan-pd", {}),
}
_FOR_CPUS = ("cgan", "acgan", "cdcgan", "projection")
SAMPLES = 10_000
ASKED = np.arange(SAMPLES) % 10
_PROTOCOL = (
    "1,000 samples of each digit, labels by a frozen CNN; within-class distance over all pairs of "
    "200 items of a class in pixels, as a share of that of test images; Frechet distance of "
    "10,000 samples to 10,000 test images in the CNN's features; sample seed 0"
)
_COLUMNS = (
    Column("accuracy", "label accuracy", ".2%"),
    Column("worst", "of the worst digit", ".1%"),
    Column("spread", "within-class distance / real"),
    Column("least_spread", "of the narrowest digit"),
    Column("frechet", "Frechet distance", ".2f"),
)
_WANTED = Row("wanted", "wanted", {"accuracy": ">= 98.5%", "spread": ">= 0.9"})


def main() -> None:
    """Print the table; each recipe that is asked for is trained on every seed."""
    options = read_options(__doc__ or "", tuple(VARIANTS), minutes=5, usual=_FOR_CPUS)
    torch.set_num_threads(options.threads)
    console, judge = Console(width=180), mnist_judge()
    rows = [] if options.baselines_only else list(_runs(options, judge, console))
    rows += [*baselines(_baselines(judge)), _WANTED]
    protocol = f"{_PROTOCOL}; judge {judge.test_accuracy:.2%} on test images"
    finish(Report("conditional", protocol, _COLUMNS, rows), options, console)


def _runs(options: Options, judge: MnistJudge, console: Console) -> Iterator[Row]:
    data = dataset("mnist")
    assert data is not None
    for name in options.variants:
        variant = VARIANTS[name]
        for seed in options.seeds:
            task = Task(variant.recipe, variant.changes, data)
            played = play(task, seed, options.budget)
            row = run_row(name, seed, played, figures(drawn(played, SAMPLES, ASKED), ASKED, judge))
            console.print(row, highlight=False)
            yield row


def figures(images: NDArray[np.generic], asked: NDArray[np.int64], judge: MnistJudge) -> Figures:
    """Of grey images [n, 28, 28] in 0..255 and the digit that each is to show."""
    data = mnist()
    right = judge.judge(images).labels == asked
    ratios = spreads(images, asked) / spreads(data.test_images, data.test_labels)
    reals = judge.features(data.test_images)
    return {
        "accuracy": float(right.mean()),
        "worst": float(min(right[asked == digit].mean() for digit in range(10))),
        "spread": float(ratios.mean()),
        "least_spread": float(ratios.min()),
        "frechet": frechet(judge.features(images), reals, with_error=False).value,
    }


def _baselines(judge: MnistJudge) -> Iterator[tuple[str, Figures]]:
    data = mnist()
    order = np.random.default_rng(0).permutation(len(data.train_images))[:SAMPLES]
    images, labels = data.train_images[order], data.train_labels[order]
    yield "real training images (the ceiling)", figures(images, labels, judge)
    yield "real images, labels drawn at random", figures(images, np.roll(labels, 1), judge)
    means = np.stack([images[labels == digit].mean(0) for digit in range(10)])
    yield "ten class means", figures(means[ASKED], ASKED, judge)


if __name__ == "__main__":
    main()
