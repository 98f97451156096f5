"""The Parzen-window estimate against its definition, written out."""

import math

import numpy as np
import pytest
import torch

from benchmarks.lab.parzen_window import SIGMAS, log_likelihoods, parzen


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_log_likelihood_is_the_log_of_the_mean_density(random):
    samples, items = random.random((4, 3)), random.random((5, 3))
    sigma = 0.3
    found = log_likelihoods(samples, items, (sigma,))[0]
    for item, value in zip(items, found, strict=True):
        densities = [
            math.exp(-((item - sample) ** 2).sum() / (2 * sigma**2))
            / (sigma * math.sqrt(2 * math.pi)) ** 3
            for sample in samples
        ]
        assert float(value) == pytest.approx(math.log(sum(densities) / len(densities)))


def test_density_of_one_dimension_integrates_to_one(random):
    line = np.linspace(-3, 4, 4001)[:, None]
    density = log_likelihoods(random.random((7, 1)), line, (0.2,))[0].exp()
    assert float(torch.trapezoid(density, torch.from_numpy(line[:, 0]))) == pytest.approx(1)


def test_far_items_do_not_underflow():
    found = log_likelihoods(np.zeros((2, 784)), np.ones((1, 784)), (0.1,))
    assert float(found) == pytest.approx(-784 * (50 + math.log(0.1 * math.sqrt(2 * math.pi))))


def test_width_is_chosen_on_validation_items_alone(random):
    samples = random.random((200, 2))
    narrow, wide = samples + 0.001 * random.random((200, 2)), random.random((200, 2))
    narrow = narrow.clip(0, 1)
    assert parzen(samples, narrow, wide).sigma == SIGMAS[0]
    # Ten percent and more beside the samples, no narrow window explains them.
    aside = np.concatenate([wide[:1] * 0, wide[:1] * 0 + 1])
    assert parzen(0.4 + 0.2 * samples, aside, wide).sigma > SIGMAS[0]


def test_standard_error_is_that_of_the_mean(random):
    samples, validation, test = (random.random((50, 4)) for _ in range(3))
    found = parzen(samples, validation, test)
    values = log_likelihoods(samples, test, (found.sigma,))[0]
    assert found.estimate.value == pytest.approx(float(values.mean()))
    assert found.estimate.standard_error == pytest.approx(float(values.std() / 50**0.5))


def test_pixels_outside_zero_and_one_are_refused(random):
    good = random.random((5, 2))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        parzen(good, good, 2 * good - 1)
