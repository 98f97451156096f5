"""The referee of one match: looks at it, keeps its history, says how it is."""

from collections.abc import Iterable
from typing import NamedTuple

from ganmodels.config import TrainConfig
from ganmodels.games.match import Match
from ganmodels.referee.diagnoses import diagnose
from ganmodels.referee.health import Diagnosis, Health
from ganmodels.referee.history import History, Row, drift, smoothed
from ganmodels.referee.watcher import Watcher


class Reading(NamedTuple):
    """What was seen at one step: columns of the metrics, the health, and what is new in it.

    ``health`` is None while it is too early to tell.
    """

    columns: Row
    health: Health | None
    begun: tuple[Diagnosis, ...] = ()
    ended: tuple[Diagnosis, ...] = ()


class Referee:
    """Rows of metrics from before make it go on as if it had never stopped."""

    def __init__(self, config: TrainConfig, watcher: Watcher, rows: Iterable[Row] = ()) -> None:
        self._config, self._watcher = config, watcher
        self._history = History(rows)
        self.health = self._diagnose()

    def read(self, match: Match, means: dict[str, float]) -> Reading:
        """What there is to say at a row of metrics; the match is looked at if a reading is due."""
        number = max(1, match.step // self._config.schedule.metrics_every)
        columns = smoothed(means, self._history.newest, number)
        if not self._is_due(match):
            self._history.add({"step": match.step, **means, **columns})
            return Reading(columns, self.health)
        signals = self._watcher.look(match)
        columns |= {**signals, "histogram_drift": drift(signals, self._last())}
        row = {"step": match.step, **means, **columns}
        self._history.add(row)
        before, self.health = self.health, self._diagnose()
        # In the row too, so that whoever reads the rows again comes to the same verdict.
        row["diagnoses"] = columns["diagnoses"] = _named(self.health)
        return Reading(columns, self.health, *_changes(before, self.health))

    def begun_last(self) -> tuple[Diagnosis, ...]:
        """What the last reading named that the one before it did not."""
        readings = self._history.latest
        if self.health is None or not readings:
            return ()
        known = (readings[-2].get("diagnoses") if len(readings) > 1 else None) or {}
        return tuple(d for d in self.health.diagnoses if d.code not in known)

    @property
    def last_step(self) -> int:
        """The step of the last reading; 0 before the first."""
        return self._history.last_step

    def _is_due(self, match: Match) -> bool:
        every = self._config.referee.read_every
        is_last = match.step >= match.total_steps
        return is_last or match.step // every > self._history.last_step // every

    def _last(self) -> Row | None:
        return self._history.latest[-1] if self._history.latest else None

    def _diagnose(self) -> Health | None:
        return diagnose(self._config, self._history, self._watcher.has_variety)


def _named(health: Health | None) -> dict[str, int] | None:
    return {d.code: d.since_step for d in health.diagnoses} if health else None


def _changes(
    before: Health | None, now: Health | None
) -> tuple[tuple[Diagnosis, ...], tuple[Diagnosis, ...]]:
    """Diagnoses that have begun, and those that have ended."""
    old, new = (health.diagnoses if health else () for health in (before, now))
    old_codes, new_codes = {d.code for d in old}, {d.code for d in new}
    begun = tuple(d for d in new if d.code not in old_codes)
    return begun, tuple(d for d in old if d.code not in new_codes)
