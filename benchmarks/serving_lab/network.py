"""A checkpoint's generator, as Ringside prepares it and as users of a framework would write it.

Also imported where peers run: what it imports is all of Ringside that their environments hold.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from ganmodels.config import TrainConfig
from ganmodels.games.match import restore_pair
from ganmodels.preparation import be_repeatable, prepare
from ganmodels.sampling import Sampler
from service.engine.encoding.metadata import METADATA_KEY, as_text
from service.engine.encoding.png import encode_png

CPU = torch.device("cpu")
Items = NDArray[np.generic]


class Prepared(NamedTuple):
    """Our sampler of a checkpoint, and the number format in which it computes."""

    sampler: Sampler
    precision: str


def prepared(checkpoint: Path, device: torch.device = CPU) -> Prepared:
    """The generator as the service runs it."""
    be_repeatable(device)
    config, generator = _read(checkpoint)
    made = prepare(generator, config.game, config.space, device)
    sampler = Sampler(
        config.game, config.space, made.network, device=device, batch_sizes=made.batch_sizes
    )
    return Prepared(sampler, made.precision)


def pillow(item: Items) -> bytes:
    """PNG as it is usually written in Python."""
    buffer = io.BytesIO()
    Image.fromarray(item[..., 0] if item.shape[-1] == 1 else item).save(buffer, "PNG")
    return buffer.getvalue()


class PlainDrawing:
    """Seeds to PNG by the generator in eager float32 and Pillow."""

    def __init__(self, checkpoint: Path) -> None:
        config, self._generator = _read(checkpoint)
        assert config.game.latent is not None
        self._width = config.game.latent.width

    @torch.inference_mode()
    def pictures(self, seeds: Sequence[int]) -> list[bytes]:
        """One PNG for each seed, all drawn as one batch."""
        latents = torch.cat([self._latent(seed) for seed in seeds])
        images = self._generator(latents, None)
        grey = images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return [pillow(item) for item in grey.permute(0, 2, 3, 1).contiguous().numpy()]

    def _latent(self, seed: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(seed)
        return torch.randn(1, self._width, generator=random)


class PreparedDrawing:
    """Seeds to PNG by our prepared generator and our encoder: the pixels that Ringside sends."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def items(self, seeds: Sequence[int]) -> Items:
        """The images, uint8 [count, height, width, channels]."""
        drawn = [(self._sampler.latents(s, 0, 1), self._sampler.labels(s, 0, 1)) for s in seeds]
        latents, labels = zip(*drawn, strict=True)
        return self._sampler.draw(np.concatenate(latents), np.concatenate(labels))

    def pictures(self, seeds: Sequence[int]) -> list[bytes]:
        """One PNG for each seed, with as much metadata as ours has."""
        items = zip(self.items(seeds), seeds, strict=True)
        return [
            encode_png(item, METADATA_KEY, _metadata(seed), is_alone=True) for item, seed in items
        ]


Drawing = PlainDrawing | PreparedDrawing


def drawing(checkpoint: Path, is_prepared: bool) -> Drawing:
    """What a peer runs."""
    if is_prepared:
        return PreparedDrawing(prepared(checkpoint).sampler)
    return PlainDrawing(checkpoint)


def _metadata(seed: int) -> str:
    named = {"model": "large:1", "checkpoint": "0" * 64, "seed": seed, "offset": 0, "n": 1}
    return as_text({**named, "labels": None, "truncation": 1.0})


def _read(checkpoint: Path) -> tuple[TrainConfig, nn.Module]:
    config = TrainConfig.model_validate_json((checkpoint / "config.json").read_bytes())
    weights = {name: load_file(checkpoint / f"{name}.safetensors") for name in config.game.players}
    return config, restore_pair(config, weights)[0]
