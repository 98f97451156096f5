"""How a training may end, and why."""

from typing import Literal, NamedTuple

from ganmodels.referee.health import Diagnosis
from worker.store.epochs import Loss
from worker.store.records import StoppedBy

Outcome = Literal["finished", "pause", "cancel", "interrupt", "rollback", "fail"]


class TrainingDiverged(Exception):  # noqa: N818 - named for what it says
    """A value became NaN or infinite; nothing of it was saved."""

    def __init__(self, step: int, cause: str) -> None:
        super().__init__(
            f"{cause} was not finite at step {step}; lower learning_rate, or use an objective "
            "with a penalty"
        )
        self.step = step


class FollowerLost(Exception):  # noqa: N818 - named for what it says
    """A process that played the job together with this one has died."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.detail)
        self.loss = loss


class Ending(NamedTuple):
    """An outcome, and the warning or the stop rule that asked for it, if one did."""

    outcome: Outcome
    diagnosis: Diagnosis | None = None
    stopped_by: StoppedBy | None = None
