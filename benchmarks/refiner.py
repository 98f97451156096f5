"""Printed digits, refined towards handwritten ones: what a classifier that learns from them knows.

    python -m benchmarks.refiner
    python -m benchmarks.refiner --seeds 3 --minutes 10 --json benchmarks/results/refiner.json

Digits are rendered from matplotlib's fonts with exact labels. The simgan recipe makes them look
like MNIST without any of its labels, the matched real images are its training images. Classifiers
of one kind then learn from (a) the rendered digits and (b) what was made of the same ones, and are
examined on real test images. A frozen CNN says whether the digits are still the same.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.lab.mnist import Images, mnist
from benchmarks.lab.mnist_judge import MnistJudge, mnist_judge
from benchmarks.lab.options import Options, read_options
from benchmarks.lab.packing import packed_images
from benchmarks.lab.playing import Played, Task, play
from benchmarks.lab.pupils import EPOCHS, exam_score
from benchmarks.lab.rendered import Rendered, rendered
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
from ganmodels.referee.measures.frechet import frechet

# What the translators learn from, and what the classifiers do: not one of them is in both.
_SOURCE, _LESSONS = 20_000, 10_000
_SOURCE_SEED, _LESSONS_SEED = 0, 1
VARIANTS: dict[str, dict[str, Any]] = {"simgan": {}}
_PROTOCOL = (
    f"simgan on {_SOURCE:,} rendered digits and MNIST's training images, no labels; classifiers "
    f"learn from {_LESSONS:,} other rendered digits as they are or refined, {EPOCHS} epochs, "
    "and are examined on the 10,000 test images; labels kept: by a frozen CNN; Frechet distance to "
    "test images in its features"
)
_COLUMNS = (
    Column("exam", "exam on real digits", ".2%"),
    Column("gain", "above rendered", "+.2%"),
    Column("kept", "labels kept", ".2%"),
    Column("change", "change of a pixel", ".3f"),
    Column("frechet", "Frechet distance", ".1f"),
)
_WANTED = Row("wanted", "wanted", {"gain": ">= 5 points", "kept": ">= 95%"})


def main() -> None:
    """Print the table; the refiner and its classifier are trained on every seed."""
    options = read_options(__doc__ or "", tuple(VARIANTS), minutes=10)
    torch.set_num_threads(options.threads)
    console, judge = Console(width=180), mnist_judge()
    lessons = rendered(_LESSONS, _LESSONS_SEED)
    plain = [exam_score(*lessons, seed) for seed in options.seeds]
    rows = [] if options.baselines_only else list(_runs(options, lessons, plain, judge, console))
    rows += [*baselines(_baselines(options, lessons, plain, judge)), _PUBLISHED, _WANTED]
    protocol = f"{_PROTOCOL}; judge {judge.test_accuracy:.2%} on test images"
    finish(Report("refiner", protocol, _COLUMNS, rows), options, console)


_PUBLISHED = published("SimGAN, eye gaze: refined above synthetic", {"gain": "+22.3 points"})


def _runs(
    options: Options, lessons: Rendered, plain: list[float], judge: MnistJudge, console: Console
) -> Iterator[Row]:
    data = dataset("mnist")
    assert data is not None
    source = packed_images(rendered(_SOURCE, _SOURCE_SEED).images)
    for variant in options.variants:
        for seed, rendered_exam in zip(options.seeds, plain, strict=True):
            task = Task("simgan", VARIANTS[variant], data, source=source)
            played = play(task, seed, options.budget)
            refined = translated(played, lessons.images)
            exam = exam_score(refined, lessons.labels, seed)
            figures = {"exam": exam, "gain": exam - rendered_exam}
            figures |= _of_images(refined, lessons, judge)
            row = run_row(variant, seed, played, figures)
            console.print(row, highlight=False)
            yield row


def translated(played: Played, images: Images) -> NDArray[np.uint8]:
    """What the averaged generator makes of images [n, 28, 28]."""
    labels = np.zeros(len(images), dtype=np.int64)
    return played.sampler().draw(images[..., None], labels)[..., 0].astype(np.uint8)


def _of_images(images: Images, lessons: Rendered, judge: MnistJudge) -> Figures:
    reals = judge.features(mnist().test_images)
    return {
        "kept": float((judge.judge(images).labels == lessons.labels).mean()),
        "change": float(np.abs(images / 255 - lessons.images / 255).mean()),
        "frechet": frechet(judge.features(images), reals, with_error=False).value,
    }


def _baselines(
    options: Options, lessons: Rendered, plain: list[float], judge: MnistJudge
) -> Iterator[tuple[str, Figures]]:
    of_rendered = _of_images(lessons.images, lessons, judge)
    yield "rendered digits (nothing refined)", {"exam": float(np.mean(plain))} | of_rendered
    data, seed = mnist(), options.seeds[0]
    order = np.random.default_rng(0).permutation(len(data.train_images))[:_LESSONS]
    real = Rendered(data.train_images[order], data.train_labels[order])
    exam = exam_score(*real, seed)
    kept = _of_images(real.images, real, judge)
    gain = {"exam": exam, "gain": exam - plain[0]}
    yield f"{_LESSONS:,} real training images (the ceiling)", gain | kept


if __name__ == "__main__":
    main()
