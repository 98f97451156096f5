"""Latents: the generator's input, drawn in training from a stream, in serving by (seed, index)."""

import threading
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import one_hot

from ganmodels.draws import even, normal, whole
from ganmodels.spec import Spec
from ganmodels.types import Latents

MAX_SEED = 2**63 - 1
LARGEST_CODE = 2.0

Choices = Annotated[int, Field(ge=2, le=1000)]
Code = float | int | None


class Latent(Spec):
    """What one latent is made of, in this order.

    ``gaussian`` standard normal coordinates; ``uniform`` ones in [-1, 1]; ``signs`` that are -1
    or 1; for each entry of ``categorical`` a one-hot code of so many choices; ``continuous``
    codes in [-1, 1]. Codes are what InfoGAN recovers and what users may set.

    Random signs let the generator's support fall apart into pieces, so that fewer samples lie
    between modes. Codes: Chen et al. 2016 (arXiv:1606.03657), section 4.
    """

    gaussian: int = Field(default=64, ge=0, le=1024)
    uniform: int = Field(default=0, ge=0, le=1024)
    signs: int = Field(default=0, ge=0, le=64)
    categorical: tuple[Choices, ...] = Field(default=(), max_length=16)
    continuous: int = Field(default=0, ge=0, le=16)

    @model_validator(mode="after")
    def _has_coordinates(self) -> "Latent":
        if self.width < 1:
            raise ValueError("a latent needs at least one coordinate: set gaussian to 1 or more")
        return self

    @property
    def width(self) -> int:
        """Length of one latent."""
        return self.gaussian + self.uniform + self.signs + self.code_width

    @property
    def code_count(self) -> int:
        """How many codes there are: the categorical ones first, then the continuous ones."""
        return len(self.categorical) + self.continuous

    @property
    def code_width(self) -> int:
        """How many of the last coordinates are codes."""
        return sum(self.categorical) + self.continuous

    @property
    def code_widths(self) -> tuple[int, ...]:
        """How many coordinates each code takes; 1 for a continuous one."""
        return (*self.categorical, *[1] * self.continuous)

    @property
    def code_names(self) -> tuple[str, ...]:
        """The codes as the paper counts them: c1, c2, ..."""
        return tuple(f"c{number + 1}" for number in range(self.code_count))

    def draw(self, count: int, random: torch.Generator) -> Latents:
        """``count`` latents from a stream, on the stream's device."""
        device = random.device
        parts = [normal((count, self.gaussian), random, device)]
        if self.uniform:
            parts.append(_drawn_evenly(count, self.uniform, random))
        if self.signs:
            bits = whole(2, (count, self.signs), random, device)
            parts.append(bits.float() * 2 - 1)
        for choices in self.categorical:
            chosen = whole(choices, (count,), random, device)
            parts.append(one_hot(chosen, choices).float())
        if self.continuous:
            parts.append(_drawn_evenly(count, self.continuous, random))
        return torch.cat(parts, dim=1)

    def at(self, seed: int, index: int) -> NDArray[np.float32]:
        """The latent of image ``index`` under ``seed``: the same on every machine.

        Counter-based (Philox, Salmon et al. 2011): no draw depends on any other index. A test
        holds literal values, because NumPy may change how it makes normal numbers of its bits.
        """
        random = passing_philox(seed, index)
        parts = [random.standard_normal(self.gaussian, dtype=np.float32)]
        if self.uniform:
            parts.append(random.random(self.uniform, dtype=np.float32) * 2 - 1)
        if self.signs:
            signs = random.integers(0, 2, self.signs, dtype=np.int64) * 2 - 1
            parts.append(signs.astype(np.float32))
        parts += [_hot(int(random.integers(choices)), choices) for choices in self.categorical]
        if self.continuous:
            parts.append(random.random(self.continuous, dtype=np.float32) * 2 - 1)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def run(self, seed: int, first: int, count: int) -> NDArray[np.float32]:
        """Latents [count, width] of the images from ``first`` on, each as ``at`` gives it."""
        return np.stack([self.at(seed, index) for index in range(first, first + count)])

    def truncate(self, latents: NDArray[np.float32], truncation: float) -> NDArray[np.float32]:
        """Normal and uniform coordinates scaled by ``truncation`` (1 changes nothing).

        Signs and codes are kept.
        """
        if truncation == 1:
            return latents
        scaled = latents.copy()
        scaled[:, : self.gaussian + self.uniform] *= np.float32(truncation)
        return scaled

    def codes(self, latents: Tensor) -> Tensor:
        """The codes in latents [batch, width], as [batch, code_width]."""
        return latents[:, self.width - self.code_width :]

    def read_codes(self, recognised: Tensor) -> Tensor:
        """Probabilities of choices, then means, from a recogniser's output [batch, code_width]."""
        parts = list(recognised.split([*self.categorical, self.continuous], dim=1))
        return torch.cat([*(part.softmax(1) for part in parts[:-1]), parts[-1]], dim=1)

    def with_codes(
        self, latents: NDArray[np.float32], codes: Sequence[Code]
    ) -> NDArray[np.float32]:
        """Latents [count, width] with these codes, one entry each; None leaves one as drawn.

        A categorical code is the number of a choice, from 0; a continuous one lies in [-2, 2],
        which is beyond what the generator was trained on, to show where it leads.

        Raises:
            ValueError: when there are not ``code_count`` entries, or one is out of its range.
        """
        if len(codes) != self.code_count:
            raise ValueError(f"this model has {self.code_count} codes, {len(codes)} were given")
        changed = latents.copy()
        start = self.width - self.code_width
        for name, code, width in zip(self.code_names, codes, self.code_widths, strict=True):
            if code is not None:
                changed[:, start : start + width] = _encoded(name, code, width)
            start += width
        return changed


def _encoded(name: str, code: float | int, choices: int) -> NDArray[np.float32]:
    """The coordinates of one code; ``choices`` is 1 for a continuous one."""
    if choices == 1:
        if not -LARGEST_CODE <= code <= LARGEST_CODE:
            raise ValueError(f"{name} is continuous: give a number from -2 to 2, not {code}")
        return np.array([code], dtype=np.float32)
    if code not in range(choices):
        raise ValueError(f"{name} is one of {choices}: give 0 to {choices - 1}, not {code}")
    return _hot(int(code), choices)


def _hot(chosen: int, choices: int) -> NDArray[np.float32]:
    hot = np.zeros(choices, dtype=np.float32)
    hot[chosen] = 1
    return hot


def _drawn_evenly(count: int, width: int, random: torch.Generator) -> Tensor:
    """U(-1, 1) of shape [count, width]."""
    return even((count, width), random, random.device) * 2 - 1


def philox(seed: int, index: int, stream: int = 0) -> np.random.Generator:
    """A generator of its own for each (seed, index, stream); all are non-negative."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, stream, index, 0]))


class _Passing(threading.local):
    """A generator for each thread, which is set back in place of making new ones."""

    def __init__(self) -> None:
        self.bits = np.random.Philox(key=0)
        self.random = np.random.Generator(self.bits)
        self.state = self.bits.state


_passing = _Passing()


def passing_philox(seed: int, index: int, stream: int = 0) -> np.random.Generator:
    """As ``philox``, but for at once: the thread's next call takes it away.

    A new generator asks the system for entropy, which it then does not use; to set one back takes
    a third of the time.
    """
    state = _passing.state
    # As a new one has them: words from low to high.
    state["state"] = {
        "counter": np.array([0, stream, index, 0], dtype=np.uint64),
        "key": np.array([seed, 0], dtype=np.uint64),
    }
    _passing.bits.state = state
    return _passing.random
