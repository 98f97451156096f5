"""The loop that tutorials teach, on the same networks: what a user would write without Ringside.

A DataLoader with two workers, float32, networks laid out as they come, Adam as it comes, reals and
fakes in passes of their own, gradients of the discriminator computed in the generator's turn too,
and a handful of ``.item()`` calls a step. The steps are those of PyTorch's DCGAN example, whose
generator learns from the fakes that the discriminator has just seen; with penalties those that the
papers' pseudo-code shows.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from ganmodels.config import TrainConfig

Procedure = Literal["logistic", "r1_r2", "wgan_gp"]
_WORKERS = 2


class Images(Dataset[Tensor]):
    """Images as a tutorial's transforms make them: float32 [channels, height, width] in [-1, 1]."""

    def __init__(self, items: NDArray[np.uint8]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Tensor:
        image = torch.from_numpy(np.array(self._items[index])).permute(2, 0, 1).contiguous()
        return image.float().div(255).sub(0.5).div(0.5)


class Textbook:
    """One training by the book: ``run`` plays some more steps of it."""

    def __init__(
        self,
        config: TrainConfig,
        items: NDArray[np.uint8],
        procedure: Procedure,
        device: torch.device,
        workers: int = _WORKERS,
    ) -> None:
        torch.manual_seed(config.seed)
        networks = config.game.networks(config)
        self.generator = networks["generator"].to(device)
        self.discriminator = networks["discriminator"].to(device)
        self._latent = config.game.latent.width if config.game.latent else 0
        self._batch_size, self._device = config.optimisation.batch_size, device
        self._optimisers = [
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (self.discriminator, self.generator)
        ]
        self._turns = 5 if procedure == "wgan_gp" else 1
        self._procedure: Procedure = procedure
        self._loader = DataLoader(
            Images(items),
            self._batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        # Of real images, without end.
        self.batches = self._endless()
        self.told: list[float] = []

    def run(self, steps: int) -> None:
        """So many updates of the generator, with the discriminator's before each."""
        for _ in range(steps):
            for _ in range(self._turns):
                fake = self._discriminator_turn(next(self.batches).to(self._device))
            self._generator_turn(fake)

    def close(self) -> None:
        """End the loader's workers."""
        del self.batches, self._loader

    def _endless(self) -> Iterator[Tensor]:
        while True:
            yield from self._loader

    def _discriminator_turn(self, real: Tensor) -> Tensor:
        """Returns the fakes, with the way back to the generator."""
        optimiser = self._optimisers[0]
        optimiser.zero_grad()
        made = self.generator(self.noise(), None)
        fake = made.detach()
        if self._procedure == "logistic":
            # Each half is followed back on its own, as the example does.
            loss_real = _labelled(self._logits(real), 1.0)
            loss_real.backward()
            loss_fake = _labelled(self._logits(fake), 0.0)
            loss_fake.backward()
            self.told = [loss_real.item() + loss_fake.item()]
        else:
            loss = self._penalised(real, fake)
            loss.backward()
            self.told = [loss.item()]
        optimiser.step()
        return made

    def _penalised(self, real: Tensor, fake: Tensor) -> Tensor:
        if self._procedure == "wgan_gp":
            ratio = torch.rand(len(real), 1, 1, 1, device=self._device)
            between = (ratio * real + (1 - ratio) * fake).requires_grad_(True)
            slope = _squared_slope(self._logits(between), between).sqrt()
            loss = self._logits(fake).mean() - self._logits(real).mean()
            return loss + 10 * ((slope - 1) ** 2).mean()
        real.requires_grad_(True)
        fake.requires_grad_(True)
        of_real, of_fake = self._logits(real), self._logits(fake)
        penalty = _squared_slope(of_real, real).mean() + _squared_slope(of_fake, fake).mean()
        return _labelled(of_real, 1.0) + _labelled(of_fake, 0.0) + penalty / 2

    def _generator_turn(self, fake: Tensor) -> None:
        optimiser = self._optimisers[1]
        optimiser.zero_grad()
        logits = self._logits(fake)
        loss = -logits.mean() if self._procedure == "wgan_gp" else _labelled(logits, 1.0)
        loss.backward()
        optimiser.step()
        self.told += [loss.item(), logits.mean().item()]

    def _logits(self, items: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(items, None).logits
        return logits

    def noise(self) -> Tensor:
        """New latents [batch, width]."""
        return torch.randn(self._batch_size, self._latent, device=self._device)


def _labelled(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _squared_slope(logits: Tensor, items: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(logits.sum(), items, create_graph=True)
    return gradient.flatten(1).square().sum(1)
