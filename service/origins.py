"""Where the latents of a drawing come from: a seed, a list, a mix, a plane or a path."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ganmodels.latents import Latent
from ganmodels.mixing import Easing, Mode, along, mixed, on_plane
from ganmodels.sampling import Sampler
from service.codes import Codes

LatentArray = NDArray[np.float32]
LabelArray = NDArray[np.int64]


class Origin(Protocol):
    """Latents and labels by the index of an item; neither depends on how many are asked for."""

    def latents(self, latent: Latent, first: int, count: int) -> LatentArray:
        """Latents [count, width] of the items from ``first`` on, before truncation."""

    def labels(self, sampler: Sampler, first: int, count: int) -> LabelArray:
        """Labels [count] of the same items, where none was asked for."""


class Named(Origin, Protocol):
    """An origin that can be told in a few words."""

    def parameters(self) -> dict[str, Any]:
        """What it is, as it is written into files and answers."""


def drawn(
    origin: Origin, latent: Latent, items: range, truncation: float, codes: Codes | None
) -> LatentArray:
    """Latents [n, width] of some items of an origin, truncated and with codes where any are given.

    Raises:
        ValueError: when the codes are not those of ``latent``.
    """
    found = latent.truncate(origin.latents(latent, items.start, len(items)), truncation)
    return found if codes is None else latent.with_codes(found, codes)


class Seeded(NamedTuple):
    """The latents of a seed; item 0 is the one with the index ``offset``."""

    seed: int
    offset: int = 0

    def latents(self, latent: Latent, first: int, count: int) -> LatentArray:
        """By seed and index alone."""
        return latent.run(self.seed, self.offset + first, count)

    def labels(self, sampler: Sampler, first: int, count: int) -> LabelArray:
        """By seed and index alone."""
        return sampler.labels(self.seed, self.offset + first, count)

    def parameters(self) -> dict[str, Any]:
        """The seed; where items begin is told of every origin."""
        return {"seed": self.seed}


class Listed(NamedTuple):
    """A latent of its own for each item, [n, width]; labels are those of seed 0."""

    values: LatentArray

    def latents(self, latent: Latent, first: int, count: int) -> LatentArray:
        """In their order."""
        return self.values[first : first + count]

    def labels(self, sampler: Sampler, first: int, count: int) -> LabelArray:
        """By the place in the list."""
        return sampler.labels(0, first, count)

    def parameters(self) -> dict[str, Any]:
        """Nothing: the latents are many and their sender has them."""
        return {}


class Given(NamedTuple):
    """One latent [width] for all items; labels are those of seed 0."""

    values: LatentArray

    def latents(self, latent: Latent, first: int, count: int) -> LatentArray:
        """The same for each item."""
        return np.repeat(self.values[None], count, axis=0)

    def labels(self, sampler: Sampler, first: int, count: int) -> LabelArray:
        """As ``POST /sample`` has them."""
        return sampler.labels(0, first, count)


class Mix(NamedTuple):
    """Item i is a mix of item i of every term; its label is that of the first term."""

    terms: tuple[Origin, ...]
    weights: tuple[float, ...]
    mode: Mode
    text: str = ""

    def latents(self, latent: Latent, first: int, count: int) -> LatentArray:
        """As ``ganmodels.mixing.mixed`` says."""
        terms = np.stack([term.latents(latent, first, count) for term in self.terms])
        return mixed(latent, terms, np.array(self.weights)[:, None], self.mode)

    def labels(self, sampler: Sampler, first: int, count: int) -> LabelArray:
        """Those of the first term."""
        return self.terms[0].labels(sampler, first, count)

    def parameters(self) -> dict[str, Any]:
        """As the query has it."""
        return {"mix": self.text, "mix_mode": self.mode}


class Plane(NamedTuple):
    """A grid, row by row, over the plane through the first items of seeds a, b and c.

    a is the first corner, b ends its row and c its column. All have the label of a.
    """

    seeds: tuple[int, int, int]
    rows: int
    columns: int
    mode: Mode

    def latents(self, latent: Latent, first: int, count: int) -> LatentArray:
        """As ``ganmodels.mixing.on_plane`` says."""
        row, column = np.divmod(np.arange(first, first + count), self.columns)
        corners = np.stack([latent.at(seed, 0) for seed in self.seeds])
        across, down = column / max(1, self.columns - 1), row / max(1, self.rows - 1)
        return on_plane(latent, corners, across, down, self.mode)

    def labels(self, sampler: Sampler, first: int, count: int) -> LabelArray:
        """That of a, for all."""
        return np.repeat(sampler.labels(self.seeds[0], 0, 1), count)

    def parameters(self) -> dict[str, Any]:
        """As the query has it."""
        a, b, c = self.seeds
        shape = {"rows": self.rows, "columns": self.columns, "mode": self.mode}
        return {"plane": {"a": a, "b": b, "c": c, **shape}}


class Path(NamedTuple):
    """Frames through the first items of keyframes, all with the label of the first of them.

    ``described`` is what the client asked for.
    """

    keyframes: tuple[Origin, ...]
    steps: int
    mode: Mode
    easing: Easing
    described: dict[str, Any]

    def latents(self, latent: Latent, first: int, count: int) -> LatentArray:
        """As ``ganmodels.mixing.along`` says."""
        keyframes = np.concatenate([one.latents(latent, 0, 1) for one in self.keyframes])
        places = np.arange(first, first + count) / self.steps
        return along(latent, keyframes, places, self.mode, self.easing)

    def labels(self, sampler: Sampler, first: int, count: int) -> LabelArray:
        """That of the first keyframe, for all."""
        return np.repeat(self.keyframes[0].labels(sampler, 0, 1), count)

    def parameters(self) -> dict[str, Any]:
        """As the body has it."""
        return {"interpolation": self.described}
