"""Modes of stacks: the count, the divergence, its floor, and the batches that are trained on."""

import numpy as np
import pytest
import torch

from benchmarks.lab.mnist_judge import Verdict
from benchmarks.lab.stacks import MODES, SPACE, Stacks, coverage, coverage_of, real_stacks
from ganmodels.sampling import from_network

CPU = torch.device("cpu")


class Brightness:
    """A judge that reads the digit off the first pixel."""

    def judge(self, images):
        return Verdict(images[:, 0, 0].astype(np.int64), np.full(len(images), 0.95))


@pytest.fixture
def digits():
    """A hundred images whose every pixel is their digit."""
    values = np.arange(100, dtype=np.uint8) % 10
    return np.broadcast_to(values[:, None, None], (100, 28, 28)).copy()


def test_every_mode_once_is_uniform():
    found = coverage_of(np.arange(MODES))
    assert found.modes == 1000
    assert found.kl == pytest.approx(0, abs=1e-12)


def test_one_mode_alone_is_the_logarithm_of_a_thousand():
    assert coverage_of(np.full(50, 123)) == (1, pytest.approx(np.log(1000)))


def test_half_of_the_modes_cost_the_logarithm_of_two():
    assert coverage_of(np.arange(500)).kl == pytest.approx(np.log(2))


@pytest.mark.parametrize("count", [10_000, 26_000])
def test_uniform_samples_reach_the_floor(count):
    random = np.random.default_rng(0)
    found = coverage_of(random.integers(MODES, size=count))
    assert found.kl == pytest.approx((MODES - 1) / (2 * count), rel=0.15)


def test_channels_are_hundreds_tens_and_ones(digits):
    stack = np.stack([digits[7], digits[0], digits[4]], axis=-1)[None]
    other = np.stack([digits[4], digits[0], digits[7]], axis=-1)[None]
    assert coverage(Brightness(), np.concatenate([stack, stack])).modes == 1
    assert coverage(Brightness(), np.concatenate([stack, other])).modes == 2


def test_real_stacks_cover_all_modes_evenly(digits):
    found = coverage(Brightness(), real_stacks(digits, 26_000, seed=0))
    assert found.modes == 1000
    assert found.kl == pytest.approx(999 / 52_000, rel=0.15)


def test_batches_are_stacks_of_whole_digits_and_repeat_by_number(digits):
    stacks = Stacks(digits, batch_size=8, seed=3, device=CPU)
    first = from_network(stacks.at(5).items, SPACE)
    assert first.shape == (8, 28, 28, 3)
    assert (first == first[:, :1, :1]).all()
    stacks.at(6)
    assert (from_network(stacks.at(5).items, SPACE) == first).all()
    assert (from_network(stacks.at(6).items, SPACE) != first).any()
    other = Stacks(digits, batch_size=8, seed=4, device=CPU)
    assert (from_network(other.at(5).items, SPACE) != first).any()
