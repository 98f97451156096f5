"""What discriminators of patches share: they judge an image by one logit for each place of it."""

from typing import Literal

from torch import Tensor, nn

from ganmodels.networks.blocks import discriminator_layer
from ganmodels.types import Labels

PatchNorm = Literal["instance", "spectral", "none"]


class PatchHead(nn.Module):
    """Feature maps to one logit for each place, labels ignored.

    Source: Shrivastava et al. 2016 (arXiv:1612.07828), section 2.2, "local adversarial loss".
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor, labels: Labels | None) -> Tensor:
        """[batch, features, height, width] to [batch, rows, columns]."""
        logits: Tensor = self.layer(features)
        return logits.squeeze(1)


def patch_layer(layer: nn.Conv2d, norm: PatchNorm) -> nn.Module:
    """A layer of a discriminator of patches: no norm of it joins the items of a batch."""
    if norm == "instance":
        return nn.Sequential(layer, nn.InstanceNorm2d(layer.out_channels))
    return outer_layer(layer, norm)


def outer_layer(layer: nn.Conv2d, norm: PatchNorm) -> nn.Module:
    """The first or the last layer, which no instance normalisation follows."""
    return discriminator_layer(layer, "spectral" if norm == "spectral" else "none")
