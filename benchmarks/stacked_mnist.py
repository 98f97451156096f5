"""Stacked MNIST: how many of a thousand modes a generator finds, and how evenly.

    python -m benchmarks.stacked_mnist                 all variants
    python -m benchmarks.stacked_mnist quarter half    discriminators of 1/4 and 1/2 of G's size
    python -m benchmarks.stacked_mnist dcgan           networks of common size, for a CPU
    python -m benchmarks.stacked_mnist full --minutes 30    R3GAN's, for a GPU

Three random digits of MNIST's training split are the channels of one image, drawn on the fly; no
test digit is used. A frozen CNN that saw real training digits alone judges each channel; the mode
is its three digits. Modes are counted over 25,600 samples (tiny) or 26,000 (full), and KL is
against the uniform distribution, in nats. What perfect samples get of the same number is the floor.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.lab.mnist import mnist
from benchmarks.lab.mnist_judge import MnistJudge, mnist_judge
from benchmarks.lab.options import Options, read_options
from benchmarks.lab.playing import Played, Task, play
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
from benchmarks.lab.stacks import MODES, SPACE, Stacks, coverage, coverage_of, real_stacks
from benchmarks.referee_lab.datasets import dataset
from ganmodels.data.batches import Draw

TINY_SAMPLES, FULL_SAMPLES = 25_600, 26_000
_LOOKS, _WORTH_LOOKING_MINUTES = 6, 10
_COLUMNS = (
    Column("samples", "samples", ",.0f"),
    Column("modes", "modes", ",.1f"),
    Column("kl", "KL, nats", ".4f"),
    Column("confident", "sure of all digits", ".1%"),
)


class Variant(NamedTuple):
    """A discriminator's size: what is played, and on how many samples it is judged."""

    recipe: str
    changes: dict[str, Any]
    samples: int
    wanted: Figures


def _tiny(width: int, half_life_images: int = 10_000) -> dict[str, Any]:
    """What makes r3gan-small a pair of tiny networks whose discriminator has this width.

    It learns fifteen times as fast as its generator: as slow as that one it is exploited, and
    modes are found and lost again. What is sampled is the generator's average.
    """
    adam = {"beta1": 0.0, "beta2": 0.99, "final_beta2": None}
    return {
        "game": {
            "latent": {"gaussian": 256},
            "network": {
                "kind": "tiny",
                "discriminator_width": width,
                "discriminator_norm": "none",
            },
            "penalties": [{"kind": "r1", "gamma": 0.01}, {"kind": "r2", "gamma": 0.01}],
        },
        "optimisation": {
            "batch_size": 64,
            "generator": {"learning_rate": 2e-4, **adam},
            "discriminator": {"learning_rate": 3e-3, **adam},
            "decay": {"kind": "linear"},
            "average": {"half_life_images": half_life_images},
        },
    }


# The networks of a CPU: those of "full" take 100 s a step there.
_DCGAN = {
    "game": {
        "network": {
            "kind": "dcgan",
            "generator_width": 32,
            "discriminator_width": 32,
            "discriminator_norm": "none",
        },
    },
    "optimisation": {"batch_size": 64, "average": {"half_life_images": 50_000}},
}
VARIANTS = {
    "quarter": Variant("r3gan-small", _tiny(2), TINY_SAMPLES, {"modes": "> 667.4", "kl": "< 1.81"}),
    "half": Variant(
        "r3gan-small", _tiny(4, 200_000), TINY_SAMPLES, {"modes": "> 866.6", "kl": "< 0.90"}
    ),
    "dcgan": Variant("r3gan-small", _DCGAN, FULL_SAMPLES, {"modes": "1000", "kl": "<= 0.06"}),
    "full": Variant("r3gan-stacked-mnist", {}, FULL_SAMPLES, {"modes": "1000", "kl": "<= 0.06"}),
}
_PUBLISHED = (
    published("1/4: Unrolled GAN, 10 steps (Metz 2017)", {"modes": 327.2, "kl": 4.66}),
    published("1/4: PacDCGAN4 (Lin 2018)", {"modes": 667.4, "kl": 1.81}),
    published("1/2: Unrolled GAN, 10 steps (Metz 2017)", {"modes": 817.4, "kl": 1.43}),
    published("1/2: PacDCGAN3 (Lin 2018)", {"modes": 866.6, "kl": 0.90}),
    published("full: PacDCGAN2 (Lin 2018)", {"samples": 26_000, "modes": 1000.0, "kl": 0.06}),
    published("full: R3GAN's loss, small net (Huang 2024)", {"modes": 1000.0, "kl": 0.0781}),
    published("full: VEEGAN (Srivastava 2017)", {"samples": 26_000, "modes": 150.0, "kl": 2.95}),
)


