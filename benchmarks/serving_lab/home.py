"""A home with models of random weights, committed as trainings commit theirs."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganmodels.calibration import QUANTILES
from ganmodels.config import TrainConfig
from ganmodels.games import Gan
from ganmodels.latents import Latent
from ganmodels.networks import R3, Dcgan
from ganmodels.optimisation import Optimisation
from ganmodels.spaces import ImageSpace
from worker.store import Store
from worker.store.checkpoints import Environment, Manifest, commit
from worker.store.files import now
from worker.store.records import JobRecord

LATENT_WIDTH = 100
# No dataset is looked at for a sample.
_DATASET = "ds_" + "0" * 32
_SETTLING_ITEMS = 64


# Radford's generator: a stem and doublings, 64 channels at half of the resolution.
_RADFORD = Dcgan(generator_width=64, discriminator_width=64, extra_convolutions=False)


class Size(NamedTuple):
    """What a generator draws, square images of so many pixels a side, and its networks."""

    pixels: int
    channels: int
    network: Dcgan | R3 = _RADFORD

    @property
    def image_bytes(self) -> int:
        """One image as it is stored."""
        return self.pixels**2 * self.channels


# Generators of 3.58 and 1.07 million parameters: 209 and 35 million operations an image.
LARGE, SMALL = Size(64, 3), Size(32, 1)
SIZES: Mapping[str, Size] = {"large": LARGE, "small": SMALL}
# Of the recipe for GPUs that is not too large for any; without norms, in bfloat16 or not.
R3GAN = Size(32, 3, R3(widths=(192, 128, 64)))


def add_model(home: Path, name: str, size: Size, seed: int) -> Path:
    """Commit a model's first version; returns the checkpoint's directory."""
    store, config = Store(home), config_of(size)
    job = store.jobs.create(config, JobRecord(recipe="dcgan", model=name))
    store.models.add_job(name, job.id)
    claim = job.claim()
    assert claim is not None
    claim.begin(0)
    files = {**_networks(config, seed), "calibration": _calibration()}
    manifest = Manifest(
        job=job.id,
        epoch=claim.epoch.number,
        step=1,
        images_seen=0,
        created_at=now(),
        environment=Environment(
            torch=torch.__version__, device="cpu", threads=1, precision="float32"
        ),
    )
    checkpoint = commit(claim.epoch.checkpoint_path(1), files, config, manifest)
    store.models.add_version(name, job.id, 1, checkpoint.digest)
    job.settle(claim, "succeeded", None)
    return checkpoint.path


def config_of(size: Size) -> TrainConfig:
    """A plain game of the size's networks, for a dataset that is not there."""
    settings = {
        "dataset": _DATASET,
        "space": ImageSpace(height=size.pixels, width=size.pixels, channels=size.channels),
        "game": Gan(network=size.network, latent=Latent(gaussian=LATENT_WIDTH)),
        "optimisation": Optimisation(),
        "schedule": {},
    }
    return TrainConfig.model_validate(settings)


def _networks(config: TrainConfig, seed: int) -> Mapping[str, Mapping[str, Tensor]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = config.game.networks(config)
        _settle(networks["generator"])
    return {name: dict(network.state_dict()) for name, network in networks.items()}


@torch.no_grad()
def _settle(generator: nn.Module) -> None:
    """Give the norms the statistics of a batch: without them all images would be plain grey."""
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            # The mean over all batches so far, of which there is one.
            module.momentum = None
    generator.train()
    generator(torch.randn(_SETTLING_ITEMS, LATENT_WIDTH), None)
    generator.eval()


def _calibration() -> Mapping[str, Tensor]:
    quantiles = torch.linspace(-1, 1, QUANTILES)
    return {"real": quantiles, "fake": quantiles.clone()}


def loaded_bytes(checkpoint: Path) -> int:
    """What the networks of a checkpoint occupy as they are stored."""
    return sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))
