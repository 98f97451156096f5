"""Whatever a power cut takes of what was not synced, what was acknowledged is there and right."""

import os
import random

import pytest
import torch

from tests.faults.power_loss import (
    explore,
    leave_out_each_sync,
    leave_out_syncs_after_a_kill,
    record,
)

SEED = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
torch.set_num_threads(1)


def test_nothing_acknowledged_is_lost_by_a_power_cut():
    report = explore(states=900, seed=SEED)
    assert report.violations == [], f"FAULT_SEED={SEED}"
    assert report.states >= 900


def test_a_life_of_the_store_is_recorded_to_its_end():
    names = [operation.name for operation in record().operations]
    assert {"make_directory", "write", "sync", "rename", "remove"} == set(names)
    assert names.count("sync") > 60


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_in_ten_thousand_states():
    report = explore(states=10_000, seed=SEED, killed_lives=12)
    assert report.violations == [], f"FAULT_SEED={SEED}"
    assert report.states >= 10_000


def test_a_sync_that_is_left_out_is_noticed():
    report = leave_out_each_sync(SEED, at_most=8)
    assert report.unnoticed == [], f"FAULT_SEED={SEED}"
    assert report.syncs == 8


@pytest.mark.slow
def test_every_single_sync_is_needed():
    report = leave_out_each_sync(SEED)
    assert report.unnoticed == []
    assert report.syncs > 50


@pytest.mark.slow
def test_what_a_killed_process_did_not_sync_is_synced_by_the_next():
    report = leave_out_syncs_after_a_kill(SEED)
    assert report.unnoticed == []
    assert report.syncs > 15
