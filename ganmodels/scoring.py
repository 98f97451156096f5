"""Scoring: what the discriminator thinks of an item, made comparable by calibration."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.calibration import Calibration, Logits
from ganmodels.data.batches import to_network
from ganmodels.data.spread import evenly
from ganmodels.games import Game
from ganmodels.labels import Clusters
from ganmodels.networks.discriminator import Company, Discriminator
from ganmodels.preparation.fixed import fixed_items
from ganmodels.preparation.judging import steady_size
from ganmodels.sampling import FIXED_BATCH, Sampler
from ganmodels.spaces import Space

# In the place of a label: the one under which the item is taken for the most real.
ANY_LABEL = -1
CALIBRATION_ITEMS = 1_000
_CALIBRATION_SEED = 0

Probabilities = NDArray[np.float32]


# One less than a batch of common size: a discriminator that looks at its batch finds it as it was.
COMPANY_ITEMS = 255


class Mates(NamedTuple):
    """Stored real items, with their labels, beside which every item is scored.

    Discriminators that judge items together would else say something else of an item for every
    batch that it comes in. These are always the same: training items of the checkpoint's dataset.
    """

    items: Tensor
    labels: Tensor | None = None

    @classmethod
    def of(
        cls, items: NDArray[np.generic], labels: NDArray[np.int64] | None, batch_size: int
    ) -> "Mates":
        """As many as an item had at most in training, evenly from all."""
        count = min(batch_size - 1, COMPANY_ITEMS, len(items))
        places = evenly(np.arange(len(items)), count)
        chosen = None if labels is None else torch.from_numpy(labels[places])
        return cls(torch.from_numpy(np.array(items[places])), chosen)

    def tensors(self) -> dict[str, Tensor]:
        """By name, as they are stored."""
        return {"items": self.items} | ({} if self.labels is None else {"labels": self.labels})

    def company(self, space: Space, device: torch.device) -> Company:
        """As discriminators see them."""
        labels = None if self.labels is None else self.labels.to(device)
        return Company(to_network(self.items.numpy(), space, device), labels)


class Scores(NamedTuple):
    """For each item: logit, probability, percentiles, label.

    ``probabilities`` [n] are those of "real", by the calibration: of items of which half are real
    ones that nobody trained on and half are this generator's, as many as that are real.
    ``labels`` are those under which the items were judged, or the most probable ones where the
    discriminator names classes; None for a model that knows no labels. ``classes`` [n, classes]
    are the probabilities of all labels, where the discriminator names them; ``codes`` those of
    categorical codes and the means of continuous ones, where it recovers them. ``mates`` is how
    many real items stood beside each, for discriminators that judge together.
    """

    logits: Logits
    probabilities: Logits
    percentile_real: Logits
    percentile_fake: Logits
    labels: NDArray[np.int64] | None
    classes: Probabilities | None = None
    codes: Probabilities | None = None
    mates: int = 0

    def part(self, start: int, stop: int) -> "Scores":
        """Those of some of the items."""
        return self._over(lambda column: column[start:stop])

    @classmethod
    def join(cls, parts: Sequence["Scores"]) -> "Scores":
        """Those of all items of several parts, of one model."""
        columns = iter(zip(*(part._columns() for part in parts), strict=True))
        return parts[0]._over(lambda _: np.concatenate(next(columns)))

    def _columns(self) -> list[NDArray[Any]]:
        return [column for column in self[:-1] if column is not None]

    def _over(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Scores":
        changed = [None if column is None else change(column) for column in self[:-1]]
        return Scores._make([*changed, self.mates])


class Scorer:
    """A trained discriminator with its calibration; safe to call from several threads."""

    def __init__(
        self,
        game: Game,
        space: Space,
        discriminator: Discriminator,
        calibration: Calibration,
        clusters: Clusters | None = None,
        mates: Mates | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.game, self.space = game, space
        self.calibration, self._odds = calibration, calibration.odds()
        self.clusters = clusters
        self.device = device or torch.device("cpu")
        self.discriminator = discriminator.to(self.device).eval()
        self.company = mates and mates.company(space, self.device)

    @torch.inference_mode()
    def score(self, items: NDArray[np.generic], asked: NDArray[np.int64]) -> Scores:
        """Scores of stored items (uint8 [n, h, w, c] or float32 [n, d]).

        A conditional discriminator judges each under the label that is ``asked`` [n]; where that
        is ``ANY_LABEL`` it judges under every label and keeps the best. One that was trained on
        clusters judges under the nearest. One that names classes is told no label.
        """
        judged, classes = to_network(items, self.space, self.device), None
        if self.game.classifies:
            logits, classes = self._judge(judged, None), self._classes(judged)
            labels: NDArray[np.int64] | None = classes.argmax(1)
        elif self.clusters is not None:
            nearest = torch.from_numpy(self.clusters.nearest(items))
            logits, labels = self._judge(judged, nearest), None
        else:
            logits, labels = self._best(judged, asked)
        probabilities = self._odds.probability(logits)
        real, fake = self.calibration.percentiles(logits)
        codes = self._codes(judged) if self.discriminator.recogniser else None
        mates = 0 if self.company is None else self.discriminator.mates(self.company)
        return Scores(logits, probabilities, real, fake, labels, classes, codes, mates)

    @cached_property
    def batch_size(self) -> int:
        """How many items are judged at once: as many as no verdict depends on its place with."""
        stored = fixed_items(self.space)
        items = to_network(stored, self.space, self.device)
        labels = None
        if self._is_told:
            kinds = self.game.labels.classes(self.space)
            labels = torch.arange(len(stored), device=self.device) % kinds

        def say(start: int, size: int) -> list[Tensor]:
            told = None if labels is None else labels[start : start + size]
            return self._all_said(items[start : start + size], told)

        return steady_size(say, FIXED_BATCH)

    @property
    def _is_told(self) -> bool:
        """Whether the discriminator is told labels, or clusters in their place."""
        return self.clusters is not None or (self.game.conditional and not self.game.classifies)

    def _all_said(self, items: Tensor, labels: Tensor | None) -> list[Tensor]:
        """Logits, features, and what further heads say, of one batch."""
        discriminator, company = self.discriminator, self.company
        said = [discriminator.score(items, labels, company)]
        said.append(discriminator.seen(items, labels, company))
        said += [discriminator.classify(items)] if discriminator.classifier else []
        return said + ([discriminator.recognise(items)] if discriminator.recogniser else [])

    @torch.inference_mode()
    def told(self, items: NDArray[np.generic], asked: NDArray[np.int64]) -> Tensor | None:
        """Labels [n] under which ``score`` judges; None where the discriminator is told none."""
        if not self._is_told:
            return None
        if self.clusters is not None:
            return torch.from_numpy(self.clusters.nearest(items))
        labels = self._best(to_network(items, self.space, self.device), asked)[1]
        return None if labels is None else torch.from_numpy(labels)

    def _classes(self, items: Tensor) -> Probabilities:
        """Probabilities [n, classes] of the labels."""
        said = _by_batch(self.discriminator.classify, items, self.batch_size)
        return said.softmax(1).numpy()

    def _codes(self, items: Tensor) -> Probabilities:
        """Probabilities of categorical codes and means of continuous ones, [n, code_width]."""
        latent = self.game.latent
        assert latent is not None
        said = _by_batch(self.discriminator.recognise, items, self.batch_size)
        return latent.read_codes(said).numpy()

    def _best(
        self, items: Tensor, asked: NDArray[np.int64]
    ) -> tuple[Logits, NDArray[np.int64] | None]:
        if not self.game.conditional:
            return self._judge(items, None), None
        logits, labels, free = np.empty(len(items), np.float32), asked.copy(), asked == ANY_LABEL
        if not free.all():
            logits[~free] = self._judge(items[~free], torch.from_numpy(asked[~free]))
        if free.any():
            candidates = range(len(self.space.classes))
            rows = [self._judge(items[free], torch.full((free.sum(),), one)) for one in candidates]
            stacked = np.stack(rows)
            logits[free], labels[free] = stacked.max(0), stacked.argmax(0)
        return logits, labels

    def _judge(self, items: Tensor, labels: Tensor | None) -> Logits:
        return judge(self.discriminator, items, labels, self.batch_size, self.company)


def _by_batch(head: Callable[[Tensor], Tensor], items: Tensor, batch_size: int) -> Tensor:
    """What a head says of each item, in batches of one size."""
    said = [head(whole)[:count].float().cpu() for whole, count in padded(items, batch_size)]
    return torch.cat(said)


class Probe(NamedTuple):
    """What discriminators are measured on: at most 1,000 real items, stored, and as many inputs
    of the generator; both with their labels.
    """

    reals: NDArray[np.generic]
    real_labels: NDArray[np.int64] | None
    inputs: NDArray[np.generic]
    fake_labels: NDArray[np.int64]

    @classmethod
    def of(
        cls, sampler: Sampler, reals: NDArray[np.generic], labels: NDArray[np.int64] | None
    ) -> "Probe":
        """The same inputs each time; they depend on the sampler's game and space alone."""
        return cls(
            np.array(reals[:CALIBRATION_ITEMS]),
            None if labels is None else np.array(labels[:CALIBRATION_ITEMS]),
            sampler.inputs(_CALIBRATION_SEED, 0, CALIBRATION_ITEMS),
            sampler.labels(_CALIBRATION_SEED, 0, CALIBRATION_ITEMS),
        )


