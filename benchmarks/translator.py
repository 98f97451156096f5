"""Digits into the style of others and back: translated images, judged by domain and by label.

    python -m benchmarks.translator                 both pairs
    python -m benchmarks.translator inverted --seeds 3 --minutes 10

``inverted``: one half of MNIST's training images as they are, the other half inverted.
``scikit-learn``: MNIST and scikit-learn's digits (8x8, other writers), enlarged to its 20x20.
No image is in both domains. Images that no network has seen are translated in both directions.
A classifier of domains, trained on real images of both, says whether they look like the other
domain; a frozen CNN for each domain says whether they still show their digit. An identity copy
has the label of every image and the domain of none."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from benchmarks.lab.mnist import Images, Labels, mnist
from benchmarks.lab.mnist_judge import mnist_judge
from benchmarks.lab.options import Options, read_options
from benchmarks.lab.packing import packed_images
from benchmarks.lab.playing import Played, Task, play
from benchmarks.lab.pupils import Pupil
from benchmarks.lab.report import Column, Figures, Report, Row, baselines, finish, run_row
from ganmodels.sampling import Sampler

_TESTED = 1_000
# Of scikit-learn's digits so many, the last ones and so other writers, are kept for the test.
_KEPT_BACK = 397
# Who learns from few images sees them more often.
_FEW_EPOCHS, _DOMAIN_LESSONS = 20, 5_000
_PROTOCOL = (
    "cyclegan on unpaired images, no labels; the domain is named by a classifier of real images of "
    "both domains, the label by a frozen CNN that learned from real images of the domain that is "
    "translated into; images from the test splits"
)
_COLUMNS = (
    Column("domain", "a to b: domain b", ".2%"),
    Column("kept", "label kept", ".2%"),
    Column("domain_back", "b to a: domain a", ".2%"),
    Column("kept_back", "label kept", ".2%"),
    Column("cycle", "cycle error", ".3f"),
    Column("noisy_cycle", "with noise", ".3f"),
)
_WANTED = Row(
    "wanted", "wanted", dict.fromkeys(("domain", "kept", "domain_back", "kept_back"), ">= 90%")
)


class Domain(NamedTuple):
    """Images [n, 28, 28] in 0..255 that may be learned from, and others to test with."""

    images: Images
    labels: Labels
    test_images: Images
    test_labels: Labels


class Pair(NamedTuple):
    """Two domains, ``a`` the source."""

    a: Domain
    b: Domain


class Examiners(NamedTuple):
    """Who says which domain an image is of, 0 for a, and what it shows, in each domain."""

    domain: Pupil
    label_in_a: Callable[[Images], Labels]
    label_in_b: Callable[[Images], Labels]


def main() -> None:
    """Print the table; each pair that is asked for is trained on every seed."""
    options = read_options(__doc__ or "", tuple(VARIANTS), minutes=10)
    torch.set_num_threads(options.threads)
    console, rows = Console(width=180), list[Row]()
    for variant in options.variants:
        pair = VARIANTS[variant]()
        examiners = _examiners(variant, pair)
        rows += baselines(_baselines(variant, pair, examiners))
        if not options.baselines_only:
            rows += _runs(variant, pair, examiners, options, console)
    finish(Report("translator", _PROTOCOL, _COLUMNS, [*rows, _WANTED]), options, console)


def _runs(
    variant: str, pair: Pair, examiners: Examiners, options: Options, console: Console
) -> Iterator[Row]:
    data, source = packed_images(pair.b.images), packed_images(pair.a.images)
    for seed in options.seeds:
        played = play(Task("cyclegan", CHANGES[variant], data, source=source), seed, options.budget)
        row = run_row(variant, seed, played, figures(played, pair, examiners))
        console.print(row, highlight=False)
        yield row


def figures(played: Played, pair: Pair, examiners: Examiners) -> Figures:
    """What becomes of test images of both domains, in both directions."""
    there, back = (_translator(played, name) for name in ("generator", "backward_generator"))
    made_b, made_a = there(pair.a.test_images), back(pair.b.test_images)
    found = _judged(made_b, made_a, pair, examiners)
    return found | {
        "cycle": distance(back(made_b), pair.a.test_images),
        "noisy_cycle": distance(back(noisy(made_b)), pair.a.test_images),
    }


def _judged(made_b: Images, made_a: Images, pair: Pair, examiners: Examiners) -> dict[str, float]:
    """Of what was made of the test images of a, and of b."""
    return {
        "domain": float((examiners.domain.name(made_b) == 1).mean()),
        "kept": float((examiners.label_in_b(made_b) == pair.a.test_labels).mean()),
        "domain_back": float((examiners.domain.name(made_a) == 0).mean()),
        "kept_back": float((examiners.label_in_a(made_a) == pair.b.test_labels).mean()),
    }


def _translator(played: Played, name: str) -> Callable[[Images], Images]:
    """What a player's averaged generator makes of images [n, 28, 28]."""
    match = played.match
    sampler = Sampler(
        match.game, match.space, match.players[name].average, None, match.device, batch_sizes=(100,)
    )

    def translate(images: Images) -> Images:
        labels = np.zeros(len(images), dtype=np.int64)
        return sampler.draw(images[..., None], labels)[..., 0].astype(np.uint8)

    return translate


