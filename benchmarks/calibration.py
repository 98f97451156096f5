"""Whether a probability of ``POST /score`` is one: of items with 0.7, are seven in ten real?

    python -m benchmarks.calibration                    all recipes
    python -m benchmarks.calibration dcgan --steps 500 --json FILE

A match on MNIST is calibrated as checkpoints are: on at most 1,000 training images that it did not
train on, and as many samples. Judged are the first 5,000 test images and 5,000 other samples. The
expected calibration error is the mean distance of probability and share of reals over ten bins of
equally many items; the Brier score is the mean squared error. "Own" is what the sigmoid of the
logit would say: the discriminator's own belief where its loss is a cross entropy, and no
probability at all where it is none. "Best" is the least Brier score of any rising function of the
logit, which is fitted to the judged items themselves.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from sklearn.isotonic import IsotonicRegression

from benchmarks.lab.mnist import mnist
from benchmarks.lab.options import read_options
from benchmarks.lab.playing import Played, Task, play
from benchmarks.lab.report import Column, Figures, Report, baselines, finish, run_row
from benchmarks.referee_lab.datasets import dataset
from ganmodels.data.packed import PackedDataset
from ganmodels.data.spread import evenly
from ganmodels.labels import labels_of
from ganmodels.scoring import ANY_LABEL, CALIBRATION_ITEMS, Probe, Scorer, calibrate

RECIPES = ("dcgan", "lsgan", "wgan-gp", "acgan")
JUDGED, BINS = 5_000, 10
_SEED = 1
_PROTOCOL = f"{JUDGED:,} MNIST test images and {JUDGED:,} samples of seed {_SEED}, {BINS} bins"
_COLUMNS = (
    Column("error", "calibration error"),
    Column("brier", "Brier"),
    Column("own_error", "own error"),
    Column("own_brier", "own Brier"),
    Column("best_brier", "best Brier"),
)

Values = NDArray[np.float64]


def main() -> None:
    """Print the table; each recipe that is asked for is trained on every seed."""
    options = read_options(__doc__ or "", RECIPES, minutes=2)
    torch.set_num_threads(options.threads)
    console, data = Console(width=160), dataset("mnist")
    assert data is not None
    rows = []
    for recipe in () if options.baselines_only else options.variants:
        for seed in options.seeds:
            played = play(Task(recipe, {}, data), seed, options.budget)
            rows.append(run_row(recipe, seed, played, _figures(played, data)))
            console.print(rows[-1], highlight=False)
    rows += baselines(_baselines())
    finish(Report("calibration", _PROTOCOL, _COLUMNS, rows), options, console)


def _figures(played: Played, data: PackedDataset) -> Figures:
    scorer, sampler = _scorer(played, data), played.sampler()
    fakes = sampler.draw(sampler.inputs(_SEED, 0, JUDGED), sampler.labels(_SEED, 0, JUDGED))
    items = np.concatenate([mnist().test_images[:JUDGED, :, :, None], fakes])
    scores = scorer.score(items, np.full(len(items), ANY_LABEL))
    real = np.repeat([1.0, 0.0], JUDGED)
    logits = scores.logits.astype(np.float64)
    own = 1 / (1 + np.exp(-logits))
    best = IsotonicRegression().fit_transform(logits, real)
    told = scores.probabilities.astype(np.float64)
    return {
        "error": calibration_error(told, real),
        "brier": brier(told, real),
        "own_error": calibration_error(own, real),
        "own_brier": brier(own, real),
        "best_brier": brier(best, real),
    }


def _scorer(played: Played, data: PackedDataset) -> Scorer:
    """The averaged discriminator, calibrated as for a checkpoint."""
    match, sampler = played.match, played.sampler()
    chosen = evenly(data.held_out, CALIBRATION_ITEMS)
    probe = Probe.of(sampler, data.items[chosen], labels_of(data, chosen, played.clusters))
    calibration = calibrate(sampler, match.average_discriminator, probe)
    return Scorer(
        match.game, match.space, match.average_discriminator, calibration, played.clusters
    )


def calibration_error(probability: Values, real: Values) -> float:
    """Mean distance of probability and share of reals, over bins of equally many items."""
    # Equal ones come in any order, not the reals first.
    shuffled = np.random.default_rng(0).permutation(len(probability))
    order = shuffled[np.argsort(probability[shuffled], kind="stable")]
    bins = np.array_split(order, BINS)
    gaps = [abs(probability[one].mean() - real[one].mean()) * len(one) for one in bins]
    return float(sum(gaps) / len(probability))


def brier(probability: Values, real: Values) -> float:
    """Mean squared error."""
    return float(np.square(probability - real).mean())


def _baselines() -> Iterator[tuple[str, Figures]]:
    half, real = np.full(2 * JUDGED, 0.5), np.repeat([1.0, 0.0], JUDGED)
    yield "one half, always", {"error": calibration_error(half, real), "brier": brier(half, real)}


if __name__ == "__main__":
    main()
