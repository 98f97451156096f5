"""Printed digits are what their labels say; arrays are packed once; translations are measured."""

import numpy as np
import pytest

from benchmarks.lab import packing
from benchmarks.lab.packing import packed_images
from benchmarks.lab.rendered import rendered
from benchmarks.translator import distance, noisy


def test_equal_seeds_render_equal_digits_and_other_seeds_others():
    first, second, other = rendered(20, 0), rendered(20, 0), rendered(20, 1)
    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.images, other.images)


def test_digits_come_in_equal_shares_white_on_black_and_whole():
    images, labels = rendered(200, 0)
    assert (images.shape, images.dtype) == ((200, 28, 28), np.uint8)
    assert np.array_equal(np.bincount(labels), np.full(10, 20))
    frame = np.ones((28, 28), bool)
    frame[1:-1, 1:-1] = False
    assert images[:, frame].max() == 0
    assert (images.max((1, 2)) > 200).all()


def test_a_digit_resembles_others_of_its_kind_most():
    images, labels = rendered(400, 0)
    flat = images.reshape(400, -1) / 255
    means = np.stack([flat[:200][labels[:200] == digit].mean(0) for digit in range(10)])
    nearest = ((flat[200:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == labels[200:]).mean() > 0.6


def test_arrays_are_packed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_HOME", tmp_path)
    images = rendered(30, 0).images
    first = packed_images(images)
    assert np.array_equal(first.items[..., 0], images)
    assert packed_images(images).directory == first.directory
    assert packed_images(images, np.arange(30) % 3).labels is not None
    assert len(list(tmp_path.iterdir())) == 2


def test_distance_and_noise_are_in_units_of_what_networks_see():
    black, white = np.zeros((4, 28, 28), np.uint8), np.full((4, 28, 28), 255, np.uint8)
    assert distance(black, white) == pytest.approx(2)
    grey = np.full((40, 28, 28), 128, np.uint8)
    # The mean absolute deviation of a normal distribution is sqrt(2 / pi) of the standard one.
    assert distance(noisy(grey), grey) == pytest.approx(0.05 * 0.798, rel=0.02)
