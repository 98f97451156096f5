"""The evaluator of known densities, on samples whose faults are planted."""

import numpy as np
import pytest

from benchmarks.modes_lab.densities import DENSITIES
from benchmarks.modes_lab.measure import BARS, measure
from ganmodels.data.builtin import BUILTIN

COUNT = 2_500
both = pytest.mark.parametrize("name", DENSITIES)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@both
def test_the_density_itself_meets_all_bars(name, random):
    density = DENSITIES[name]
    figures = measure(density.sample(COUNT, random), density)
    # Of a Gaussian in two dimensions, 1 - exp(-9/2) lies within three sigma.
    assert figures.quality == pytest.approx(1 - np.exp(-4.5), abs=0.008)
    # Cut there, its variance is 1 - 4.5 exp(-4.5) / (1 - exp(-4.5)) of the whole.
    assert figures.spread == pytest.approx(0.974, abs=0.03)
    # Of an even histogram of n items over m modes, (m - 1) / 2n on average.
    assert figures.divergence < 3 * (len(density.centres) - 1) / (2 * COUNT)
    assert BARS[name].met(figures)


@both
def test_the_built_in_dataset_is_that_density(name):
    values = np.concatenate([chunk.values for chunk in BUILTIN[name]().chunks()])
    assert BARS[name].met(measure(values[:COUNT].astype(np.float64), DENSITIES[name]))


@both
def test_a_missing_mode_is_counted_and_its_divergence_is_exact(name):
    density = DENSITIES[name]
    missing = len(density.centres) - 1
    figures = measure(np.repeat(density.centres[1:], 10, axis=0), density)
    assert figures.modes == missing
    assert figures.divergence == pytest.approx(np.log((missing + 1) / missing))
    assert not BARS[name].met(figures)


@both
def test_a_mode_of_a_tenth_of_its_weight_fails_by_divergence_alone(name, random):
    density = DENSITIES[name]
    points = density.sample(20 * COUNT, random)
    first = np.linalg.norm(points - density.centres[0], axis=1) < 1
    kept = points[~first | (random.random(len(points)) < 0.1)]
    figures = measure(kept, density)
    assert figures.divergence > BARS[name].divergence
    assert BARS[name].met(figures._replace(divergence=0.0))


@both
def test_shrunken_modes_have_full_quality_and_fail_by_spread_alone(name, random):
    density = DENSITIES[name]
    points = density._replace(sigma=density.sigma / 2).sample(COUNT, random)
    figures = measure(points, density)
    assert figures.quality == 1
    assert figures.spread == pytest.approx(0.5, abs=0.02)
    assert not BARS[name].met(figures)


@both
def test_points_beside_the_centres_are_no_spread(name):
    density = DENSITIES[name]
    beside = np.repeat(density.centres + 2 * density.sigma / np.sqrt(2), 100, axis=0)
    figures = measure(beside, density)
    assert (figures.quality, figures.spread) == (1, pytest.approx(0, abs=1e-6))


@both
def test_a_uniform_box_finds_modes_but_no_quality(name, random):
    density = DENSITIES[name]
    figures = measure(density.box(COUNT, random), density)
    assert figures.quality < 0.05
    assert not BARS[name].met(figures)


@both
def test_samples_far_from_every_mode_have_figures_too(name):
    figures = measure(np.full((10, 2), 99.0), DENSITIES[name])
    assert figures == (0, 0.0, float("inf"), 0.0)
