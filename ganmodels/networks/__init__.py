"""The unions of network families. To add one: write its file and add its name here.

``Network`` makes items of latents, ``ImageNetwork`` images of images.
"""

from typing import Annotated

from pydantic import Field

from ganmodels.networks.dcgan import Dcgan
from ganmodels.networks.maxout import Maxout
from ganmodels.networks.mlp import Mlp
from ganmodels.networks.noisy import NoisyMlp
from ganmodels.networks.r3 import R3
from ganmodels.networks.refiner import ResidualRefiner
from ganmodels.networks.resnet import Resnet
from ganmodels.networks.tiny import Tiny
from ganmodels.networks.translator import ResidualTranslator

Network = Annotated[
    Mlp | NoisyMlp | Maxout | Dcgan | Tiny | Resnet | R3, Field(discriminator="kind")
]
ImageNetwork = Annotated[ResidualTranslator | ResidualRefiner, Field(discriminator="kind")]

__all__ = [
    "R3",
    "Dcgan",
    "ImageNetwork",
    "Maxout",
    "Mlp",
    "Network",
    "NoisyMlp",
    "ResidualRefiner",
    "ResidualTranslator",
    "Resnet",
    "Tiny",
]
