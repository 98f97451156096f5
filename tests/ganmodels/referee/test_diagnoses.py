"""Each failure is named by its signature, once it lasts; what looks like one in health is not."""

from typing import Any

import pytest

from ganmodels.referee.diagnoses import RULES, broken_down, diagnose
from ganmodels.referee.history import History
from tests.ganmodels.builders import config_for, image_space

CONFIG = config_for("dcgan")
HEALTHY: dict[str, Any] = {
    "discriminator_loss": 1.2,
    "generator_loss": 1.1,
    "generator_gradient_norm": 5.0,
    "real_accuracy": 0.7,
    "held_out_accuracy": 0.7,
    "pair_accuracy": 0.75,
    "held_out_pair_accuracy": 0.74,
    "overfitting_rt": 0.4,
    "overfitting_rv": 0.1,
    "recognition": 0.52,
    "largest_logit": 3.0,
    "diversity": 0.95,
    "diversity_within_labels": 0.8,
    "energy_distance": 0.02,
    "neighbour_ratio": 1.1,
    "neighbour_accuracy": 0.65,
    "histogram_drift": 0.1,
    "groups_covered": 0.95,
}
UNTRAINED = HEALTHY | {"energy_distance": 1.4, "diversity": 0.3, "neighbour_accuracy": 1.0}
# Taken from matches that failed on purpose.
SIGNATURES: dict[str, dict[str, Any]] = {
    "divergence": {"discriminator_loss": 2.7e4, "largest_logit": 1.8e5, "energy_distance": 1.2},
    "mode_collapse": {
        "diversity": 0.07,
        "groups_covered": 0.06,
        "energy_distance": 2.2,
        "pair_accuracy": 0.0,
        "neighbour_accuracy": 1.0,
    },
    "discriminator_overpowering": {
        "discriminator_loss": 1e-5,
        "pair_accuracy": 1.0,
        "held_out_pair_accuracy": 1.0,
        "diversity": 0.28,
        "groups_covered": 0.22,
        "energy_distance": 1.37,
        "neighbour_accuracy": 1.0,
    },
    "oscillation": {"histogram_drift": 0.85, "energy_distance": 0.4, "neighbour_accuracy": 0.96},
    "generator_exploiting": {
        "pair_accuracy": 0.1,
        "neighbour_accuracy": 1.0,
        "energy_distance": 9.0,
    },
    "memorisation": {"neighbour_ratio": 0.3},
    "discriminator_overfitting": {
        "pair_accuracy": 1.0,
        "overfitting_rv": 1.1,
        "recognition": 0.95,
        "held_out_accuracy": 0.1,
    },
    "not_learning": {"energy_distance": 0.9, "neighbour_accuracy": 1.0},
}


def history(*rows: dict[str, Any]) -> History:
    return History({"step": 50 * i, **row} for i, row in enumerate(rows, 1))


@pytest.mark.parametrize("failure", SIGNATURES)
def test_a_failure_is_the_verdict_when_its_signature_lasts(failure):
    ill = [HEALTHY | SIGNATURES[failure]] * 12
    found = diagnose(CONFIG, history(UNTRAINED, *ill), has_variety=True)
    assert found.verdict == failure
    named = found.diagnoses[0]
    assert named.remedy.patch
    assert set(named.evidence) <= set(HEALTHY)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.failure)
def test_a_signature_is_not_named_before_it_has_lasted(rule):
    healthy, ill = [HEALTHY] * 10, HEALTHY | SIGNATURES[rule.failure]
    few = diagnose(CONFIG, history(*healthy, *[ill] * (rule.needed - 1)), has_variety=True)
    assert rule.failure not in few.failures
    enough = diagnose(CONFIG, history(*healthy, *[ill] * rule.needed), has_variety=True)
    assert rule.failure in enough.failures | {enough.verdict} or rule.failure == "not_learning"


def test_every_failure_has_a_rule_and_a_signature_here():
    assert {rule.failure for rule in RULES} == set(SIGNATURES)


