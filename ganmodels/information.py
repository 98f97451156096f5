"""InfoGAN: the discriminator recovers codes from fakes, so that the generator lets them show."""

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganmodels.latents import Latent
from ganmodels.spec import Spec
from ganmodels.types import Latents, Scalar


class Information(Spec):
    """How strongly both networks gain from what fakes tell of their codes.

    The weights of the cross-entropy of categorical codes, and of the negative log-likelihood
    under unit variance of continuous ones: together a bound on the mutual information.
    Source: Chen et al. 2016 (arXiv:1606.03657), equation 5; both weights are 1 there.
    """

    categorical_weight: float = Field(default=1.0, ge=0, le=100)
    continuous_weight: float = Field(default=0.1, ge=0, le=100)
    hidden_width: int = Field(default=128, ge=1, le=4096)

    def recogniser(self, features: int, latent: Latent) -> nn.Module:
        """Features [batch, features] to logits and means of the codes [batch, code_width]."""
        return nn.Sequential(
            nn.Linear(features, self.hidden_width),
            nn.LeakyReLU(0.2),
            nn.Linear(self.hidden_width, latent.code_width),
        )

    def loss(self, recognised: Tensor, latents: Latents, latent: Latent) -> Scalar:
        """How badly codes were recognised; its negative bounds the information but for a constant.

        The categorical codes' terms are added up, and so are the continuous ones'.
        """
        codes, start = latent.codes(latents), 0
        loss = recognised.new_zeros(())
        for choices in latent.categorical:
            span = slice(start, start + choices)
            term = cross_entropy(recognised[:, span], codes[:, span])
            loss, start = loss + self.categorical_weight * term, start + choices
        errors = (recognised[:, start:] - codes[:, start:]).square() / 2
        return loss + self.continuous_weight * errors.sum(1).mean()
