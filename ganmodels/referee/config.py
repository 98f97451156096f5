"""What the referee is asked to do: how to measure, when to warn, when to stop."""

from typing import Literal, get_args

from pydantic import Field

from ganmodels.latents import MAX_SEED
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec

Measure = Literal[
    "frechet",
    "kernel",
    "manifold",
    "sliced_wasserstein",
    "ms_ssim",
    "critic",
    "neighbours",
    "modes",
    "support",
]
MEASURES: tuple[Measure, ...] = get_args(Measure)
Rank = Literal["frechet", "kernel", "sliced_wasserstein"]
FeatureKind = Literal["auto", "inception", "classifier", "random", "pixels"]
Failure = Literal[
    "divergence",
    "mode_collapse",
    "oscillation",
    "discriminator_overpowering",
    "generator_exploiting",
    "discriminator_overfitting",
    "memorisation",
    "not_learning",
]
Action = Literal["continue", "pause", "stop", "rollback"]


class Protocol(Spec):
    """How an evaluation measures. The protocol is part of every number it gives.

    At most ``samples`` generated items are compared with as many real ones of ``reference``; of
    the training split it is at most half, so that the other half gives a floor. ``auto``
    features are a classifier's where the dataset has labels, else random convolutions for
    images and the values themselves for points. ``auto`` reference is the held-out split where
    it holds 500 items or more, else the training split. ``weights``: ``average`` is what
    ``/sample`` serves.
    """

    measures: tuple[Measure, ...] = Field(default=MEASURES, min_length=1, max_length=len(MEASURES))
    samples: int = Field(default=2_000, ge=20, le=50_000)
    reference: Literal["auto", "held_out", "training"] = "auto"
    features: FeatureKind = "auto"
    weights: Literal["average", "current"] = "average"
    seed: int = Field(default=0, ge=0, le=MAX_SEED)

    def impossible_on(self, space: Space) -> str | None:
        """Why the features cannot be taken of this space, if they cannot."""
        if self.features == "classifier" and len(space.classes) < 2:
            return "classifier features need a dataset with labels of two classes or more"
        if self.features in ("inception", "random") and not isinstance(space, ImageSpace):
            return f"{self.features} features are of images; for points ask for pixels"
        return None


class Actions(Spec):
    """What to do when a diagnosis is made first; a warning is given in any case.

    ``pause`` and ``stop`` save a checkpoint first; ``stop`` ends the job as failed. ``rollback``
    goes back to the last checkpoint before the failure and on with half of the learning rates.
    """

    divergence: Action = "continue"
    mode_collapse: Action = "continue"
    oscillation: Action = "continue"
    discriminator_overpowering: Action = "continue"
    generator_exploiting: Action = "continue"
    discriminator_overfitting: Action = "continue"
    memorisation: Action = "continue"
    not_learning: Action = "continue"


class Referee(Spec):
    """Warnings, evaluations on a cadence, and what the best checkpoint is.

    The match is looked at with the first metrics at or after every ``read_every``-th step; the
    thresholds of the diagnoses hold for 50 steps or more between two readings.
    The first checkpoint at or after every ``evaluate_every``-th step is evaluated beside the
    training, and the last one where any was; 0 means only when asked for. The best checkpoint
    is the one with the least ``best_by``.
    """

    read_every: int = Field(default=50, ge=1, le=10**6)
    on_warning: Actions = Actions()
    max_rollbacks: int = Field(default=2, ge=0, le=10)
    evaluate_every: int = Field(default=5_000, ge=0, le=10**8)
    protocol: Protocol = Protocol()
    best_by: Rank = "frechet"


class Plateau(Spec):
    """Nothing gained: ``patience`` evaluations in a row, each no better than the best before by
    more than ``min_improvement`` (a share of it) and by more than its error.
    """

    measure: Rank = "frechet"
    patience: int = Field(default=5, ge=1, le=1000)
    min_improvement: float = Field(default=0.02, ge=0, lt=1)


class Equilibrium(Spec):
    """A freshly trained critic cannot tell: ``patience`` evaluations in a row whose critic is
    right on held-out items no more often than half, within ``errors`` standard errors.

    The discriminator in the loop proves nothing by being right half of the time.
    """

    patience: int = Field(default=3, ge=1, le=1000)
    errors: float = Field(default=3.0, gt=0, le=10)


class StopRules(Spec):
    """When to end before the last step. Plateau and equilibrium need evaluations."""

    max_images: int | None = Field(default=None, ge=1, le=10**12)
    plateau: Plateau | None = None
    equilibrium: Equilibrium | None = None
