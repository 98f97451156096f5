"""How the loop may end, and why."""

from typing import Literal, NamedTuple

from ganmodels.referee.health import Diagnosis
from worker.store.records import StoppedBy

Outcome = Literal["finished", "pause", "cancel", "interrupt", "rollback", "fail"]


class Ending(NamedTuple):
    """An outcome, and the warning or the stop rule that asked for it, if one did."""

    outcome: Outcome
    diagnosis: Diagnosis | None = None
    stopped_by: StoppedBy | None = None
