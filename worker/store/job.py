"""A job on disk: its directory is the whole truth about it.

jobs/<id>/config.json       what to train (TrainConfig)
          job.json          status, times, error (JobRecord)
          events.jsonl      history, append-only
          stop              present while a pause or a cancel is wanted
          start/step-N/     the checkpoint whose weights it began with, if any
          training.log      what the training process had to say
          epochs/0001/      one attempt: see epochs.py
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from ganmodels.config import TrainConfig
from worker.errors import Conflict, Unavailable
from worker.store import disk
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt, directory_name
from worker.store.claims import Claim
from worker.store.epochs import EngineInUse, Epoch, Loss, all_epochs
from worker.store.events import EventLog
from worker.store.files import (
    new_id,
    now,
    read_model,
    replace_file,
    replace_json,
)
from worker.store.locks import locked
from worker.store.records import (
    LIVE,
    SETTLED_BY,
    UNFINISHED,
    JobError,
    JobRecord,
    Status,
    Stop,
    StoppedBy,
)

log = logging.getLogger("ringside.jobs")

START = "start"


class Job:
    """One job's directory."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name

    def start(self) -> Checkpoint | None:
        """The checkpoint whose weights the training begins with, where one was asked for."""
        return next((Checkpoint(path) for path in self.path.glob(f"{START}/*")), None)

    @cached_property
    def events(self) -> EventLog:
        """The history."""
        return EventLog(self.path / "events.jsonl")

    def record(self) -> JobRecord:
        """The state as it is now.

        Raises:
            JobCorrupt: when it cannot be understood.
        """
        return read_model(self.path / "job.json", JobRecord)

    def config(self) -> TrainConfig:
        """What to train.

        Raises:
            JobCorrupt: when it cannot be understood.
        """
        return read_model(self.path / "config.json", TrainConfig)

    def held(self) -> AbstractContextManager[None]:
        """Nobody else changes the job inside the block, also one whose state cannot be read.

        Raises:
            Unavailable: when somebody has been changing it for too long.
            FileNotFoundError: when the job was deleted.
        """
        busy = Unavailable("job-busy", "the job is being changed; try again")
        return locked(self.path / "job.lock", busy)

    @contextmanager
    def locked(self) -> Iterator[JobRecord]:
        """The state, which nobody else changes inside the block.

        Raises:
            Unavailable: when somebody has been changing it for too long.
            FileNotFoundError: when the job was deleted.
            JobCorrupt: when the state cannot be understood.
        """
        with self.held():
            yield self.record()

    def change(self, record: JobRecord, reason: str | None = None, **changes: Any) -> JobRecord:
        """Replace the state, inside ``locked``; a change of status is an event."""
        changed = JobRecord.model_validate({**record.model_dump(), **changes})
        if changed.status != record.status:
            self.mend_history(record)
        replace_json(self.path / "job.json", changed.model_dump(mode="json"))
        if changed.status != record.status:
            self._tell_status(changed, reason)
        return changed

    def mend_history(self, record: JobRecord) -> None:
        """Add the events of the present state, inside ``locked``, that a crash left out."""
        newest = self.events.newest({"job.status", "job.done"})
        if newest is None or newest.data["status"] != record.status:
            newest = None
            self._tell_status(record, reason=None)
        if record.status not in UNFINISHED and (newest is None or newest.type != "job.done"):
            self.events.append("job.done", {"status": record.status})

    def _tell_status(self, record: JobRecord, reason: str | None) -> None:
        error = record.error.model_dump() if record.error else None
        self.events.append(
            "job.status", {"status": record.status, "error": error, "reason": reason}
        )

    def end(
        self,
        record: JobRecord,
        status: Status,
        error: JobError | None = None,
        stopped_by: StoppedBy | None = None,
    ) -> None:
        """Settle the job for good, inside ``locked``: who waits for the end waits for the lock."""
        reason = stopped_by.rule if stopped_by else None
        self.change(
            record,
            reason,
            status=status,
            error=error,
            stopped_by=stopped_by,
            finished_at=now(),
        )
        self.events.append("job.done", {"status": status})

    def stop(self, record: JobRecord, stop: Stop) -> None:
        """Pause or cancel a job that nobody trains, inside ``locked``."""
        if stop == "cancel":
            self.end(record, "canceled")
        else:
            # Without an error: one that waited for storage does not go on by itself any more.
            self.change(record, status="paused", error=None)
        self.want_stop(None)

    def resume(self, record: JobRecord) -> None:
        """Let a job that is not live go on, inside ``locked``."""
        self.want_stop(None)
        self.change(
            record,
            reason="resumed",
            status="queued",
            error=None,
            finished_at=None,
            stopped_by=None,
            resumed_after_attempt=record.attempt,
        )

    def replace_config(self, config: TrainConfig) -> None:
        """Change what to train: more steps."""
        replace_json(self.path / "config.json", config.model_dump(mode="json"))

    def progress(self) -> dict[str, Any]:
        """Step, rate and the latest metrics; empty before the first reading."""
        return next(filter(None, (epoch.progress() for epoch in reversed(self.epochs()))), {})

    def engine(self) -> EngineInUse | None:
        """What the newest attempt that has begun runs on, or ran on."""
        return next(filter(None, (epoch.engine() for epoch in reversed(self.epochs()))), None)

    def stop_wanted(self) -> Stop | None:
        """Whether the trainer is asked to save and leave."""
        try:
            text = (self.path / "stop").read_text()
        except FileNotFoundError:
            return None
        return "cancel" if text == "cancel" else "pause"

    def want_stop(self, stop: Stop | None) -> None:
        """Ask the trainer to save and leave, or take the wish back."""
        path = self.path / "stop"
        if stop is not None:
            replace_file(path, stop.encode())
        elif path.exists():
            disk.remove_file(path)
            # A wish that comes back after a power cut would stop the next attempt.
            disk.sync_directory(self.path)

    def claim(self) -> Claim | None:
        """The right to train the job now; None when there is nothing to train any more.

        Raises:
            Conflict: when another process trains it.
        """
        with self.locked() as record:
            if record.status not in LIVE:
                return None
            if self.is_training():
                raise Conflict("job-running", "another process trains this job")
            epochs = self.epochs()
            claim = Claim.make(self.path / "epochs", epochs[-1].number + 1 if epochs else 1)
            try:
                self.change(
                    record,
                    status="running",
                    attempt=claim.epoch.number,
                    started_at=record.started_at or now(),
                    error=None,
                )
            except BaseException:
                claim.release()
                raise
            return claim

    def settle(
        self,
        claim: Claim,
        status: Status,
        error: JobError | None,
        reason: str | None = None,
        stopped_by: StoppedBy | None = None,
        publish: Callable[[], None] = lambda: None,
    ) -> None:
        """Record how an attempt ended, and let go of the job.

        ``publish`` is called inside the lock before a success is recorded: who sees the job
        succeeded sees what it made, and what it raises leaves the job as it is.

        Raises:
            Fenced: when the attempt was taken over; then nothing is recorded.
        """
        # A job that was deleted has no lock any more.
        claim.check()
        with self.locked() as record:
            claim.check()
            # A stop that was accepted while the last checkpoint was saved counts.
            wanted = self.stop_wanted()
            if status in ("queued", "paused") and wanted:
                status, error, reason, stopped_by = SETTLED_BY[wanted], None, None, None
            if status in UNFINISHED:
                self.change(record, reason, status=status, error=error, stopped_by=stopped_by)
            else:
                if status == "succeeded":
                    publish()
                self.end(record, status, error, stopped_by)
            # Last: a wish that was granted may stay behind, but never the other way round.
            self.want_stop(None)
            # Inside the lock, so that whoever finds the job queued finds it free.
            claim.release()

    def roll_back(self, claim: Claim, to_step: int, reason: str) -> None:
        """Put the job back, to go on from the checkpoint of a step, with lower learning rates.

        Raises:
            Fenced: when the attempt was taken over; then nothing is changed.
        """
        claim.check()
        with self.locked() as record:
            claim.check()
            self.events.append("job.rolled_back", {"to_step": to_step, "reason": reason})
            # One write: the count of rollbacks is what the learning rates follow from.
            wanted, count = self.stop_wanted(), record.rollbacks + 1
            if wanted:
                self.stop(self.change(record, rollbacks=count, return_to=to_step), wanted)
            else:
                reason = "rolled-back"
                self.change(record, reason, status="queued", rollbacks=count, return_to=to_step)
            claim.release()

    def note_return(self) -> None:
        """The attempt has begun where it was to return to; later ones go on from its work."""
        with self.locked() as record:
            if record.return_to is not None:
                self.change(record, return_to=None)

    def put_back(self, loss: Loss, max_attempts: int) -> bool:
        """Queue the job again whose training process is gone; whether that was done.

        A job that was lost ``max_attempts`` times without saving a checkpoint in between fails.
        """
        with self.locked() as record:
            if record.status != "running" or self.is_training():
                return False
            epochs = self.epochs()
            if not epochs:
                # Nothing of an attempt is there, so nothing was lost with it.
                self.change(record, reason=loss.code, status="queued")
                return True
            epoch = epochs[-1]
            epoch.note_loss(loss)
            told = {
                "attempt": epoch.number,
                **loss.model_dump(include={"code", "detail", "signal"}),
            }
            self.events.append("attempt.lost", told)
            if wanted := self.stop_wanted():
                self.stop(record, wanted)
            elif error := self.verdict(loss, max_attempts):
                self.end(record, "failed", error)
            else:
                self.change(record, reason=loss.code, status="queued")
                return True
            return False

    def verdict(self, loss: Loss, max_attempts: int) -> JobError | None:
        """Why the job is given up, if it was lost too often since it last saved a checkpoint."""
        lost, newest = self.fruitless_attempts(), self.checkpoint()
        if lost < max_attempts:
            return None
        return JobError(
            code=loss.code,
            detail=f"{loss.detail}; {lost} attempts in a row were lost without a checkpoint in "
            "between. Mend the cause, then POST /jobs/<id>/resume",
            step=newest.step if newest else 0,
            signal=loss.signal,
            log_tail=loss.log_tail,
        )

    def fruitless_attempts(self) -> int:
        """How many attempts were lost, one after the other, since a checkpoint was saved."""
        count, resumed_after = 0, self.record().resumed_after_attempt
        for epoch in reversed(self.epochs()):
            if epoch.number <= resumed_after:
                break
            if epoch.was_fruitless:
                count += 1
            elif epoch.start is not None:
                break
        return count

    def is_training(self) -> bool:
        """Whether a process trains the job now."""
        epochs = self.epochs()
        return bool(epochs) and epochs[-1].is_alive

    def epochs(self) -> list[Epoch]:
        """All attempts, oldest first."""
        return all_epochs(self.path / "epochs")

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that count, by step."""
        valid = [c for epoch in self.epochs() for c in epoch.checkpoints() if epoch.holds(c.step)]
        return sorted(valid, key=lambda checkpoint: checkpoint.path.name)

    def void_checkpoints(self) -> list[Checkpoint]:
        """Those that a later attempt made void."""
        return [c for e in self.epochs() for c in e.checkpoints() if not e.holds(c.step)]

    def checkpoint(self, step: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or the one at ``step``."""
        found = [c for c in self.checkpoints() if step in (None, c.step)]
        return found[-1] if found else None

    def newest_sound_checkpoint(self, until: int | None = None) -> Checkpoint | None:
        """The newest checkpoint whose every byte is right; damaged ones are put aside.

        ``until``: of those up to this step.

        Raises:
            CheckpointCorrupt: when there were checkpoints and none is sound.
        """
        damaged: dict[Checkpoint, str] = {}
        for checkpoint in reversed(self.checkpoints()):
            if until is not None and checkpoint.step > until:
                continue
            try:
                self._verify(checkpoint)
            except CheckpointCorrupt as error:
                damaged[checkpoint] = str(error)
            else:
                self._quarantine(damaged)
                return checkpoint
        if damaged:
            # They stay where they are: the next attempt must come to the same verdict.
            raise CheckpointCorrupt("no checkpoint of this job is sound")
        return None

    def _verify(self, checkpoint: Checkpoint) -> None:
        checkpoint.verify()
        epoch = int(checkpoint.path.parent.parent.name)
        if (checkpoint.manifest.job, checkpoint.manifest.epoch) != (self.id, epoch):
            raise CheckpointCorrupt(f"{checkpoint.path.name}: it belongs to another attempt")

    def checkpoint_by_digest(self, step: int, digest: str) -> Checkpoint | None:
        """The very checkpoint of a digest, also if a later attempt made its step again."""
        for path in self.path.glob(f"epochs/*/checkpoints/{directory_name(step)}"):
            checkpoint = Checkpoint(path)
            with suppress(CheckpointCorrupt):
                if checkpoint.digest == digest:
                    return checkpoint
        return None

    def _quarantine(self, damaged: Mapping[Checkpoint, str]) -> None:
        for checkpoint, reason in damaged.items():
            target = self.path / "quarantine" / f"{checkpoint.path.name}-{new_id('q')}"
            target.parent.mkdir(exist_ok=True)
            checkpoint.path.rename(target)
            self.events.append("checkpoint.quarantined", {"reason": reason})

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Rows of metrics, by step, without those that a later attempt made void."""
        for epoch in self.epochs():
            yield from epoch.metrics()

    def previews(self) -> dict[int, Path]:
        """Preview pictures by step."""
        found: dict[int, Path] = {}
        for epoch in self.epochs():
            for path in sorted((epoch.path / "previews").glob("*.png")):
                step = int(path.stem)
                if epoch.holds(step):
                    found[step] = path
        return found
