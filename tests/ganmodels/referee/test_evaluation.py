"""An evaluation: all figures with floors, the same twice, and reasons for what is left out."""

import numpy as np
import pytest
import torch

from ganmodels.data.packed import choose_held_out
from ganmodels.referee.config import MEASURES, Protocol
from ganmodels.referee.evaluation.evaluate import evaluate
from ganmodels.referee.evaluation.nearest import nearest_training
from ganmodels.referee.evaluation.split import split_reals
from ganmodels.referee.features.loading import load_features
from ganmodels.referee.findings import Findings
from ganmodels.sampling import Sampler
from tests.ganmodels.builders import CPU, config_for, match_for
from tests.ganmodels.referee.streams import Replay, images, noise, noisy, of_training, points

FIGURES = {
    *("frechet", "kernel", "precision", "recall", "density", "coverage", "sliced_wasserstein"),
    *("ms_ssim", "critic_accuracy", "neighbour_accuracy", "neighbour_accuracy_real"),
    *("neighbour_accuracy_fake", "neighbour_distance", "modes_covered", "modes_kl"),
    *("support_size", "duplicates"),
}


def untrained(dataset, recipe: str) -> Sampler:
    config = config_for(recipe, dataset.manifest.space)
    return Sampler(config.game, config.space, match_for(config).average)


def features_of(dataset):
    return load_features("auto", dataset, None, None, CPU)


@pytest.fixture(scope="module")
def found(digits, classifier) -> Findings:
    """All measures of an untrained generator of digits."""
    return evaluate(untrained(digits, "cgan"), digits, Protocol(samples=120), classifier)


def test_every_measure_of_images_with_labels_has_a_floor_and_a_direction(found):
    assert set(found.figures) == FIGURES
    assert not found.left_out
    assert all(figure.floor is not None for figure in found.figures.values())
    unknown = {name for name, figure in found.figures.items() if figure.standard_error is None}
    assert unknown <= {"modes_covered", "support_size"}


def test_an_untrained_generator_is_far_from_every_floor(found):
    for figure in found.figures.values():
        if figure.better == "half":
            assert abs(figure.floor - 0.5) < 0.15 < abs(figure.value - 0.5)
    assert found.figures["frechet"].value > 10 * found.figures["frechet"].floor
    assert found.figures["coverage"].value < 0.1 < found.figures["coverage"].floor
    assert found.figures["duplicates"].value > 0.9 > found.figures["duplicates"].floor


def test_the_protocol_says_what_was_done(found, classifier):
    used = found.protocol
    assert used.measures == MEASURES
    assert (used.samples, used.reference_samples, used.reference) == (120, 120, "training")
    assert (used.features, used.features_sha256) == ("classifier", classifier.sha256)
    assert used.features_accuracy == classifier.accuracy


def test_the_same_twice_whatever_else_was_drawn(digits, classifier, found):
    torch.manual_seed(5)
    np.random.seed(5)
    again = evaluate(untrained(digits, "cgan"), digits, Protocol(samples=120), classifier)
    assert again == found


def test_another_seed_draws_others(digits, classifier, found):
    protocol = Protocol(samples=120, seed=1, measures=("frechet",))
    other = evaluate(untrained(digits, "cgan"), digits, protocol, classifier)
    assert set(other.figures) == {"frechet"}
    assert other.figures["frechet"].floor != found.figures["frechet"].floor


def test_points_are_measured_without_what_needs_images_or_labels(ring):
    findings = evaluate(untrained(ring, "points"), ring, Protocol(samples=100), features_of(ring))
    assert set(findings.left_out) == {"ms_ssim", "modes"}
    assert findings.protocol.reference == "held_out"
    missing = {"ms_ssim", "modes_covered", "modes_kl"}
    assert set(findings.figures) == FIGURES - missing


def test_copies_of_training_items_are_found_out(digits, random_features):
    protocol = Protocol(samples=200, measures=("neighbours",))
    copies = evaluate(of_training(digits), digits, protocol, random_features)
    figure = copies.figures["neighbour_distance"]
    assert figure.value < 1e-6
    assert figure.floor == pytest.approx(1, abs=0.2)
    almost = of_training(digits, lambda items: noisy(items, 3))
    assert (
        evaluate(almost, digits, protocol, random_features).figures["neighbour_distance"].value
        < 0.5
    )


def test_few_distinct_images_are_a_small_support(digits, random_features):
    protocol = Protocol(samples=300, measures=("support",))
    few = Replay(lambda count: noisy(digits.items[np.arange(count) % 20], 3))
    figures = evaluate(few, digits, protocol, random_features).figures
    assert figures["support_size"].value == pytest.approx(20, rel=0.3)
    assert figures["support_size"].floor > 1000
    assert figures["duplicates"].value > 0.9


@pytest.mark.parametrize(
    ("asked", "reference"), [("auto", "held_out"), ("held_out", "held_out"), ("training",) * 2]
)
def test_floor_and_critic_share_no_item_with_what_they_are_measured_by(ring, asked, reference):
    split = split_reals(ring, Protocol(samples=5000, reference=asked))
    assert split.kind == reference
    assert len(split.reference) == len(split.floor) == (2000 if reference == "held_out" else 5000)
    parts = [set(part.tolist()) for part in split[1:5]]
    held_out = set(ring.held_out.tolist())
    assert parts[0] <= held_out if reference == "held_out" else parts[0].isdisjoint(held_out)
    assert parts[1].isdisjoint(held_out) and parts[2].isdisjoint(held_out & parts[1])
    for one, other in ((0, 1), (1, 2), (1, 3), (2, 3)):
        assert parts[one].isdisjoint(parts[other])


