"""What an evaluation found: figures, each with its error and its floor, and the protocol."""

from typing import Literal

from pydantic import Field

from ganmodels.referee.config import Measure
from ganmodels.spec import Spec


class Figure(Spec):
    """One number.

    ``floor`` is the same measure with real items in place of generated ones, which is what a
    perfect generator would get. ``better``: the direction; ``half`` means that 0.5 is perfect.
    ``at_least``: nothing was found to measure, and ``value`` is a lower bound.
    """

    value: float
    standard_error: float | None = None
    floor: float | None = None
    better: Literal["lower", "higher", "half"]
    at_least: bool = False


class UsedProtocol(Spec):
    """The protocol as it was used: nothing is ``auto`` any more.

    ``features_accuracy``: the share of held-out items that a classifier labels rightly.
    """

    measures: tuple[Measure, ...]
    samples: int
    reference: Literal["held_out", "training"]
    reference_samples: int
    features: Literal["inception", "classifier", "random", "pixels"]
    features_sha256: str
    features_accuracy: float | None = None
    weights: Literal["average", "current"]
    seed: int


class Findings(Spec):
    """All figures of one checkpoint, by name, and why a measure was left out."""

    protocol: UsedProtocol
    figures: dict[str, Figure]
    left_out: dict[Measure, str] = Field(default_factory=dict)
