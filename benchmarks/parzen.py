"""Parzen-window log-likelihood on MNIST, with what the figure alone does not show beside it.

    python -m benchmarks.parzen                         the shipped fully connected recipe
    python -m benchmarks.parzen vanilla dcgan --seeds 3

10,000 samples in [0, 1] are the centres of a Parzen window whose width is chosen on training
images 50,000 to 50,999, which no network saw; the figure is the mean log-likelihood of the 10,000
test images in nats, with its standard error. It is easily fooled: k-means centres beat real data.
So the digits that the samples cover and how well a nearest neighbour tells them from test images
(half: not at all) stand beside it.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.lab.digits import drawn, legibility
from benchmarks.lab.mnist import mnist
from benchmarks.lab.mnist_judge import MnistJudge, mnist_judge
from benchmarks.lab.options import read_options
from benchmarks.lab.parzen_window import Parzen, parzen
from benchmarks.lab.playing import Task, play
from benchmarks.lab.report import (
    Column,
    Figures,
    Report,
    Row,
    baselines,
    finish,
    published,
    run_row,
)
from benchmarks.referee_lab.datasets import dataset
from ganmodels.data.packed import PackedDataset
from ganmodels.labels import ClusterLabels
from ganmodels.referee.measures.neighbours import neighbour_accuracies

RECIPES = ("vanilla", "vanilla-2014")
SAMPLES, TRAINED, VALIDATED, COMPARED = 10_000, 50_000, 1_000, 2_000
_CENTRES = 1_000
_PROTOCOL = (
    "10,000 samples in [0, 1], width from logspace(-1, 0, 10) by train[50000:51000], 10,000 test "
    "images; trained on train[:50000] less 2,000 held out; digits by a frozen CNN; nearest "
    "neighbour between 2,000 samples and 2,000 test images, pixels; sample seed 0"
)
_COLUMNS = (
    Column("nats", "log-likelihood, nats", ".1f"),
    Column("standard_error", "+-", ".1f"),
    Column("sigma", "sigma"),
    Column("digits", "digits covered", ".0f"),
    Column("rarest", "rarest digit", ".1%"),
    Column("confident", "judge > 0.9", ".1%"),
    Column("neighbour", "nearest neighbour", ".3f"),
    Column("neighbour_real", "of reals"),
    Column("neighbour_fake", "of samples"),
)
_WANTED = Row("wanted", "wanted", {"nats": ">= 225", "digits": "10"})


def main() -> None:
    """Print the table; each recipe that is asked for is trained on every seed."""
    options = read_options(__doc__ or "", RECIPES, minutes=10)
    torch.set_num_threads(options.threads)
    console, judge = Console(width=200), mnist_judge()
    rows = [*baselines(_baselines(judge)), *_published(), _WANTED]
    for recipe in () if options.baselines_only else options.variants:
        for seed in options.seeds:
            played = play(Task(recipe, {}, _dataset()), seed, options.budget)
            row = run_row(recipe, seed, played, figures(drawn(played, SAMPLES), judge))
            console.print(row, highlight=False)
            rows.insert(0, row)
    protocol = f"{_PROTOCOL}; judge {judge.test_accuracy:.2%} on test images"
    finish(Report("parzen", protocol, _COLUMNS, rows), options, console)


def figures(images: NDArray[np.generic], judge: MnistJudge) -> Figures:
    """Of grey images [n, 28, 28] in 0..255."""
    data = mnist()
    found: Parzen = parzen(
        _flat(images),
        _flat(data.train_images[TRAINED : TRAINED + VALIDATED]),
        _flat(data.test_images),
    )
    near = neighbour_accuracies(_flat(images)[:COMPARED], _flat(data.test_images)[:COMPARED])
    return {
        "nats": found.estimate.value,
        "standard_error": found.estimate.standard_error or 0.0,
        "sigma": found.sigma,
        "neighbour": near.all.value,
        "neighbour_real": near.real.value,
        "neighbour_fake": near.fake.value,
        **legibility(images, judge),
    }


def _baselines(judge: MnistJudge) -> Iterator[tuple[str, Figures]]:
    """Ways to sample without a network, of training images that the protocol allows."""
    data, random = mnist(), np.random.default_rng(0)
    images, labels = data.train_images[:TRAINED], data.train_labels[:TRAINED]
    order = random.permutation(TRAINED)
    yield "real training images (the honest ceiling)", figures(images[order[:SAMPLES]], judge)
    kept = order[labels[order] != 4][:SAMPLES]
    yield "real training images without the digit 4", figures(images[kept], judge)
    clusters = ClusterLabels(count=_CENTRES).fit(images, 0)
    centres = clusters.centres.numpy().clip(0, 255).reshape(-1, 28, 28)
    repeated = np.repeat(centres, SAMPLES // _CENTRES, 0)
    yield f"{_CENTRES:,} k-means centres, ten times each", figures(repeated, judge)
    means = np.stack([images[labels == digit].mean(0) for digit in range(10)])
    yield "ten class means", figures(np.repeat(means, SAMPLES // 10, 0), judge)
    noise = random.integers(0, 256, (SAMPLES, 28, 28), dtype=np.uint8)
    yield "uniform noise", figures(noise, judge)


def _published() -> list[Row]:
    return [
        published(
            "Goodfellow et al. 2014, adversarial nets", {"nats": 225.0, "standard_error": 2.0}
        ),
        published("the same table: deep GSN", {"nats": 214.0, "standard_error": 1.1}),
        published("the same table: DBN", {"nats": 138.0, "standard_error": 2.0}),
        published("Mirza & Osindero 2014, conditional", {"nats": 132.0, "standard_error": 1.8}),
    ]


def _dataset() -> PackedDataset:
    data = dataset(f"mnist:{TRAINED}")
    assert data is not None
    return data


def _flat(images: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(images, np.float64).reshape(len(images), -1) / 255


if __name__ == "__main__":
    main()