@pytest.mark.parametrize("asked", ["auto", "held_out", "training"])
def test_a_critic_is_judged_on_held_out_items_whatever_the_reference_is(digits, ring, asked):
    for dataset, samples in ((digits, 2000), (digits, 100), (ring, 2000)):
        split = split_reals(dataset, Protocol(samples=samples, reference=asked))
        held_out = set(dataset.held_out.tolist())
        assert set(split.critic_unseen.tolist()) <= held_out
        assert held_out.isdisjoint(split.critic_training.tolist())
        wanted = len(split.reference) - len(split.reference) // 2
        assert len(split.critic_unseen) == min(wanted, len(held_out))


def test_a_perfect_generator_reaches_the_floor_of_uneven_labels(packed):
    """Conditional on the label; it draws each item from the data themselves."""
    random = np.random.default_rng(0)
    labels = (random.random(4000) < 0.05).astype(np.int64)
    dataset = packed(points(random.standard_normal((4000, 2)) + 8 * labels[:, None], labels))
    perfect = Replay(lambda count: np.empty((count, 2), dtype=np.float32))
    perfect.draw = lambda latents, labels: (
        np.random.default_rng(1).standard_normal((len(labels), 2)) + 8 * labels[:, None]
    ).astype(np.float32)
    protocol = Protocol(samples=400, measures=("modes", "sliced_wasserstein"))
    findings = evaluate(perfect, dataset, protocol, features_of(dataset))
    for name in ("modes_kl", "sliced_wasserstein"):
        assert findings.figures[name].value < 3 * findings.figures[name].floor + 0.005, name


def test_held_out_items_half_of_which_are_copies_are_a_reason_and_no_error(packed):
    values = noise(120, 8, 8, 1)
    held_out, training = choose_held_out(120), np.setdiff1d(np.arange(120), choose_held_out(120))
    for copies in range(len(held_out) + 1):
        values[held_out[:copies]] = values[training[:copies]]
        dataset = packed(images(values))
        protocol = Protocol(samples=20, measures=("neighbours",))
        findings = evaluate(of_training(dataset), dataset, protocol, features_of(dataset))
        assert "neighbour_accuracy" in findings.figures
        if 2 * copies >= len(held_out):
            assert "in the training split" in findings.left_out["neighbours"]


def test_too_few_items_are_a_reason_and_no_error(packed):
    for count in (2, 19, 30):
        dataset = packed(images(noise(count, 8, 8, 1)))
        protocol = Protocol(samples=20, reference="held_out")
        findings = evaluate(of_training(dataset), dataset, protocol, features_of(dataset))
        assert not findings.figures
        assert set(findings.left_out) == set(MEASURES)


def test_the_smallest_dataset_that_can_be_measured_is(packed):
    dataset = packed(images(noise(24, 8, 8, 3)))
    findings = evaluate(of_training(dataset), dataset, Protocol(samples=20), features_of(dataset))
    assert findings.protocol.samples >= 10
    assert set(findings.left_out) == {"modes", "neighbours", "critic"}
    assert "held out" in findings.left_out["neighbours"]
    assert "2 items are held out" in findings.left_out["critic"]
    assert "neighbour_accuracy" in findings.figures


def test_equal_items_everywhere_give_numbers_and_no_error(packed):
    dataset = packed(points(np.ones((100, 2))))
    still = Replay(lambda count: np.ones((count, 2), dtype=np.float32))
    findings = evaluate(still, dataset, Protocol(samples=20), features_of(dataset))
    assert findings.figures["frechet"].value == 0
    assert findings.figures["neighbour_accuracy"].value == 0.5
    assert findings.figures["duplicates"].value == 1


def test_a_generator_that_is_not_finite_is_a_reason_and_no_error(ring):
    for value in (np.nan, np.inf):
        broken = Replay(lambda count, value=value: np.full((count, 2), value, dtype=np.float32))
        findings = evaluate(broken, ring, Protocol(samples=20), features_of(ring))
        assert not findings.figures
        assert "not finite" in findings.left_out["frechet"]


@pytest.mark.parametrize("value", [1e10, 1e30, 3e38])
def test_values_beyond_every_bound_are_measured_or_left_out_with_a_reason(ring, value):
    huge = Replay(lambda count: np.full((count, 2), value, dtype=np.float32))
    findings = evaluate(huge, ring, Protocol(samples=20), features_of(ring))
    assert Findings.model_validate_json(findings.model_dump_json()) == findings
    critic = findings.figures.get("critic_accuracy")
    assert critic is None or critic.value > 0.9


def test_the_nearest_training_item_of_a_copy_is_its_original(digits):
    indices = digits.training_indices[[5, 700, 1600]]
    assert np.array_equal(nearest_training(noisy(digits.items[indices], 2), digits), indices)
    assert not set(nearest_training(digits.items[digits.held_out], digits)) & set(digits.held_out)


def test_the_nearest_training_item_is_found_across_blocks(ring, monkeypatch):
    whole = nearest_training(ring.items[:50], ring)
    monkeypatch.setattr("ganmodels.referee.evaluation.nearest._BLOCK_ITEMS", 997)
    assert np.array_equal(nearest_training(ring.items[:50], ring), whole)
    brute = np.linalg.norm(
        ring.items[ring.training_indices][None].astype(float) - ring.items[:50, None], axis=2
    )
    assert np.array_equal(whole, ring.training_indices[brute.argmin(1)])
