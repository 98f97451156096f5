"""What is trained: networks of the usual widths on images of random pixels, whose speed is that of
any others.
"""

import json
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.training_lab.textbook import Procedure, Textbook
from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches, Deck
from ganmodels.games.match import Match
from ganmodels.games.recorded import record
from ganmodels.merging import settings
from ganmodels.several import WHOLE, Share
from ganmodels.spaces import ImageSpace
from ganmodels.validity import check
from worker.engine import autocast_dtype, describe

_COUNT = 4_000
_PLAIN = {"conditioning": {"kind": "none"}, "labels": {"kind": "given"}}
# The textbook's.
_ADAM = {"kind": "adam", "learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999}
_PACE = {"generator": _ADAM, "discriminator": _ADAM, "decay": {"kind": "constant"}}
# As the DCGAN example has it: 3.58 million parameters in the generator of 64x64x3.
_WIDTH = 64


class Setup(NamedTuple):
    """A training: what is played on images of which size, and what the textbook calls it."""

    name: str
    edge: int
    channels: int
    batch_size: int
    recipe: str
    game: dict[str, Any]
    procedure: Procedure = "logistic"

    @property
    def space(self) -> ImageSpace:
        """Of the images."""
        return ImageSpace(height=self.edge, width=self.edge, channels=self.channels)

    def items(self) -> NDArray[np.uint8]:
        """Images of random pixels [count, edge, edge, channels]."""
        shape = (_COUNT, self.edge, self.edge, self.channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def config(self, **game: Any) -> TrainConfig:
        """The checked configuration, with changes of the game."""
        optimisation = {**_PACE, "batch_size": self.batch_size, "burn_in_images": 0}
        changes = {"game": {**self.game, **game}, "optimisation": optimisation, "steps": 10**6}
        resolved: dict[str, Any] = settings(self.recipe, changes, _COUNT)
        resolved |= {"dataset": f"ds_{0:032}", "space": self.space.model_dump(mode="json")}
        config = TrainConfig.model_validate_json(json.dumps(resolved))
        check(config)
        return config

    def match(self, device: torch.device, **game: Any) -> tuple[Match, Deck]:
        """Ringside's training, in the precision that a worker would choose, recorded on a GPU."""
        config = self.config(**game)
        match = Match(config, device, autocast_dtype(describe(config, device, None)))
        record(match)
        return match, self.deck(device)

    def plain_match(self, device: torch.device) -> tuple[Match, Deck]:
        """The same in float32, step by step."""
        return Match(self.config(), device), self.deck(device)

    def deck(self, device: torch.device, share: Share = WHOLE) -> Deck:
        """Batches of its images, or a share of each."""
        size, seed = self.batch_size, self.config().seed
        return Deck(Batches(self.items(), None, self.space, size, seed, device, share=share).at)

    def textbook(self, device: torch.device) -> Textbook:
        """The same training by the book."""
        return Textbook(self.config(), self.items(), self.procedure, device)


def dcgan(edge: int, batch_size: int) -> Setup:
    """DCGAN as the example has it, batch normalisation in both networks."""
    return Setup(f"DCGAN {edge}x{edge}, batch {batch_size}", edge, 3, batch_size, "dcgan", _dcgan())


def bare_discriminator(edge: int, batch_size: int) -> Setup:
    """The same without normalisation in the discriminator."""
    name = f"DCGAN {edge}x{edge}, batch {batch_size}, D without norm"
    return Setup(name, edge, 3, batch_size, "dcgan", _dcgan("none"))


def r1_and_r2(edge: int, batch_size: int) -> Setup:
    """Both zero-centred penalties in every step."""
    game = {**_dcgan("none"), "penalties": [{"kind": "r1"}, {"kind": "r2"}]}
    name = f"DCGAN {edge}x{edge}, batch {batch_size}, R1 + R2"
    return Setup(name, edge, 3, batch_size, "dcgan", game, "r1_r2")


def wgan_gp(edge: int, batch_size: int) -> Setup:
    """Five turns of the critic, its slope held between reals and fakes."""
    name = f"DCGAN {edge}x{edge}, batch {batch_size}, WGAN-GP"
    return Setup(name, edge, 3, batch_size, "wgan-gp", _dcgan("none"), "wgan_gp")


def r3gan_small(batch_size: int) -> Setup:
    """Relativistic pairing with both penalties, on images of 28x28; what settles has settled."""
    game = {"network": {"widths": [64, 32, 16]}}
    return Setup(f"R3GAN-small 28x28, batch {batch_size}", 28, 1, batch_size, "r3gan-small", game)


def perceptrons(batch_size: int) -> Setup:
    """The fully connected GAN of the usual tutorials, on images of 28x28."""
    network = {"generator_widths": [256, 512, 1024], "discriminator_widths": [512, 256]}
    game = {**_PLAIN, "network": {"kind": "mlp", **network}}
    return Setup(f"MLP 28x28, batch {batch_size}", 28, 1, batch_size, "dcgan", game)


def _dcgan(norm: str = "batch") -> dict[str, Any]:
    widths = {"generator_width": _WIDTH, "discriminator_width": _WIDTH}
    network = {"kind": "dcgan", "extra_convolutions": False, "discriminator_norm": norm}
    return {**_PLAIN, "latent": {"gaussian": 100}, "network": {**network, **widths}}
