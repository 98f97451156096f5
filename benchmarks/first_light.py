"""What the first version reaches: every figure through the real service, judged independently.

    python -m benchmarks.first_light              all rows, about half an hour on two cores
    python -m benchmarks.first_light digits ring  some of them

MNIST and Fashion-MNIST are read from ../shared/data; without them their rows are left out and
the table says so. Settings are those of the shipped recipes; nothing is tuned here.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.judges import DigitsJudge, halve
from benchmarks.lab.digits import spreads
from benchmarks.lab.mnist import mnist, read_idx
from benchmarks.lab.mnist_judge import MnistJudge, mnist_judge
from benchmarks.running import DATA, Service, running_service
from ganmodels.data.builtin import BUILTIN

DIGITS_STEPS, MNIST_STEPS, RING_STEPS = 3_000, 12_000, 10_000
TEN = list(range(10))


class Row(NamedTuple):
    """One figure: what was measured, what was wanted, and what it is to be read against."""

    measure: str
    reached: str
    wanted: str
    beside: str


def digits(service: Service) -> Iterator[Row]:
    """The demo: cgan on scikit-learn's digits, judged by a support vector machine."""
    judge = DigitsJudge()
    job, seconds = service.train(dataset="digits", recipe="cgan", steps=DIGITS_STEPS, seed=0)
    images = service.sample(job, 2000, TEN)[..., 0]
    asked = np.arange(2000) % 10
    right = float((judge.labels(images) == asked).mean())
    chunk = next(BUILTIN["digits"]().chunks())
    assert chunk.labels is not None
    reals = spreads(halve(chunk.values[..., 0]), chunk.labels)
    ratio = spreads(halve(images), asked).mean() / reals.mean()
    chance = float((judge.labels(images) == np.roll(asked, 1)).mean())
    yield Row(
        "digits, cgan: samples show the digit asked for",
        f"{right:.1%}",
        ">= 98 %",
        f"wrong label {chance:.1%}; judge on held-out reals {judge.test_accuracy:.1%}",
    )
    yield Row(
        "digits, cgan: within-class distance / real",
        f"{ratio:.2f}",
        ">= 0.75",
        "one picture per class 0; real, in the same 16x16 form, 1",
    )
    yield Row(
        "digits, cgan: training", f"{seconds:.0f} s", "<= 120 s", f"{DIGITS_STEPS} steps of 32"
    )


def ring(service: Service) -> Iterator[Row]:
    """Points on eight Gaussians."""
    centres = np.stack([f(2 * np.pi * np.arange(8) / 8) for f in (np.cos, np.sin)], 1)
    job, seconds = service.train(dataset="ring", recipe="points", steps=RING_STEPS, seed=0)
    points = service.sample(job, 2500, page=2500)
    offsets = points[:, None] - centres
    distances = np.sqrt((offsets**2).sum(2))
    nearest, good = distances.argmin(1), distances.min(1) < 0.03
    modes = len(np.unique(nearest[good]))
    inner = offsets[np.arange(len(points)), nearest][good]
    yield Row("ring, points: modes", f"{modes} of 8", "8 of 8", "")
    yield Row(
        "ring, points: within 3 sigma", f"{good.mean():.1%}", ">= 90 %", "perfect sampler 98.9 %"
    )
    yield Row(
        "ring, points: within-mode spread / sigma",
        f"{inner.std() / 0.01:.2f}",
        "printed",
        "perfect sampler 0.97; shrunken modes are lower",
    )
    yield Row("ring, points: training", f"{seconds:.0f} s", "<= 120 s", f"{RING_STEPS} steps of 64")


def mnist_dcgan(service: Service) -> Iterator[Row]:
    """dcgan on MNIST, which is never told a label, judged by a CNN; then its scores."""
    judge, job, row = trained_on_mnist(service, "dcgan")
    yield row
    yield Row("MNIST judge: test accuracy", f"{judge.test_accuracy:.2%}", ">= 99 %", "10,000 reals")
    verdict = judge.judge(service.sample(job, 1000))
    rarest = np.bincount(verdict.labels, minlength=10).min() / 1000
    yield Row(
        "MNIST, dcgan: samples with p > 0.9",
        f"{(verdict.confidence > 0.9).mean():.1%}",
        ">= 85 %",
        f"real test images {judge.real_confident:.1%}",
    )
    yield Row("MNIST, dcgan: rarest digit", f"{rarest:.1%}", ">= 3 %", "real about 8.5 %")
    yield from scores(service, "dcgan", job, mnist().test_images[:1000])


