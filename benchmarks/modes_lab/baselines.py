"""What a run is read against: trivial samplers, a perfect one, and what was published."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

from benchmarks.lab.report import Kind, Row, published
from benchmarks.modes_lab.densities import DENSITIES, Points
from benchmarks.modes_lab.measure import Figures, measure
from benchmarks.referee_lab.datasets import dataset
from ganmodels.recipes import RECIPES

Draw = Callable[[int, np.random.Generator], Points]

SAMPLES = 2_500
_REPEATS = 100

# Lin et al. 2017 (arXiv:1712.04086), table 1; nobody measured the spread.
_PUBLISHED: Mapping[str, Row] = MappingProxyType(
    {
        "ring": published("PacGAN2", {"modes": 7.9, "quality": 0.956, "divergence": 0.07}),
        "grid": published("PacGAN4", {"modes": 24.8, "quality": 0.936, "divergence": 0.04}),
    }
)


class ClusterNormals:
    """What the recipe's clusters alone are worth, without any game: a normal fitted to each."""

    def __init__(self, points: Points) -> None:
        clusters = RECIPES["points"].game.labels.fit(points, seed=0)
        assert clusters is not None, "the recipe tells clusters"
        labels, self.shares = clusters.nearest(points), clusters.shares.numpy().astype(np.float64)
        members = [points[labels == label] for label in range(len(self.shares))]
        self.means = np.stack([inside.mean(0) for inside in members])
        self.factors = np.stack([np.linalg.cholesky(np.cov(inside.T)) for inside in members])

    def sample(self, count: int, random: np.random.Generator) -> Points:
        """``count`` points, clusters by their share of the data."""
        chosen = random.choice(len(self.shares), count, p=self.shares / self.shares.sum())
        noise = random.standard_normal((count, 2))
        return self.means[chosen] + np.einsum("nij,nj->ni", self.factors[chosen], noise)


def beside(name: str) -> Iterator[Row]:
    """Means over 100 sets of as many samples as a generator is asked for, and published figures."""
    density, reals = DENSITIES[name], training_points(name)
    yield _mean("baseline", "uniform box", name, density.box)
    yield _mean("baseline", "training points again", name, lambda n, rng: rng.choice(reals, n))
    normals = ClusterNormals(reals)
    called = f"a normal in each of {len(normals.means)} clusters"
    yield _mean("baseline", called, name, normals.sample)
    yield _mean("bound", "perfect sampler", name, density.sample)
    row = _PUBLISHED[name]
    yield row._replace(name=f"{name}: {row.name}, mean of 10 runs")


def training_points(name: str) -> Points:
    """The points that a recipe learns from."""
    data = dataset(name)
    assert data is not None, "the densities are built in"
    return np.asarray(data.items[data.training_indices], np.float64)


def _mean(kind: Kind, called: str, name: str, draw: Draw) -> Row:
    random = np.random.default_rng(0)
    found = [measure(draw(SAMPLES, random), DENSITIES[name]) for _ in range(_REPEATS)]
    figures = Figures(*(float(column) for column in np.mean(found, axis=0)))
    return Row(kind, f"{name}: {called}", figures._asdict())
