"""The adversarial loop: play, read, save, until done or asked to stop."""

import time
from collections.abc import Callable

import torch

from ganmodels.data.batches import Deck
from ganmodels.games.match import Match
from worker.attempt import Attempt
from worker.endings import Ending, Outcome, TrainingDiverged

StopWanted = Callable[[], Outcome | None]

_STOP_CHECK_SECONDS = 0.1


class Pace:
    """Images per second between two readings, by the clock on the wall."""

    def __init__(self, images: int) -> None:
        self._images, self._at = images, time.monotonic()

    def read(self, images: int) -> float:
        """The rate since the last reading."""
        elapsed, seen = time.monotonic() - self._at, images - self._images
        self._images, self._at = images, time.monotonic()
        return seen / elapsed if elapsed > 0 else 0.0


class StopCheck:
    """Asks whether to stop, but not more often than ten times a second."""

    def __init__(self, wanted: StopWanted) -> None:
        self._wanted, self._next = wanted, 0.0

    def __call__(self) -> Ending | None:
        """The reason to stop, if any."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + _STOP_CHECK_SECONDS
        wanted = self._wanted()
        return Ending(wanted) if wanted else None


def run(match: Match, deck: Deck, attempt: Attempt, stop_wanted: StopWanted) -> Ending:
    """Train until the last step, or until a stop is wanted; either way a checkpoint is the end.

    Only what is to be rolled back is not saved.

    Raises:
        TrainingDiverged: when a value is not finite; it is never saved.
        Fenced: when another attempt has taken over.
    """
    schedule, pace, stop = attempt.config.schedule, Pace(match.images_seen), StopCheck(stop_wanted)
    start, ending = match.step, attempt.left_over(match)
    while match.step < match.total_steps and ending is None:
        match.play(deck)
        if match.step % schedule.metrics_every == 0 or match.step == match.total_steps:
            ending = _read(match, attempt, pace)
        if match.step % schedule.previews_every == 0:
            attempt.write_preview(match)
        if match.step % schedule.checkpoints_every == 0 and not _is_rollback(ending):
            match.agree()
            check_finite(match)
            attempt.save(match)
        ending = ending or stop()
    # A stop that is wanted during the last step has nothing left to stop.
    if ending is None or (match.step >= match.total_steps and ending.diagnosis is None):
        ending = Ending("finished")
    if match.step > start and not _is_rollback(ending):
        match.agree()
        check_finite(match)
        attempt.save_last(match)
    return ending


def _is_rollback(ending: Ending | None) -> bool:
    return ending is not None and ending.outcome == "rollback"


def _read(match: Match, attempt: Attempt, pace: Pace) -> Ending | None:
    measured = match.read_metrics()
    if measured.bad is not None:
        raise TrainingDiverged(*measured.bad)
    return attempt.write_metrics(match, measured.means, pace.read(match.images_seen))


def check_finite(match: Match) -> None:
    """Make sure that the whole state is finite, so that nothing else is ever saved.

    Raises:
        TrainingDiverged: when it is not.
    """
    for name, tensor in match.state().tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingDiverged(*(match.first_bad() or (match.step, name)))
