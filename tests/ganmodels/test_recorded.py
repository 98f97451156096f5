"""Recorded steps: what is recorded once is what is played, batch by batch and rate by rate.

There is no GPU here: a recording is stood for by what it would record, run again each time.
"""

import pytest
import torch

from ganmodels.games.match import Match
from ganmodels.games.recorded import Recorded, RecordingFailed, why_not
from tests.ganmodels.builders import config_for, match_for, play


class Rerun:
    """Counts recordings, and plays each of them anew."""

    def __init__(self) -> None:
        self.recordings = 0

    def __call__(self, work, random):
        self.recordings += 1
        return work


def recorded(match: Match, recorder) -> Recorded:
    match.moves = Recorded(match, recorder)
    return match.moves


@pytest.mark.parametrize(
    ("recipe", "recordings"),
    [("cgan", 1), ("wgan-gp", 1), ("vanilla", 2), ("pacgan", 1), ("acgan", 1)],
)
def test_recorded_steps_are_those_that_are_played_one_by_one(recipe, recordings):
    decay = {"kind": "linear", "start": 0.0}
    config = config_for(recipe, optimisation={"decay": decay}, steps=20)
    straight, other, rerun = match_for(config), match_for(config), Rerun()
    recorded(other, rerun)
    play(straight, config, 14)
    # What a recording decides in Python stays decided: later steps are not the recorded one.
    play(other, config, 14)
    assert rerun.recordings == recordings
    for key, tensor in straight.state().tensors.items():
        assert torch.equal(tensor, other.state().tensors[key]), key


def test_steps_are_not_recorded_while_what_settles_moves():
    config = config_for("r3gan-small", optimisation={"burn_in_images": 64})
    match, rerun = match_for(config), Rerun()
    recorded(match, rerun)
    play(match, config, 8)
    assert match.settled == 1 and rerun.recordings == 0
    play(match, config, 4)
    assert rerun.recordings == 1


def test_a_recording_that_fails_ends_the_attempt_with_its_reason():
    def refuse(work, random):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    config = config_for("cgan")
    match = match_for(config)
    recorded(match, refuse)
    with pytest.raises(
        RecordingFailed, match=r"^operation not permitted when stream is capturing$"
    ):
        play(match, config, 6)


def test_nothing_is_recorded_on_a_cpu():
    assert why_not(match_for(config_for("cgan"))) == "graphs are for GPUs"