def noisy(images: Images) -> Images:
    """With normal noise of 0.05, where pixels lie in [-1, 1]."""
    noise = np.random.default_rng(0).normal(0, 0.05 * 127.5, images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def distance(first: Images, second: Images) -> float:
    """Mean absolute difference of pixels in [-1, 1]."""
    return float(np.abs(first / 127.5 - second / 127.5).mean())


def _baselines(variant: str, pair: Pair, examiners: Examiners) -> Iterator[tuple[str, Figures]]:
    a, b = pair.a.test_images, pair.b.test_images
    yield f"{variant}: identity copy", _judged(a, b, pair, examiners)
    kept = examiners.label_in_b(b) == pair.b.test_labels
    kept_back = examiners.label_in_a(a) == pair.a.test_labels
    yield (
        f"{variant}: real images of the domain (the ceiling)",
        {
            "domain": float((examiners.domain.name(b) == 1).mean()),
            "kept": float(kept.mean()),
            "domain_back": float((examiners.domain.name(a) == 0).mean()),
            "kept_back": float(kept_back.mean()),
        },
    )


def _inverted() -> Pair:
    """One half of MNIST inverted, and the other as it is; so are the test images."""
    data = mnist()
    half, tested = len(data.train_images) // 2, slice(_TESTED, 2 * _TESTED)
    a = Domain(
        255 - data.train_images[half:],
        data.train_labels[half:],
        255 - data.test_images[tested],
        data.test_labels[tested],
    )
    return Pair(a, _mnist_domain(half))


def _enlarged() -> Pair:
    """Scikit-learn's digits, enlarged, and MNIST."""
    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.stack([_enlarge(image) for image in small])
    labels = digits.target.astype(np.int64)
    learned, tested = slice(-_KEPT_BACK), slice(-_KEPT_BACK, None)
    a = Domain(images[learned], labels[learned], images[tested], labels[tested])
    return Pair(a, _mnist_domain(len(mnist().train_images)))


def _mnist_domain(count: int) -> Domain:
    data = mnist()
    return Domain(
        data.train_images[:count],
        data.train_labels[:count],
        data.test_images[:_TESTED],
        data.test_labels[:_TESTED],
    )


def _enlarge(image: Images) -> Images:
    """As large as MNIST's digits are, in their frame: 8x8 to 20x20, with 4 pixels about it."""
    large = Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(large), 4)


def _examiners(variant: str, pair: Pair) -> Examiners:
    judge = mnist_judge()
    images, labels = _both_domains(pair)
    domain = Pupil(images, labels, seed=0)

    def in_b(images: Images) -> Labels:
        return judge.judge(images).labels

    if variant == "inverted":
        return Examiners(domain, lambda images: in_b(255 - images), in_b)
    expert = Pupil(pair.a.images, pair.a.labels, seed=0, epochs=_FEW_EPOCHS)
    return Examiners(domain, expert.name, in_b)


def _both_domains(pair: Pair) -> tuple[Images, Labels]:
    """As many training images of each, and 0 or 1 for them."""
    count = min(len(pair.a.images), len(pair.b.images), _DOMAIN_LESSONS)
    images = np.concatenate([pair.a.images[:count], pair.b.images[:count]])
    return images, np.repeat(np.arange(2), count)


# Digits that are alike already are to stay what they are.
_GENTLE = {"adversarial_weight": 0.5, "identity_weight": 1.0}
CHANGES: Mapping[str, dict[str, Any]] = {
    "inverted": {"learning_rate": 5e-4},
    "scikit-learn": {"learning_rate": 5e-4, "game": _GENTLE},
}
VARIANTS: Mapping[str, Callable[[], Pair]] = {"inverted": _inverted, "scikit-learn": _enlarged}

if __name__ == "__main__":
    main()