def main() -> None:
    """Print the table; each variant that is asked for is trained on every seed."""
    options = read_options(__doc__ or "", tuple(VARIANTS), minutes=60)
    torch.set_num_threads(options.threads)
    console, judge = Console(width=180), mnist_judge()
    rows = [] if options.baselines_only else list(_runs(options, judge, console))
    rows += [*baselines(_baselines(judge)), *_PUBLISHED]
    rows += [Row("wanted", name, VARIANTS[name].wanted) for name in options.variants]
    protocol = (
        f"stacks of three training digits, drawn on the fly; judge {judge.test_accuracy:.2%} "
        "on test images; sample seed 0; KL against uniform, natural logarithm"
    )
    finish(Report("stacked_mnist", protocol, _COLUMNS, rows), options, console)


def _runs(options: Options, judge: MnistJudge, console: Console) -> Iterator[Row]:
    for name in options.variants:
        for seed in options.seeds:
            yield from _run(name, seed, options, judge, console)


def _run(
    name: str, seed: int, options: Options, judge: MnistJudge, console: Console
) -> Iterator[Row]:
    """The curve of one training, whose last point is its figure."""
    variant, curve = VARIANTS[name], []

    def look(played: Played) -> None:
        row = run_row(name, seed, played, _figures(played, variant.samples, judge))
        console.print(name, f"seed {seed}", dict(row.training), dict(row.figures))
        curve.append(row)

    # To look costs as much as a minute of training.
    is_long = options.budget.minutes >= _WORTH_LOOKING_MINUTES
    play(_task(variant), seed, options.budget, look, _LOOKS if is_long else 1)
    yield from (row._replace(kind="curve") for row in curve[:-1])
    yield curve[-1]


def _task(variant: Variant) -> Task:
    data = dataset("mnist")
    assert data is not None
    digits = mnist().train_images

    def stacks(batch_size: int, seed: int, device: torch.device) -> Draw:
        return Stacks(digits, batch_size, seed, device).at

    return Task(variant.recipe, variant.changes, data, SPACE, stacks)


def _figures(played: Played, samples: int, judge: MnistJudge) -> Figures:
    sampler = played.sampler()
    stacks = sampler.draw(sampler.latents(0, 0, samples), sampler.labels(0, 0, samples))
    return _judged(judge, stacks)


def _judged(judge: MnistJudge, stacks: NDArray[np.generic]) -> Figures:
    return {"samples": len(stacks), **coverage(judge, stacks)._asdict()}


def _baselines(judge: MnistJudge) -> Iterator[tuple[str, Figures]]:
    """The floor, and what knows nothing."""
    images, random = mnist().train_images, np.random.default_rng(0)
    for count in (TINY_SAMPLES, FULL_SAMPLES):
        yield "real stacks (the floor)", _judged(judge, real_stacks(images, count, seed=0))
    uniform = coverage_of(random.integers(MODES, size=FULL_SAMPLES))
    yield "modes drawn evenly, no images", {"samples": FULL_SAMPLES, **uniform._asdict()}
    noise = random.integers(0, 256, (FULL_SAMPLES, 28, 28, 3), dtype=np.uint8)
    yield "uniform noise", _judged(judge, noise)
    one = np.repeat(real_stacks(images, 1, seed=0), FULL_SAMPLES, 0)
    yield "one stack, repeated", _judged(judge, one)


if __name__ == "__main__":
    main()
