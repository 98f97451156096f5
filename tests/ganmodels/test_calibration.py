"""Calibration: percentiles and probabilities of logits, by those of reals and of fakes."""

import subprocess
import sys

import numpy as np
import pytest

from ganmodels.calibration import QUANTILES, Calibration


def normal(mean: float, sigma: float = 1.0, seed: int = 0, count: int = 1_000):
    drawn = np.random.default_rng(seed).normal(mean, sigma, count)
    return drawn.astype(np.float32)


def test_percentiles_say_where_a_logit_stands():
    calibration = Calibration.of(np.arange(1000.0), np.arange(1000.0) - 500)
    real, fake = calibration.percentiles(np.array([-1.0, 499.5, 2000.0], dtype=np.float32))
    assert real == pytest.approx([0, 50, 100], abs=0.3)
    assert fake == pytest.approx([50, 100, 100], abs=0.3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_probability_is_the_share_of_reals_among_items_of_its_logit(scale):
    """Reals about 1 and fakes about -1, of variance 1: the log-odds of "real" are twice the logit.

    The scale of a critic's logits, and where its zero lies, make no difference.
    """
    shift = 1e3 * scale
    real, fake = (scale * normal(mean, seed=seed) + shift for mean, seed in ((1, 0), (-1, 1)))
    odds = Calibration.of(real, fake).odds()
    logits = np.linspace(-2, 2, 9)
    found = odds.probability((scale * logits + shift).astype(np.float32))
    assert found == pytest.approx(1 / (1 + np.exp(-2 * logits)), abs=0.03)


def test_a_probability_is_calibrated_where_the_discriminator_is_too_sure():
    """Logits three times as large as they should be, as of one that has learned reals by heart."""
    odds = Calibration.of(3 * normal(0.5, seed=0), 3 * normal(-0.5, seed=1)).odds()
    logits = np.concatenate([3 * normal(0.5, seed=2), 3 * normal(-0.5, seed=3)])
    real = np.repeat([1, 0], 1_000)
    found = odds.probability(logits)
    sure = 1 / (1 + np.exp(-logits))
    assert np.square(found - real).mean() < np.square(sure - real).mean() - 0.02
    for low in (0.1, 0.3, 0.5, 0.7):
        chosen = (found >= low) & (found < low + 0.2)
        assert real[chosen].mean() == pytest.approx(found[chosen].mean(), abs=0.1)


def test_logits_that_never_overlap_make_nothing_certain():
    odds = Calibration.of(normal(50), normal(-50)).odds()
    low, high = odds.probability(np.array([-50, 50], np.float32))
    assert 0 < low < 0.01
    assert 0.99 < high < 1


def test_held_out_reals_below_the_fakes_turn_the_probability_round():
    low, high = Calibration.of(normal(-1), normal(1)).odds().probability(np.float32([-3, 3]))
    assert low > 0.9 and high < 0.1


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_logits_that_tell_nothing_leave_the_odds_even(value):
    same = np.full(QUANTILES, value, np.float32)
    assert Calibration(same, same).odds().probability(np.float32([-1, 5])) == pytest.approx(0.5)


def test_the_same_quantiles_give_the_same_bits():
    calibration = Calibration.of(normal(1), normal(-1, seed=1))
    assert calibration.odds() == calibration.odds()


def test_one_odd_logit_changes_nothing_for_the_others():
    real, fake = normal(1), normal(-1, seed=1)
    usual = Calibration.of(real, fake).odds()
    real[0] = 1e6
    odd = Calibration.of(real, fake).odds()
    logits = np.float32([-2, 0, 2])
    assert odd.probability(logits) == pytest.approx(usual.probability(logits), abs=0.02)


def test_the_compiler_is_not_imported_for_it():
    """It takes seconds and 80 MiB, of each process of the API at its first model."""
    script = """
import sys, numpy as np, torch
from ganmodels.calibration import Calibration
Calibration.of(np.arange(9.0), np.arange(9.0) - 4).odds()
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
