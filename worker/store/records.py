"""The state of a job: what ``job.json`` holds."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.store.files import new_id, now

Status = Literal["queued", "running", "paused", "succeeded", "failed", "canceled"]
Stop = Literal["pause", "cancel"]
LIVE: frozenset[Status] = frozenset({"queued", "running"})
UNFINISHED: frozenset[Status] = frozenset({"queued", "running", "paused"})
SETTLED_BY: Mapping[Stop, Status] = {"pause": "paused", "cancel": "canceled"}


class Shortage(BaseModel):
    """What a training needs by the estimate, what there was, and the batch that would fit."""

    model_config = ConfigDict(frozen=True)

    estimated_bytes: int
    available_bytes: int
    batch_size: int | None = None
    accumulate: int | None = None


class JobError(BaseModel):
    """Why a job failed, or why it is paused without having been asked to."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
    step: int | None = None
    signal: int | None = None
    log_tail: tuple[str, ...] = ()
    memory: Shortage | None = None


class StoppedBy(BaseModel):
    """The stop rule, or the warning, that ended a training early, and why."""

    model_config = ConfigDict(frozen=True)

    rule: str
    detail: str
    step: int


class JobRecord(BaseModel):
    """The state of a job.

    ``exact``: it ends bit for bit as if it had never been interrupted. ``resumed_after_attempt``:
    the last attempt before somebody resumed it; losses up to then are not held against it.
    ``graphs_failed``: why steps could not be recorded, which is not tried again.
    ``return_to``: the step after which the next attempt must go on from no checkpoint, because
    it is rolled back; None as a rule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=lambda: new_id("job"))
    status: Status = "queued"
    recipe: str
    recipe_chosen: bool = False
    model: str | None = None
    warnings: tuple[dict[str, str], ...] = ()
    attempt: int = 0
    resumed_after_attempt: int = 0
    exact: bool = True
    rollbacks: int = 0
    return_to: int | None = None
    graphs_failed: str | None = None
    stopped_by: StoppedBy | None = None
    created_at: str = Field(default_factory=now)
    started_at: str | None = None
    finished_at: str | None = None
    error: JobError | None = None

    @property
    def waits_for_storage(self) -> bool:
        """Whether it was paused because the disk failed it, and goes on when it can."""
        return self.status == "paused" and self.error is not None
