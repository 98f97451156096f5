"""A classifier of MNIST from a few labels: errors among the 10,000 test images.

    python -m benchmarks.semi_supervised                     100 labels, one seed, an hour
    python -m benchmarks.semi_supervised 20 50 100 200 --seeds 10 --steps 180000

The shipped recipe, with so many labels in all, as many of each class. A seed decides which items
are labelled, the first weights and everything drawn. Beside it, on the same labels: the nearest
labelled image in pixels, and the same discriminator trained on the labelled images alone. Test
images are looked at after the training only, but for the curve, which decides nothing.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from rich.console import Console

from benchmarks.lab.mnist import mnist
from benchmarks.lab.options import Budget, Options, read_options
from benchmarks.lab.playing import Played, Task, play
from benchmarks.lab.report import Column, Report, Row, finish, published, run_row
from benchmarks.lab.supervised import classifier_of_labels_alone, nearest_labelled
from benchmarks.referee_lab.datasets import dataset
from ganmodels.data.batches import to_network
from ganmodels.data.packed import PackedDataset
from ganmodels.networks.discriminator import Discriminator

RECIPE, CLASSES, LOOKS = "semi-supervised", 10, 10
VARIANTS = ("20", "50", "100", "200")
_JUDGED_AT_ONCE = 1_000
_PROTOCOL = (
    "labels of as many training images of each digit, chosen by the seed; 58,000 training images "
    "without labels; errors of the averaged discriminator among 10,000 test images"
)
_COLUMNS = (
    Column("errors", "errors of 10,000", ".1f"),
    Column("cpu_minutes", "CPU minutes", ".1f"),
)
_PUBLISHED = {
    "20 labels": "1677 +- 452",
    "50 labels": "221 +- 136",
    "100 labels": "93 +- 6.5",
    "200 labels": "90 +- 4.2",
}
_WANTED = Row("wanted", "100 labels", {"errors": "<= 150 in an hour, <= 93 with all epochs"})


def main() -> None:
    """Print the table; each number of labels is trained on every seed."""
    options = read_options(__doc__ or "", VARIANTS, minutes=60, usual=("100",))
    torch.set_num_threads(options.threads)
    console, rows = Console(width=140), list[Row]()
    known = [
        *(published(f"Salimans et al. 2016, {n}", {"errors": e}) for n, e in _PUBLISHED.items())
    ]
    for row in _rows(options):
        console.print(row, highlight=False)
        rows.append(row)
        if options.json:
            # Kept as it grows: a run of hours may be cut short.
            _report(rows + known).write(options.json, options)
    finish(_report(rows + known), options, console)


def _report(rows: list[Row]) -> Report:
    return Report("semi_supervised", _PROTOCOL, _COLUMNS, [*rows, _WANTED])


def _rows(options: Options) -> Iterator[Row]:
    data = dataset("mnist")
    assert data is not None
    for variant in options.variants:
        for seed in options.seeds:
            task = Task(RECIPE, {"game": {"labelled_per_class": int(variant) // CLASSES}}, data)
            yield from _baselines(task, seed, f"{variant} labels")
            if not options.baselines_only:
                yield from _played(task, seed, options.budget, f"{variant} labels")


def _played(task: Task, seed: int, budget: Budget, name: str) -> Iterator[Row]:
    curve: list[Row] = []
    began = time.process_time()

    def watch(played: Played) -> None:
        # Others on the machine stretch the time on the wall, which says little of the cost.
        minutes = (time.process_time() - began) / 60
        found = errors(discriminator_of(played), task.data)
        figures = {"errors": found, "cpu_minutes": minutes}
        curve.append(Row("curve", name, figures, seed, played.facts()))

    played = play(task, seed, budget, watch, LOOKS)
    yield from curve[:-1]
    yield run_row(name, seed, played, curve[-1].figures)


def _baselines(task: Task, seed: int, name: str) -> Iterator[Row]:
    config, data = task.config(seed, steps=1), mnist()
    nearest = nearest_labelled(config, task.data, data.test_images[..., None])
    wrong = float((nearest != data.test_labels).sum())
    yield Row("baseline", f"{name}: nearest in pixels", {"errors": wrong}, seed)
    alone = classifier_of_labels_alone(config, task.data)
    wrong = errors(alone, task.data)
    yield Row("baseline", f"{name}: trained on them alone", {"errors": wrong}, seed)


def discriminator_of(played: Played) -> Discriminator:
    """What users score by: the averaged discriminator."""
    discriminator = played.match.average_discriminator
    assert isinstance(discriminator, Discriminator)
    return discriminator


@torch.inference_mode()
def errors(discriminator: Discriminator, data: PackedDataset) -> float:
    """How many test images are named wrongly; the discriminator must be in evaluation mode."""
    images, labels = mnist().test_images[..., None], mnist().test_labels
    device = next(discriminator.parameters()).device
    items = to_network(images, data.manifest.space, device)
    named = [discriminator.classify(some).argmax(1).cpu() for some in items.split(_JUDGED_AT_ONCE)]
    return float((torch.cat(named).numpy() != np.asarray(labels)).sum())


if __name__ == "__main__":
    main()
