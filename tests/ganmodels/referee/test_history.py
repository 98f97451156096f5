"""A history of any length holds what rules need, and nothing else."""

import pytest

from ganmodels.referee.history import History, drift, smoothed

MEANS = {
    "discriminator_loss": 1.0,
    "generator_loss": 2.0,
    "discriminator_gradient_norm": 4.0,
    "generator_gradient_norm": 2.0,
}


def test_rows_without_signals_are_no_readings():
    history = History([{"step": 1}, {"step": 2, "energy_distance": 0.1}, {"step": 3}])
    assert [row["step"] for row in history.latest] == [2]
    assert (history.first["step"], history.newest["step"], history.last_step) == (2, 3, 2)


def test_a_long_history_forgets_all_but_the_first_and_the_latest():
    history = History({"step": step, "energy_distance": 0.1} for step in range(1, 1001))
    assert len(history.latest) == 100
    assert (history.first["step"], history.last_step) == (1, 1000)


def test_early_losses_are_averaged_and_later_ones_smoothed():
    row = smoothed(MEANS, None, 1)
    assert (row["discriminator_loss_smooth"], row["gradient_ratio"]) == (1.0, 0.5)
    second = smoothed(MEANS | {"discriminator_loss": 3.0}, row, 2)
    assert second["discriminator_loss_smooth"] == 2.0
    late = smoothed(MEANS | {"discriminator_loss": 7.0}, second, 100)
    assert late["discriminator_loss_smooth"] == pytest.approx(3.0)


def test_drift_is_the_share_that_moved():
    seen = {"histogram": [0.5, 0.5]}
    assert drift(seen, None) is None
    assert drift(seen, {"histogram": [1.0, 0.0]}) == 0.5