@pytest.mark.parametrize(
    "looks_bad",
    [
        {"pair_accuracy": 1.0, "held_out_pair_accuracy": 1.0, "discriminator_loss": 0.04},
        {"generator_gradient_norm": 400.0},
        {"pair_accuracy": 0.5, "held_out_pair_accuracy": 0.5},
        {"real_accuracy": 0.5, "held_out_accuracy": 0.5},
        {"histogram_drift": 0.5},
        {"overfitting_rv": None},
        {"overfitting_rv": 3.0, "recognition": 0.6},
    ],
    ids=lambda change: ",".join(change),
)
def test_what_goes_with_good_matches_too_raises_no_alarm(looks_bad):
    found = diagnose(CONFIG, history(*[HEALTHY | looks_bad] * 20), has_variety=True)
    assert found.verdict == "healthy"


def test_one_picture_for_each_label_is_a_collapse_though_the_whole_is_varied():
    hidden = HEALTHY | {"diversity_within_labels": 0.02}
    found = diagnose(CONFIG, history(UNTRAINED, *[hidden] * 6), has_variety=True)
    assert (found.verdict, found.diagnoses[0].extent) == ("mode_collapse", "complete")


def test_a_collapse_is_partial_while_some_variety_is_left():
    some = HEALTHY | {"diversity": 0.4, "energy_distance": 0.5}
    found = diagnose(CONFIG, history(UNTRAINED, *[some] * 8), has_variety=True)
    assert (found.verdict, found.diagnoses[0].extent) == ("mode_collapse", "partial")


def test_a_critic_of_large_images_may_have_large_logits():
    space = image_space(64, 64, 3)
    large = HEALTHY | {"discriminator_loss": -250.0, "largest_logit": 350.0}
    critic = diagnose(config_for("wgan-gp", space), history(*[large] * 4), has_variety=True)
    assert critic.verdict == "healthy"
    other = diagnose(config_for("dcgan", space), history(*[large] * 4), has_variety=True)
    assert other.verdict == "divergence"


def test_an_untrained_generator_that_gets_better_is_not_stuck():
    young = HEALTHY | SIGNATURES["discriminator_overpowering"]
    better = [young | {"energy_distance": 1.4 * 0.7**i, "diversity": 0.3} for i in range(6)]
    assert diagnose(CONFIG, history(*better), has_variety=True).verdict == "healthy"


def test_a_generator_that_has_not_moved_learns_nothing_rather_than_collapse():
    still = UNTRAINED | {"pair_accuracy": 0.5, "held_out_pair_accuracy": 0.5}
    assert diagnose(CONFIG, history(*[still] * 8), has_variety=True).verdict == "not_learning"


def test_nothing_is_called_healthy_before_it_was_looked_at_a_few_times():
    assert diagnose(CONFIG, history(HEALTHY, HEALTHY), has_variety=True) is None
    assert diagnose(CONFIG, History(), has_variety=True) is None


def test_a_dataset_whose_items_are_all_equal_is_named_at_once():
    row = HEALTHY | {"diversity": None, "energy_distance": None}
    found = diagnose(CONFIG, history(row), has_variety=False)
    assert found.verdict == "not_learning"
    assert "equal" in found.diagnoses[0].detail


def test_confidence_grows_while_a_failure_lasts():
    ill = HEALTHY | SIGNATURES["mode_collapse"]
    new = diagnose(CONFIG, history(*[HEALTHY] * 9, *[ill] * 4), has_variety=True)
    old = diagnose(CONFIG, history(*[HEALTHY] * 9, *[ill] * 8), has_variety=True)
    assert new.diagnoses[0].confidence == 0.5
    assert old.diagnoses[0].confidence == 1


def test_since_step_stays_when_the_readings_that_showed_it_are_forgotten():
    ill = HEALTHY | SIGNATURES["mode_collapse"] | {"diagnoses": {"mode_collapse": 50}}
    found = diagnose(CONFIG, history(UNTRAINED, *[ill] * 150), has_variety=True)
    assert found.diagnoses[0].since_step == 50


def test_rows_without_signals_are_passed_over():
    bare = {"discriminator_loss": 1.0, "generator_loss": 1.0}
    assert diagnose(CONFIG, history(bare, bare), has_variety=True) is None


def test_a_value_that_is_not_finite_is_a_divergence_at_its_step():
    found = broken_down(CONFIG, 120, "generator_loss was not finite at step 120")
    assert (found.verdict, found.diagnoses[0].since_step) == ("divergence", 120)
    assert found.diagnoses[0].remedy.patch
