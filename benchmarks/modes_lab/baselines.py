"""What a run is read against: trivial samplers, a perfect one, and what was published."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from benchmarks.modes_lab.densities import DENSITIES, Points
from benchmarks.modes_lab.measure import Figures, measure
from benchmarks.modes_lab.play import SAMPLES, training_points

REPEATS = 100


class Beside(NamedTuple):
    """Figures of something that is no run here; ``spread`` is None where nobody measured it."""

    kind: Literal["baseline", "ceiling", "published"]
    name: str
    modes: float
    quality: float
    divergence: float
    spread: float | None


# Lin et al. 2017 (arXiv:1712.04086), table 1: PacGAN2 on the ring, PacGAN4 on the grid.
_PUBLISHED: Mapping[str, Beside] = MappingProxyType(
    {
        "ring": Beside("published", "PacGAN2, 10 runs", 7.9, 0.956, 0.07, None),
        "grid": Beside("published", "PacGAN4, 10 runs", 24.8, 0.936, 0.04, None),
    }
)


def published(name: str) -> Beside:
    """The best published figures of a density."""
    return _PUBLISHED[name]


def baselines(name: str) -> Iterator[Beside]:
    """Means over 100 sets of as many samples as a generator is asked for."""
    density, random = DENSITIES[name], np.random.default_rng(0)
    reals = training_points(name)
    yield _mean("baseline", "uniform box", name, lambda: density.box(SAMPLES, random))
    yield _mean("baseline", "training points again", name, lambda: random.choice(reals, SAMPLES))
    yield _mean("ceiling", "perfect sampler", name, lambda: density.sample(SAMPLES, random))


def _mean(
    kind: Literal["baseline", "ceiling"], called: str, name: str, draw: Callable[[], Points]
) -> Beside:
    found: list[Figures] = [measure(draw(), DENSITIES[name]) for _ in range(REPEATS)]
    return Beside(kind, called, *(float(column) for column in np.mean(found, axis=0)))
