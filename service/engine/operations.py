"""What a loaded model does to rows: draw, translate, score, observe, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ganmodels.layers import Features, features
from ganmodels.sampling import Sampler
from ganmodels.scoring import Scores
from service.engine.models import LoadedModel
from service.engine.orders import Rows

Items = NDArray[np.generic]
_SCORED_AT_ONCE = 64


class _OfItems:
    """Rows are inputs and labels, results the items."""

    name: ClassVar[str]

    def sampler(self, model: LoadedModel) -> Sampler:
        """The generator that is meant."""
        raise NotImplementedError

    def batch_sizes(self, model: LoadedModel) -> Sequence[int]:
        """Those for which the generator was prepared."""
        return self.sampler(model).batch_sizes

    def compute(self, model: LoadedModel, rows: Rows) -> Items:
        """Items [n, ...]."""
        inputs, labels = rows
        return self.sampler(model).draw(inputs, labels)

    def part(self, results: Items, start: int, stop: int) -> Items:
        """Some of the items."""
        return results[start:stop]

    def join(self, parts: Sequence[Items]) -> Items:
        """All of the items."""
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


@dataclass(frozen=True)
class Draw(_OfItems):
    """Items of latents and labels."""

    name: ClassVar[str] = "draw"

    def sampler(self, model: LoadedModel) -> Sampler:
        """The model's generator."""
        return model.sampler


@dataclass(frozen=True)
class Translate(_OfItems):
    """Items of stored items, in a direction."""

    name: ClassVar[str] = "translate"
    direction: str

    def sampler(self, model: LoadedModel) -> Sampler:
        """The generator of that direction."""
        return model.translators[self.direction]


@dataclass(frozen=True)
class Score:
    """Scores of stored items and the labels that they are judged under."""

    name: ClassVar[str] = "score"

    def batch_sizes(self, model: LoadedModel) -> Sequence[int]:
        """Several batches of the scorer's own."""
        return (_SCORED_AT_ONCE,)

    def compute(self, model: LoadedModel, rows: Rows) -> Scores:
        """Scores of n items."""
        items, labels = rows
        return model.scorer.score(items, labels)

    def part(self, results: Scores, start: int, stop: int) -> Scores:
        """Scores of some of the items."""
        return results.part(start, stop)

    def join(self, parts: Sequence[Scores]) -> Scores:
        """Scores of all of them."""
        return Scores.join(parts)


@dataclass(frozen=True)
class Observe:
    """What a layer of the discriminator holds of stored items, under labels as ``Score``'s."""

    layer: str
    name: ClassVar[str] = "observe"

    def batch_sizes(self, model: LoadedModel) -> Sequence[int]:
        """Several batches of the scorer's own."""
        return (_SCORED_AT_ONCE,)

    def compute(self, model: LoadedModel, rows: Rows) -> Features:
        """Features [n, ...]."""
        items, labels = rows
        return features(model.scorer, items, labels, self.layer)

    def part(self, results: Features, start: int, stop: int) -> Features:
        """Those of some of the items."""
        return results[start:stop]

    def join(self, parts: Sequence[Features]) -> Features:
        """Those of all of them."""
        return np.concatenate(parts)


@dataclass(frozen=True)
class Ask:
    """Nothing is computed: the model is only asked for what it knows."""

    name: ClassVar[str] = "ask"

    def batch_sizes(self, model: LoadedModel) -> Sequence[int]:
        """Orders of no rows always fit."""
        return (1,)

    def compute(self, model: LoadedModel, rows: Rows) -> Any:
        """Never called."""
        raise NotImplementedError

    def part(self, results: Any, start: int, stop: int) -> Any:
        """Never called."""
        raise NotImplementedError

    def join(self, parts: Sequence[Any]) -> Any:
        """Never called."""
        raise NotImplementedError
