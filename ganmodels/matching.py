"""Feature matching: the generator imitates what the discriminator sees, not what it thinks."""

from pydantic import Field
from torch import Tensor

from ganmodels.spec import Spec
from ganmodels.types import Scalar


class FeatureMatching(Spec):
    """The generator's loss: how far the mean features of fakes are from those of reals.

    ``adversarial_weight`` of the objective's own loss beside it; the paper has none of it.
    Source: Salimans et al. 2016 (arXiv:1606.03498), section 3.1.
    """

    weight: float = Field(default=1.0, gt=0, le=1e4)
    adversarial_weight: float = Field(default=0.0, ge=0, le=1e4)

    def loss(self, real: Tensor, fake: Tensor, adversarial: Scalar) -> Scalar:
        """From features [batch, width] of both and the objective's loss."""
        return self.weight * distance(real, fake) + self.adversarial_weight * adversarial


def distance(real: Tensor, fake: Tensor) -> Scalar:
    """Mean square of the difference between mean features."""
    return (real.mean(0) - fake.mean(0)).square().mean()