def calibrate(
    sampler: Sampler, discriminator: Discriminator, probe: Probe, mates: Mates | None = None
) -> Calibration:
    """Measure a discriminator, which must be in evaluation mode."""
    company = mates and mates.company(sampler.space, sampler.device)
    fakes = sampler.draw(probe.inputs, probe.fake_labels)
    asked = probe.fake_labels if sampler.clusters is None else sampler.clusters.nearest(fakes)

    def logits(items: NDArray[np.generic], labels: NDArray[np.int64] | None) -> Logits:
        seen = to_network(items, sampler.space, sampler.device)
        told = None if labels is None else torch.from_numpy(labels)
        return judge(discriminator, seen, told, sampler.batch_sizes[-1], company)

    with torch.inference_mode():
        return Calibration.of(logits(probe.reals, probe.real_labels), logits(fakes, asked))


def judge(
    discriminator: Discriminator,
    items: Tensor,
    labels: Tensor | None,
    batch_size: int = FIXED_BATCH,
    company: Company | None = None,
) -> Logits:
    """Logits [n] of items as the networks see them, in batches of one size."""
    told: Iterable[tuple[Tensor | None, int]] = repeat((None, 0))
    if labels is not None:
        told = padded(labels.to(items.device), batch_size)
    said = [
        discriminator.score(whole, under, company)[:count].float().cpu()
        for (whole, count), (under, _) in zip(padded(items, batch_size), told, strict=False)
    ]
    logits: Logits = torch.cat(said).numpy()
    return logits


def padded(items: Tensor, batch_size: int) -> Iterator[tuple[Tensor, int]]:
    """Batches of one size, and how many of the items in each were asked for."""
    for some in items.split(batch_size):
        missing = batch_size - len(some)
        yield torch.cat([some, some[:1].expand(missing, *some.shape[1:])]), len(some)