def mnist_cgan(service: Service) -> Iterator[Row]:
    """cgan on MNIST, judged by a CNN; then its scores."""
    judge, job, row = trained_on_mnist(service, "cgan")
    yield row
    verdict = judge.judge(service.sample(job, 1000, TEN))
    right = (verdict.labels == np.arange(1000) % 10).mean()
    yield Row(
        "MNIST, cgan: samples show the digit asked for",
        f"{right:.1%}",
        ">= 97 %",
        f"chance 10 %; judge on reals {judge.test_accuracy:.1%}",
    )
    yield from scores(service, "cgan", job, mnist().test_images[:1000])


def trained_on_mnist(service: Service, recipe: str) -> tuple[MnistJudge, str, Row]:
    """A judge, and a job of a recipe on MNIST uploaded as IDX."""
    folder = DATA / "mnist"
    judge = mnist_judge()
    service.import_idx(
        "mnist", folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz"
    )
    job, seconds = service.train(dataset="mnist", recipe=recipe, steps=MNIST_STEPS, seed=0)
    length = f"{MNIST_STEPS} steps of 32, one thread"
    return judge, job, Row(f"MNIST, {recipe}: training", f"{seconds:.0f} s", "<= 600 s", length)


def scores(service: Service, recipe: str, job: str, reals: NDArray[np.uint8]) -> Iterator[Row]:
    """AUROC of /score between held-out digits and two kinds of other images."""
    others = {"noise": np.random.default_rng(0).integers(0, 256, (1000, 28, 28), dtype=np.uint8)}
    fashion = DATA / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    if fashion.exists():
        others["Fashion-MNIST"] = read_idx(fashion)[:1000]
    real = service.logits(job, reals)
    for name, images in others.items():
        logits = np.concatenate([real, service.logits(job, images)])
        area = roc_auc_score(np.arange(len(logits)) < len(real), logits)
        yield Row(
            f"MNIST, {recipe}: AUROC of /score, digits against {name}",
            f"{area:.3f}",
            "> 0.95 for the better",
            "chance 0.5; MNIST test images, 1,000 each",
        )


def start(service: Service) -> Iterator[Row]:
    """What starting costs."""
    yield Row(
        "API answers after `ringside up`",
        f"{service.ready_seconds:.1f} s",
        "< 5 s",
        "Redis and worker started beside it",
    )
    loaded = _output("benchmarks.imports")
    yield Row("import ganmodels loads FastAPI or Redis", loaded, "no", "")


def _output(module: str) -> str:
    command = [sys.executable, "-m", module]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


SECTIONS: dict[str, Callable[[Service], Iterator[Row]]] = {
    "start": start,
    "digits": digits,
    "ring": ring,
    "mnist-dcgan": mnist_dcgan,
    "mnist-cgan": mnist_cgan,
}


def main() -> None:
    """Measure the sections asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    wanted = parser.parse_args().sections or list(SECTIONS)
    torch.set_num_threads(1)
    console = Console(width=160)
    console.print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, {platform.processor() or 'CPU'}; "
        "seed 0 everywhere; one run unless said otherwise"
    )
    table = Table("measure", "reached", "wanted", "beside")
    for name in wanted:
        if name.startswith("mnist") and not (DATA / "mnist").exists():
            table.add_row(name, "left out", "", f"{DATA} is not there")
            continue
        began = time.monotonic()
        with running_service() as service:
            for row in SECTIONS[name](service):
                console.print(" | ".join(row))
                table.add_row(*row)
        console.print(f"[dim]{name}: {time.monotonic() - began:.0f} s in all")
    console.print(table)


if __name__ == "__main__":
    main()
