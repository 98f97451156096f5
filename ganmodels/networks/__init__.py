"""The union of network families. To add one: write its file and add its name here."""

from typing import Annotated

from pydantic import Field

from ganmodels.networks.dcgan import Dcgan
from ganmodels.networks.mlp import Mlp
from ganmodels.networks.noisy import NoisyMlp
from ganmodels.networks.resnet import Resnet

Network = Annotated[Mlp | NoisyMlp | Dcgan | Resnet, Field(discriminator="kind")]

__all__ = ["Dcgan", "Mlp", "Network", "NoisyMlp", "Resnet"]
