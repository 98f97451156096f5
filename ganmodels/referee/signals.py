"""Signals: what is seen of a match at one step, as functions of logits and of thumbnails."""

from typing import NamedTuple

import torch
from torch import Tensor

from ganmodels.types import Labels, Logits, Vectors

# A group counts as reached by fakes that have this part of its share among reals.
_LEAST_SHARE = 0.25


class Judgement(NamedTuple):
    """How well the discriminator tells reals from fakes, and its training items from others.

    Accuracies are shares of items taken for what they are; None where a logit alone says nothing.
    Pair accuracies are the shares of (real, fake) pairs whose real item has the higher logit.
    ``overfitting_rt`` and ``overfitting_rv`` are r_t and r_v of arXiv:2006.06676, equation 1:
    near 1 when the discriminator knows its training items by heart. Held out: None without any.
    """

    real_accuracy: float | None
    held_out_accuracy: float | None
    fake_accuracy: float | None
    pair_accuracy: float
    held_out_pair_accuracy: float | None
    overfitting_rt: float | None
    overfitting_rv: float | None
    largest_logit: float

    @classmethod
    def of(
        cls, real: Logits, held_out: Logits, fake: Logits, boundary: float | None
    ) -> "Judgement":
        """From the logits of training items, held-out items (perhaps none) and fakes."""
        split, accuracy = len(held_out) > 0, _share_above(real, boundary)
        mistaken = _share_above(fake, boundary)
        return cls(
            real_accuracy=accuracy,
            held_out_accuracy=_share_above(held_out, boundary) if split else None,
            fake_accuracy=None if mistaken is None else 1 - mistaken,
            pair_accuracy=_ranked_rightly(real, fake),
            held_out_pair_accuracy=_ranked_rightly(held_out, fake) if split else None,
            overfitting_rt=None if accuracy is None else 2 * accuracy - 1,
            overfitting_rv=_overfitting(real, held_out, fake) if split else None,
            largest_logit=float(torch.cat([real, held_out, fake]).abs().max()),
        )


class Variety(NamedTuple):
    """What fakes are like beside real items, by distances between thumbnails.

    ``diversity``: the mean distance of fakes from each other over that of reals, in all and
    within labels. ``energy_distance`` (Szekely & Rizzo 2013), over the mean distance of reals:
    0 for equal distributions, about 1 for one point far from all. ``neighbour_ratio``: the median
    distance of fakes to the nearest training item over that of held-out items.
    ``neighbour_accuracy``: how often the nearest of all others is of the same kind, real or fake
    (arXiv:1610.06545); 0.5 is perfect. ``histogram``: shares of the fakes by group of real items;
    ``histogram_gap``: its total variation from that of reals; ``groups_covered``: the share of
    real items in groups that fakes reach. ``saturated``: values at a limit, beyond those of reals.
    Distances are None where real items are all equal.
    """

    diversity: float | None
    diversity_within_labels: float | None
    energy_distance: float | None
    neighbour_ratio: float | None
    neighbour_accuracy: float | None
    histogram: list[float]
    histogram_gap: float
    groups_covered: float


class Yardstick:
    """Real items to hold fakes against; what does not change is computed once."""

    def __init__(
        self,
        reals: Vectors,
        labels: Labels | None,
        training: Vectors,
        held_out: Vectors,
        centres: Vectors,
    ) -> None:
        """Thumbnails: of the panel's training items with labels, of many, of held-out items."""
        self._reals, self._training, self._centres = reals, training, centres
        self._pairs = _pairs(len(reals), None, reals)
        self._pairs_within = _pairs(len(reals), labels, reals)
        self._distances = torch.cdist(reals, reals)
        self._spread = float((self._distances * self._pairs).sum())
        self._spread_within = float((self._distances * self._pairs_within).sum())
        self._histogram = _histogram(training, centres)
        self._nearest = _median_nearest(held_out, training) if len(held_out) else 0.0

    @property
    def has_variety(self) -> bool:
        """Whether the real items differ at all."""
        return self._spread > 0

    def measure(self, fakes: Vectors) -> Variety:
        """The fakes, made under the labels of the panel's training items, beside the reals."""
        among, across = torch.cdist(fakes, fakes), torch.cdist(self._reals, fakes)
        spread, within = (among * self._pairs).sum(), (among * self._pairs_within).sum()
        histogram = _histogram(fakes, self._centres)
        energy = float(2 * across.mean() - spread - self._spread)
        reached = histogram >= _LEAST_SHARE * self._histogram
        return Variety(
            diversity=_ratio(float(spread), self._spread),
            diversity_within_labels=_ratio(float(within), self._spread_within),
            energy_distance=_ratio(energy, self._spread),
            neighbour_ratio=_ratio(_median_nearest(fakes, self._training), self._nearest),
            neighbour_accuracy=_same_kind(self._distances, among, across),
            histogram=[round(share, 4) for share in histogram.tolist()],
            histogram_gap=total_variation(histogram.tolist(), self._histogram.tolist()),
            groups_covered=float(self._histogram[reached].sum()),
        )


def total_variation(first: list[float], second: list[float]) -> float:
    """Half of the sum of absolute differences of two histograms: 0 for equal, 1 for disjoint."""
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / 2


def _share_above(logits: Logits, boundary: float | None) -> float | None:
    return None if boundary is None else float((logits > boundary).float().mean())


def _ranked_rightly(real: Logits, fake: Logits) -> float:
    higher = (real[:, None] > fake[None, :]).float() + 0.5 * (real[:, None] == fake[None, :])
    return float(higher.mean())


def _overfitting(real: Logits, held_out: Logits, fake: Logits) -> float | None:
    known, apart = float(real.mean() - held_out.mean()), float(real.mean() - fake.mean())
    # Where fakes are not told from reals the quotient says nothing.
    return known / apart if apart > 0 else None


def _pairs(count: int, labels: Labels | None, like: Tensor) -> Tensor:
    """Weights [n, n] of the mean over pairs of different items, of equal label where given."""
    chosen = 1 - torch.eye(count, device=like.device)
    if labels is not None:
        chosen = chosen * (labels[:, None] == labels[None, :])
    return chosen / chosen.sum().clamp(min=1)


def _median_nearest(items: Vectors, others: Vectors) -> float:
    return float(torch.cdist(items, others).amin(1).median())


def _histogram(items: Vectors, centres: Vectors) -> Tensor:
    groups = torch.cdist(items, centres).argmin(1)
    return torch.bincount(groups, minlength=len(centres)) / len(items)


def _same_kind(reals: Tensor, fakes: Tensor, across: Tensor) -> float | None:
    """Leave-one-out accuracy of the nearest neighbour."""
    count = len(reals)
    distances = torch.cat([torch.cat([reals, across], 1), torch.cat([across.T, fakes], 1)])
    nearest = distances.fill_diagonal_(float("inf")).argmin(1) < count
    is_real = torch.arange(2 * count, device=nearest.device) < count
    return float((nearest == is_real).float().mean())


def _ratio(value: float, unit: float) -> float | None:
    return value / unit if unit > 0 else None
