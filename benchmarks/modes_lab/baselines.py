"""What a run is read against: trivial samplers, a perfect one, and what was published."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

from benchmarks.lab.report import Kind, Row, published
from benchmarks.modes_lab.densities import DENSITIES, Points
from benchmarks.modes_lab.measure import Figures, measure
from benchmarks.referee_lab.datasets import dataset

SAMPLES = 2_500
_REPEATS = 100

# Lin et al. 2017 (arXiv:1712.04086), table 1; nobody measured the spread.
_PUBLISHED: Mapping[str, Row] = MappingProxyType(
    {
        "ring": published("PacGAN2", {"modes": 7.9, "quality": 0.956, "divergence": 0.07}),
        "grid": published("PacGAN4", {"modes": 24.8, "quality": 0.936, "divergence": 0.04}),
    }
)


def beside(name: str) -> Iterator[Row]:
    """Means over 100 sets of as many samples as a generator is asked for, and published figures."""
    density, random = DENSITIES[name], np.random.default_rng(0)
    reals = training_points(name)
    yield _mean("baseline", "uniform box", name, lambda: density.box(SAMPLES, random))
    yield _mean("baseline", "training points again", name, lambda: random.choice(reals, SAMPLES))
    yield _mean("bound", "perfect sampler", name, lambda: density.sample(SAMPLES, random))
    row = _PUBLISHED[name]
    yield row._replace(name=f"{name}: {row.name}, mean of 10 runs")


def training_points(name: str) -> Points:
    """The points that a recipe learns from."""
    data = dataset(name)
    assert data is not None, "the densities are built in"
    return np.asarray(data.items[data.training_indices], np.float64)


def _mean(kind: Kind, called: str, name: str, draw: Callable[[], Points]) -> Row:
    found = [measure(draw(), DENSITIES[name]) for _ in range(_REPEATS)]
    figures = Figures(*(float(column) for column in np.mean(found, axis=0)))
    return Row(kind, f"{name}: {called}", figures._asdict())
