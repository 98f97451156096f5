"""What is known beforehand: measures move the way that a planted fault says."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ganmodels.referee.measures.critic import Examples, critic_accuracy
from ganmodels.referee.measures.frechet import frechet
from ganmodels.referee.measures.kernel import kernel
from ganmodels.referee.measures.manifold import manifold
from ganmodels.referee.measures.modes import modes
from ganmodels.referee.measures.neighbours import neighbour_accuracies
from ganmodels.referee.measures.similarity import ms_ssim
from ganmodels.referee.measures.sliced import sliced_wasserstein
from tests.ganmodels.referee.streams import noisy


@pytest.fixture(scope="module")
def halves(digits) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two disjoint halves of digits, in random order."""
    order = np.random.default_rng(0).permutation(len(digits.items))
    return order[:890], order[890:1780]


def rises(values: list[float]) -> bool:
    return all(earlier < later for earlier, later in pairwise(values))


def test_dropping_digits_is_seen_by_coverage_recall_and_modes(digits, classifier, halves):
    reals, others = (digits.items[half] for half in halves)
    real_features, real_labels = classifier.of(reals), classifier.labels(reals)
    found = []
    for dropped in (0, 2, 5, 8):
        kept = others[digits.labels[halves[1]] >= dropped]
        fakes = kept[np.arange(len(others)) % len(kept)]
        near = manifold(classifier.of(fakes), real_features)
        counted = modes(classifier.labels(fakes), real_labels, classes=10)
        assert counted.covered.value == 10 - dropped
        assert near.precision.value > 0.8
        found.append((-near.coverage.value, -near.recall.value, counted.kl.value))
    assert all(rises(list(column)) for column in zip(*found, strict=True))


def test_noise_is_seen_by_every_distance(digits, random_features, halves):
    reals, others = (digits.items[half] for half in halves)
    real_features = random_features.of(reals)
    fake_features = [random_features.of(noisy(others, sigma)) for sigma in (0, 5, 15, 50)]
    assert rises([frechet(fakes, real_features, False).value for fakes in fake_features])
    assert rises([kernel(fakes, real_features).value for fakes in fake_features])
    assert rises([sliced_wasserstein(fakes, real_features, False).value for fakes in fake_features])


def test_a_set_is_not_told_from_itself(digits, random_features, halves):
    reals = digits.items[halves[0]]
    features = random_features.of(reals)
    assert frechet(features, features, with_error=False).value == pytest.approx(0, abs=1e-8)
    assert sliced_wasserstein(features, features, with_error=False).value == 0
    assert kernel(features, features).value <= 0
    near = manifold(features, features)
    assert (near.precision.value, near.recall.value, near.coverage.value) == (1, 1, 1)
    assert near.density.value == pytest.approx(1, abs=0.25)


def test_other_reals_pass_for_reals(digits, random_features, halves):
    reals, others = (digits.items[half] for half in halves)
    accuracies = neighbour_accuracies(random_features.of(others), random_features.of(reals))
    for accuracy in accuracies:
        assert accuracy.value == pytest.approx(0.5, abs=4 * accuracy.standard_error)
    space = digits.manifest.space
    training = Examples.of(space, others[:445], reals[:445])
    unseen = Examples.of(space, others[445:], reals[445:])
    accuracy = critic_accuracy(training, unseen, seed=0)
    assert accuracy.value == pytest.approx(0.5, abs=4 * accuracy.standard_error)


def test_a_critic_finds_noise_that_hardly_shows(digits, halves):
    """A deviation of twenty grey levels in 255."""
    reals, others = (digits.items[half] for half in halves)
    fakes, space = noisy(others, 20), digits.manifest.space
    training = Examples.of(space, fakes[:445], reals[:445])
    assert critic_accuracy(training, Examples.of(space, fakes[445:], reals[445:]), 0).value > 0.95


def test_samples_of_one_class_are_more_alike_than_all(digits):
    def similarity(items: np.ndarray) -> float:
        return ms_ssim(torch.from_numpy(np.array(items)).permute(0, 3, 1, 2) / 255).value

    zeros = digits.items[digits.labels == 0]
    assert similarity(np.repeat(zeros[:1], 10, axis=0)) == pytest.approx(1)
    assert similarity(digits.items[:800]) < similarity(zeros) - 0.1
