"""The referee of one match: looks at it, keeps its history, says how it is."""

from collections.abc import Iterable
from typing import NamedTuple

from ganmodels.config import TrainConfig
from ganmodels.games.gan import Match
from ganmodels.referee.diagnoses import diagnose
from ganmodels.referee.health import Diagnosis, Health
from ganmodels.referee.history import History, Row, derived
from ganmodels.referee.watcher import Watcher


class Reading(NamedTuple):
    """What was seen at one step: signals for the metrics, the health, and what is new in it.

    ``health`` is None while it is too early to tell.
    """

    signals: Row
    health: Health | None
    begun: tuple[Diagnosis, ...]
    ended: tuple[Diagnosis, ...]


class Referee:
    """Rows of metrics from before make it go on as if it had never stopped."""

    def __init__(self, config: TrainConfig, watcher: Watcher, rows: Iterable[Row] = ()) -> None:
        self._config, self._watcher = config, watcher
        self._history = History(rows)
        self.health = self._diagnose()

    def read(self, match: Match, means: dict[str, float]) -> Reading:
        """Look at the match; ``means`` are its metrics since the last reading."""
        signals = self._watcher.look(match)
        signals |= derived(signals, means, self._history.last)
        row = {"step": match.step, **means, **signals}
        self._history.add(row)
        before, self.health = self.health, self._diagnose()
        # In the row too, so that whoever reads the rows again comes to the same verdict.
        named = {d.code: d.since_step for d in self.health.diagnoses} if self.health else None
        row["diagnoses"] = signals["diagnoses"] = named
        known = before.diagnoses if before else ()
        now = self.health.diagnoses if self.health else ()
        begun = tuple(d for d in now if d.code not in {other.code for other in known})
        ended = tuple(d for d in known if d.code not in {other.code for other in now})
        return Reading(signals, self.health, begun, ended)

    def _diagnose(self) -> Health | None:
        return diagnose(self._config, self._history, self._watcher.has_variety)
