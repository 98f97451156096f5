"""Adversarial objectives: what both networks minimise, as functions of logits.

Means are over all logits: one an item, or one a patch of it. Only pairs need one an item.

An objective has no weights, so its specification carries the mathematics. To add one: write the
class here and add its name to ``Objective``; schema, validation, construction and tests follow.

``boundary`` is the logit above which D takes an item for real; None where only differences count.
``slope_never_ends`` says that D gains from every fake, wherever its logit is.
"""

import math
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from ganmodels.spec import Spec
from ganmodels.types import Logits, Scalar

Verdicts = Float[Tensor, "batch *patch"]


class _Classifier(Spec):
    """D tells reals from fakes by cross entropy; the two networks of the first GAN differ in G.

    ``real_target`` below 1 is one-sided label smoothing: D is asked to be that sure of reals, and
    as sure as ever of fakes, because a fake target above 0 would hold on to wrong modes.
    Source: Salimans et al. 2016 (arXiv:1606.03498), section 3.4.
    """

    paired: ClassVar[bool] = False
    needs_lipschitz: ClassVar[bool] = False
    slope_never_ends: ClassVar[bool] = True
    real_target: float = Field(default=1.0, gt=0.5, le=1)

    @property
    def boundary(self) -> float:
        """The logit at which reals and fakes are equally likely: 0 without smoothing."""
        return math.log(self.real_target / (2 - self.real_target))

    def discriminator_loss(self, real: Verdicts, fake: Verdicts) -> Scalar:
        """-t log D(x) - (1 - t) log(1 - D(x)) - log(1 - D(G(z))), mean; t is ``real_target``."""
        # softplus(x) = softplus(-x) + x, so that smoothing costs one more mean.
        smoothing = (1 - self.real_target) * real.mean()
        return softplus(-real).mean() + smoothing + softplus(fake).mean()


class Minimax(_Classifier):
    """The saturating loss of the first GAN: G minimises log(1 - D(G(z))).

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), equation 1.
    """

    kind: Literal["minimax"] = "minimax"

    def generator_loss(self, real: Verdicts | None, fake: Verdicts) -> Scalar:
        """log(1 - D(G(z))), mean; its gradient vanishes when D is sure."""
        return -softplus(fake).mean()


class NonSaturating(_Classifier):
    """The loss used in practice: G minimises -log D(G(z)).

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 3.
    """

    kind: Literal["non_saturating"] = "non_saturating"

    def generator_loss(self, real: Verdicts | None, fake: Verdicts) -> Scalar:
        """-log D(G(z)), mean."""
        return softplus(-fake).mean()


class LeastSquares(Spec):
    """Least squares with targets 0 (fake) and 1 (real), each term with the factor 1/2.

    Source: Mao et al. 2017 (arXiv:1611.04076), equation 9.
    """

    kind: Literal["least_squares"] = "least_squares"
    paired: ClassVar[bool] = False
    needs_lipschitz: ClassVar[bool] = False
    slope_never_ends: ClassVar[bool] = False
    boundary: ClassVar[float | None] = 0.5

    def discriminator_loss(self, real: Verdicts, fake: Verdicts) -> Scalar:
        """(D(x) - 1)^2 / 2 + D(G(z))^2 / 2, mean."""
        return (real - 1).square().mean() / 2 + fake.square().mean() / 2

    def generator_loss(self, real: Verdicts | None, fake: Verdicts) -> Scalar:
        """(D(G(z)) - 1)^2 / 2, mean."""
        return (fake - 1).square().mean() / 2


class Hinge(Spec):
    """Hinge loss: D stops pushing logits that are beyond the margin.

    Source: Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), equation 16.
    """

    kind: Literal["hinge"] = "hinge"
    paired: ClassVar[bool] = False
    needs_lipschitz: ClassVar[bool] = False
    slope_never_ends: ClassVar[bool] = False
    boundary: ClassVar[float | None] = 0.0
    margin: float = Field(default=1.0, gt=0, le=100)

    def discriminator_loss(self, real: Verdicts, fake: Verdicts) -> Scalar:
        """max(0, m - D(x)) + max(0, m + D(G(z))), mean."""
        return torch.relu(self.margin - real).mean() + torch.relu(self.margin + fake).mean()

    def generator_loss(self, real: Verdicts | None, fake: Verdicts) -> Scalar:
        """-D(G(z)), mean."""
        return -fake.mean()


class Wasserstein(Spec):
    """The critic's estimate of the earth mover's distance; needs a Lipschitz discriminator.

    Source: Arjovsky et al. 2017 (arXiv:1701.07875), equation 2.
    """

    kind: Literal["wasserstein"] = "wasserstein"
    paired: ClassVar[bool] = False
    needs_lipschitz: ClassVar[bool] = True
    slope_never_ends: ClassVar[bool] = True
    boundary: ClassVar[float | None] = None

    def discriminator_loss(self, real: Verdicts, fake: Verdicts) -> Scalar:
        """Mean D(G(z)) - mean D(x)."""
        return fake.mean() - real.mean()

    def generator_loss(self, real: Verdicts | None, fake: Verdicts) -> Scalar:
        """-mean D(G(z))."""
        return -fake.mean()


class RelativisticPairing(Spec):
    """Each fake is judged against one real item: only the difference of logits counts.

    Source: Jolicoeur-Martineau 2019 (arXiv:1807.00734); Huang et al. 2024 (arXiv:2501.05441),
    equation 2. G's loss needs real logits too, of a fresh batch.
    """

    kind: Literal["relativistic_pairing"] = "relativistic_pairing"
    paired: ClassVar[bool] = True
    needs_lipschitz: ClassVar[bool] = False
    slope_never_ends: ClassVar[bool] = True
    boundary: ClassVar[float | None] = None

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """softplus(-(D(x) - D(G(z)))), mean over the pairs.

        Raises:
            ValueError: when the batches do not pair.
        """
        _require_pairs(real, fake)
        return softplus(fake - real).mean()

    def generator_loss(self, real: Logits | None, fake: Logits) -> Scalar:
        """softplus(-(D(G(z)) - D(x))), mean over the pairs.

        Raises:
            ValueError: without real logits, or when the batches do not pair.
        """
        if real is None:
            raise ValueError("relativistic pairing needs real logits in the generator's step")
        _require_pairs(real, fake)
        return softplus(real - fake).mean()


def _require_pairs(real: Logits, fake: Logits) -> None:
    """Logits of other shapes would be paired each with each, without a word.

    Patches are no pairs either: what is at one place of two images need not correspond.
    """
    if real.shape != fake.shape or real.ndim != 1:
        raise ValueError(
            f"{tuple(real.shape)} real and {tuple(fake.shape)} fake logits do not pair"
        )


Objective = Annotated[
    Minimax | NonSaturating | LeastSquares | Hinge | Wasserstein | RelativisticPairing,
    Field(discriminator="kind"),
]
