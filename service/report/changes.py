"""What was changed while a job was trained, so that its configuration alone does not tell."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from ganmodels.config import TrainConfig
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt
from worker.store.events import Event
from worker.store.records import JobRecord


def describe_changes(
    record: JobRecord,
    config: TrainConfig,
    checkpoints: Sequence[Checkpoint],
    events: Iterable[Event],
) -> list[str]:
    """Sentences for who wants to train the same again; none where the configuration says it all."""
    found = []
    if record.rollbacks:
        times = "once" if record.rollbacks == 1 else f"{record.rollbacks} times"
        found.append(
            f"It was rolled back {times}, and each time both learning rates were halved from then "
            "on, which this does not ask for."
        )
    if _went_on_after_success(events) or _differs(config, checkpoints):
        found.append(
            "Its steps or stop rules were changed when it was resumed; this asks for the last ones."
        )
    return found


def _went_on_after_success(events: Iterable[Event]) -> bool:
    """Whether it was resumed after its end, which takes more steps or no stop rules."""
    has_succeeded = False
    for event in events:
        if event.type == "job.status":
            status = event.data.get("status")
            if has_succeeded and status == "queued":
                return True
            has_succeeded = status == "succeeded"
    return False


def _differs(config: TrainConfig, checkpoints: Sequence[Checkpoint]) -> bool:
    wanted = config.schedule.steps, config.stop
    return any(
        (earlier.schedule.steps, earlier.stop) != wanted for earlier in _configs(checkpoints)
    )


def _configs(checkpoints: Sequence[Checkpoint]) -> Iterator[TrainConfig]:
    for checkpoint in checkpoints:
        # Damaged, or pruned just now; the others may still tell.
        with suppress(CheckpointCorrupt):
            yield checkpoint.config()
