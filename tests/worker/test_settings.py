"""Settings that follow from others."""

import pytest

from worker.settings import Settings, available_cores


def test_processes_share_the_cores_for_sampling():
    cores = available_cores()
    assert Settings(processes=1).sample_threads == min(cores, 4)
    assert Settings(processes=2).sample_threads == max(1, min(cores // 2, 4))
    assert Settings(processes=64).sample_threads >= 1


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_set_counts(processes: int):
    assert Settings(processes=processes, sample_threads=3).sample_threads == 3
