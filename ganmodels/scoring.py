"""Scoring: what the discriminator thinks of an item, made comparable by quantiles.

A raw logit means nothing by itself. Each checkpoint stores quantiles of the logits of held-out
real items and of fakes, so a score can say where among them an item stands.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.data.batches import to_network
from ganmodels.games import Game
from ganmodels.labels import Clusters
from ganmodels.networks.discriminator import Company, Discriminator
from ganmodels.sampling import FIXED_BATCH, Sampler
from ganmodels.spaces import Space

QUANTILES = 512
CALIBRATION_ITEMS = 1_000
_CALIBRATION_SEED = 0

Logits = NDArray[np.float32]


class Calibration(NamedTuple):
    """512 evenly spaced quantiles, ascending, of the logits of reals and of fakes.

    Reals are held out from training where the dataset holds some out. With a conditional
    discriminator reals are judged under their own label, fakes under the one asked for.
    """

    real: Logits
    fake: Logits

    @classmethod
    def of(cls, real: Logits, fake: Logits) -> "Calibration":
        """The quantiles of two sets of logits."""
        levels = np.linspace(0, 1, QUANTILES)
        return cls(
            np.quantile(real, levels).astype(np.float32),
            np.quantile(fake, levels).astype(np.float32),
        )

    def percentiles(self, logits: Logits) -> tuple[Logits, Logits]:
        """Share in percent of reals, and of fakes, whose logit is at most this one."""
        return _percentile(self.real, logits), _percentile(self.fake, logits)


def _percentile(quantiles: Logits, logits: Logits) -> Logits:
    below = np.searchsorted(quantiles, logits, side="right")
    return (100 * below / len(quantiles)).astype(np.float32)


class Scores(NamedTuple):
    """For each item: logit, probability where the objective defines one, percentiles, label.

    ``labels`` are those under which the items were judged; None for an unconditional model.
    """

    logits: Logits
    probabilities: Logits | None
    percentile_real: Logits
    percentile_fake: Logits
    labels: NDArray[np.int64] | None


class Scorer:
    """A trained discriminator with its calibration; safe to call from several threads."""

    def __init__(
        self,
        game: Game,
        space: Space,
        discriminator: Discriminator,
        calibration: Calibration,
        clusters: Clusters | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.game, self.space, self.calibration = game, space, calibration
        self.clusters = clusters
        self.device = device or torch.device("cpu")
        self.discriminator = discriminator.to(self.device).eval()

    @torch.inference_mode()
    def score(self, items: NDArray[np.generic], label: int | None) -> Scores:
        """Scores of stored items (uint8 [n, h, w, c] or float32 [n, d]).

        A conditional discriminator judges under ``label``; without one it judges under every
        label and keeps the best. One that was trained on clusters judges under the nearest.
        """
        judged = to_network(items, self.space, self.device)
        if self.clusters is not None:
            nearest = torch.from_numpy(self.clusters.nearest(items))
            logits, labels = judge(self.discriminator, judged, nearest), None
        else:
            logits, labels = self._best(judged, label)
        probability = self.game.probability(torch.from_numpy(logits))
        real, fake = self.calibration.percentiles(logits)
        return Scores(
            logits, None if probability is None else probability.numpy(), real, fake, labels
        )

    def _best(self, items: Tensor, label: int | None) -> tuple[Logits, NDArray[np.int64] | None]:
        if not self.game.conditional:
            return judge(self.discriminator, items, None), None
        candidates = range(len(self.space.classes)) if label is None else [label]
        rows = [
            judge(self.discriminator, items, torch.full((len(items),), candidate))
            for candidate in candidates
        ]
        stacked = np.stack(rows)
        best = stacked.argmax(0)
        return stacked.max(0), np.array(candidates, dtype=np.int64)[best]


class Probe(NamedTuple):
    """What discriminators are measured on: at most 1,000 real items, stored, and as many latents;
    both with their labels.
    """

    reals: NDArray[np.generic]
    real_labels: NDArray[np.int64] | None
    latents: NDArray[np.float32]
    fake_labels: NDArray[np.int64]

    @classmethod
    def of(
        cls, sampler: Sampler, reals: NDArray[np.generic], labels: NDArray[np.int64] | None
    ) -> "Probe":
        """The same latents each time; they depend on the sampler's game and space alone."""
        return cls(
            np.array(reals[:CALIBRATION_ITEMS]),
            None if labels is None else np.array(labels[:CALIBRATION_ITEMS]),
            sampler.latents(_CALIBRATION_SEED, 0, CALIBRATION_ITEMS),
            sampler.labels(_CALIBRATION_SEED, 0, CALIBRATION_ITEMS),
        )


def calibrate(sampler: Sampler, discriminator: Discriminator, probe: Probe) -> Calibration:
    """Measure a discriminator, which must be in evaluation mode."""
    fakes = sampler.draw(probe.latents, probe.fake_labels)
    labels = None if probe.real_labels is None else torch.from_numpy(probe.real_labels)
    with torch.inference_mode():
        real = to_network(probe.reals, sampler.space, sampler.device)
        fake = to_network(fakes, sampler.space, sampler.device)
        return Calibration.of(
            judge(discriminator, real, labels, sampler.batch_size),
            judge(discriminator, fake, torch.from_numpy(probe.fake_labels), sampler.batch_size),
        )


def judge(
    discriminator: Discriminator,
    items: Tensor,
    labels: Tensor | None,
    batch_size: int = FIXED_BATCH,
    company: Company | None = None,
) -> Logits:
    """Logits [n] of items as the networks see them, in batches of one size."""
    logits = []
    for start in range(0, len(items), batch_size):
        some = items[start : start + batch_size]
        missing = batch_size - len(some)
        padded = torch.cat([some, some[:1].expand(missing, *some.shape[1:])])
        if labels is not None:
            chosen = labels[start : start + batch_size].to(items.device)
            chosen = torch.cat([chosen, chosen[:1].expand(missing)])
        logits.append(
            discriminator.score(padded, None if labels is None else chosen, company)[: len(some)]
            .float()
            .cpu()
        )
    gathered: Logits = torch.cat(logits).numpy()
    return gathered
