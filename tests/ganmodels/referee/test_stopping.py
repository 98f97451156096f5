"""Stop rules end a training when nothing is gained any more, and not before."""

import pytest

from ganmodels.referee.config import Equilibrium, Plateau
from ganmodels.referee.findings import Figure
from ganmodels.referee.stopping import equilibrium_reached, plateau_reached


def figures(*values: float, error: float = 0.0, better: str = "lower") -> list[Figure]:
    return [Figure(value=v, standard_error=error, better=better) for v in values]


@pytest.mark.parametrize("values", [(), (9,), (9, 8, 7, 6), (9, 8, 8, 7, 7), (9, 9, 5)])
def test_a_measure_that_still_falls_is_no_plateau(values):
    assert plateau_reached(Plateau(patience=2), figures(*values)) is None


@pytest.mark.parametrize("values", [(9, 5, 5, 5), (9, 5, 6, 7), (5, 4.95, 4.95)])
def test_a_measure_that_no_longer_falls_is_a_plateau(values):
    assert "frechet" in plateau_reached(Plateau(patience=2), figures(*values))


def test_a_gain_within_its_error_is_none():
    falling = figures(9, 8.5, 8, error=2)
    assert plateau_reached(Plateau(patience=2), falling) is not None
    assert plateau_reached(Plateau(patience=2), figures(9, 8.5, 8)) is None


def test_a_measure_that_falls_below_zero_can_still_fall():
    assert plateau_reached(Plateau(patience=2), figures(0.1, -0.1, -0.2, -0.3)) is None


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.9, 0.5, 0.5), (0.45, 0.55)])
def test_critics_that_cannot_tell_are_an_equilibrium(values):
    told = figures(*values, error=0.02, better="half")
    assert equilibrium_reached(Equilibrium(patience=2, errors=3), told) is not None


@pytest.mark.parametrize("values", [(), (0.5,), (0.5, 0.9), (0.5, 0.9, 0.5), (0.6, 0.6)])
def test_one_critic_that_can_tell_or_too_few_are_none(values):
    told = figures(*values, error=0.02, better="half")
    assert equilibrium_reached(Equilibrium(patience=2, errors=3), told) is None


@pytest.mark.parametrize(("value", "judged"), [(0.75, 10), (0.5, 198), (0.0, 1000), (0.56, 1000)])
def test_few_judged_items_or_many_that_were_told_are_no_equilibrium(value, judged):
    error = (value * (1 - value) / judged) ** 0.5
    told = figures(value, value, error=error, better="half")
    assert equilibrium_reached(Equilibrium(patience=2, errors=3), told) is None


@pytest.mark.parametrize(("value", "judged"), [(0.5, 200), (0.4, 200), (0.54, 1000)])
def test_the_error_is_that_of_a_critic_that_cannot_tell(value, judged):
    error = (value * (1 - value) / judged) ** 0.5
    told = figures(value, value, error=error, better="half")
    assert equilibrium_reached(Equilibrium(patience=2, errors=3), told) is not None
