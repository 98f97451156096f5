"""Signals say what they claim about planted logits and planted fakes."""

import pytest
import torch

from ganmodels.referee.signals import Judgement, Yardstick, total_variation


def vectors(count: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.fixture(scope="module")
def yardstick() -> Yardstick:
    groups = torch.tensor([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    return Yardstick(vectors(100), None, vectors(500, seed=1), vectors(100, seed=2), groups)


def test_accuracies_are_shares_on_the_right_side_of_the_boundary():
    logits = torch.tensor([2.0, 1.0, -1.0, 3.0])
    judged = Judgement.of(logits, logits[:2], -logits, 0.0)
    assert (judged.real_accuracy, judged.held_out_accuracy, judged.fake_accuracy) == (0.75, 1, 0.75)
    assert judged.overfitting_rt == 0.5
    assert judged.largest_logit == 3


def test_without_a_boundary_only_pairs_are_counted():
    judged = Judgement.of(torch.tensor([1.0, 2.0]), torch.zeros(0), torch.tensor([0.0, 1.5]), None)
    assert judged.pair_accuracy == 0.75
    assert judged.real_accuracy is judged.fake_accuracy is judged.overfitting_rt is None


def test_pair_accuracy_ignores_a_shift_of_all_logits():
    real, fake = torch.randn(50) + 1, torch.randn(50)
    plain = Judgement.of(real, real, fake, None).pair_accuracy
    assert Judgement.of(real + 9, real + 9, fake + 9, None).pair_accuracy == pytest.approx(plain)


def test_equal_logits_are_ranked_rightly_half_of_the_time():
    assert Judgement.of(torch.ones(8), torch.ones(8), torch.ones(8), 0.0).pair_accuracy == 0.5


@pytest.mark.parametrize(("held_out", "expected"), [(2.0, 0.0), (0.0, 1.0), (1.0, 0.5)])
def test_overfitting_rv_is_0_when_held_out_items_look_like_training_items_and_1_when_like_fakes(
    held_out, expected
):
    judged = Judgement.of(torch.full((4,), 2.0), torch.full((4,), held_out), torch.zeros(4), 0.0)
    assert judged.overfitting_rv == pytest.approx(expected)


def test_a_dataset_without_held_out_items_has_no_held_out_signals():
    judged = Judgement.of(torch.ones(4), torch.zeros(0), torch.zeros(4), 0.0)
    assert judged.held_out_accuracy is judged.held_out_pair_accuracy is None
    assert judged.overfitting_rv is None


def test_fakes_like_reals_are_at_the_ideal_of_every_signal(yardstick):
    seen = yardstick.measure(vectors(100, seed=3))
    assert seen.diversity == pytest.approx(1, abs=0.1)
    assert seen.energy_distance == pytest.approx(0, abs=0.03)
    assert seen.neighbour_ratio == pytest.approx(1, abs=0.15)
    assert seen.neighbour_accuracy == pytest.approx(0.5, abs=0.12)
    assert seen.histogram_gap < 0.15
    assert seen.groups_covered == pytest.approx(1)


def test_energy_distance_grows_with_the_distance_of_fakes_from_reals(yardstick):
    distances = [yardstick.measure(vectors(100, shift, 3)).energy_distance for shift in range(4)]
    assert distances == sorted(distances)
    assert distances[3] > 1


def test_one_point_has_no_diversity_and_is_known_by_its_neighbours(yardstick):
    seen = yardstick.measure(torch.zeros(100, 4))
    assert seen.diversity == 0
    assert seen.neighbour_accuracy > 0.5
    assert max(seen.histogram) == 1


def test_copies_of_training_items_are_near_them(yardstick):
    assert yardstick.measure(vectors(500, seed=1)[:100]).neighbour_ratio == pytest.approx(
        0, abs=0.01
    )


def test_fakes_of_one_group_cover_that_group_alone(yardstick):
    fakes = vectors(100, seed=3)
    fakes[:, 0] = fakes[:, 0].abs() + 0.1
    seen = yardstick.measure(fakes)
    assert seen.histogram == [0, 1]
    assert 0.3 < seen.groups_covered < 0.7


def test_diversity_within_labels_sees_a_collapse_that_the_whole_hides():
    reals, labels = vectors(100), torch.arange(100) % 2
    reals[labels == 1] += 5
    yardstick = Yardstick(reals, labels, reals, vectors(20), reals[:2])
    fakes = torch.zeros(100, 4)
    fakes[labels == 1] += 5
    seen = yardstick.measure(fakes)
    assert seen.diversity_within_labels == 0
    assert seen.diversity > 0.5


def test_equal_reals_give_no_distances():
    flat = torch.zeros(50, 4)
    yardstick = Yardstick(flat, None, flat, flat, flat[:1])
    assert not yardstick.has_variety
    seen = yardstick.measure(vectors(50))
    assert seen.diversity is seen.energy_distance is seen.neighbour_ratio is None


def test_total_variation_is_0_for_equal_and_1_for_disjoint_histograms():
    assert total_variation([0.5, 0.5], [0.5, 0.5]) == 0
    assert total_variation([1, 0], [0, 1]) == 1
