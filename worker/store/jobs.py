"""Jobs on disk: one directory each, which is the whole truth about the job.

    jobs/<id>/config.json       what to train (TrainConfig)
              job.json          status, times, error (JobRecord)
              progress.json     where the training is, replaced a few times per second at most
              events.jsonl      history, append-only
              stop              present while a pause or a cancel is wanted
              training.lock     held by the process that trains
              epochs/0001/      what one attempt wrote: metrics.jsonl, previews/, checkpoints/

Each attempt claims an epoch and writes in its directory alone, so an attempt that was given up
for dead cannot harm its successor. An epoch starts at a step of an earlier one; what the earlier
one wrote beyond that step is void.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field

from ganmodels.config import TrainConfig
from worker.errors import Conflict, NotFound
from worker.names import is_id
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt, directory_name
from worker.store.events import EventLog
from worker.store.files import (
    new_directory,
    new_id,
    now,
    read_json,
    replace_file,
    replace_json,
    write_durably,
)

Status = Literal["queued", "running", "paused", "succeeded", "failed", "canceled"]
Stop = Literal["pause", "cancel"]
LIVE: frozenset[Status] = frozenset({"queued", "running"})
UNFINISHED: frozenset[Status] = frozenset({"queued", "running", "paused"})


class JobError(BaseModel):
    """Why a job failed."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
    step: int | None = None


class JobRecord(BaseModel):
    """The state of a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=lambda: new_id("job"))
    status: Status = "queued"
    recipe: str
    recipe_chosen: bool = False
    model: str | None = None
    warnings: tuple[dict[str, str], ...] = ()
    attempt: int = 0
    created_at: str = Field(default_factory=now)
    started_at: str | None = None
    finished_at: str | None = None
    error: JobError | None = None


class Job:
    """One job's directory."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.events = EventLog(path / "events.jsonl")

    def record(self) -> JobRecord:
        """The state as it is now."""
        return JobRecord.model_validate_json((self.path / "job.json").read_bytes())

    def config(self) -> TrainConfig:
        """What to train."""
        return TrainConfig.model_validate_json((self.path / "config.json").read_bytes())

    @contextmanager
    def locked(self) -> Iterator[JobRecord]:
        """The state, which nobody else changes inside the block."""
        with FileLock(self.path / "job.lock"):
            yield self.record()

    def change(self, record: JobRecord, **changes: Any) -> JobRecord:
        """Replace the state, inside ``locked``; a change of status is an event."""
        changed = JobRecord.model_validate({**record.model_dump(), **changes})
        replace_json(self.path / "job.json", changed.model_dump(mode="json"))
        if changed.status != record.status:
            error = changed.error.model_dump() if changed.error else None
            self.events.append("job.status", {"status": changed.status, "error": error})
        return changed

    def replace_config(self, config: TrainConfig) -> None:
        """Change what to train: more steps."""
        replace_json(self.path / "config.json", config.model_dump(mode="json"))

    def progress(self) -> dict[str, Any]:
        """Step, rate and the latest metrics; empty before the first reading."""
        path = self.path / "progress.json"
        return dict(read_json(path)) if path.exists() else {}

    def fail_if_abandoned(self, error: JobError) -> None:
        """Record that the process that trained the job is gone; a later attempt can go on."""
        with self.locked() as record:
            if record.status == "running" and not self.is_training():
                self.change(record, status="failed", error=error, finished_at=now())
                self.events.append("job.done", {"status": "failed"})

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
        if stop is None:
            path.unlink(missing_ok=True)
        else:
            replace_file(path, stop.encode())

    @contextmanager
    def training_lock(self) -> Iterator[None]:
        """Held while training; the kernel lets go of it when the process dies.

        Raises:
            Conflict: when another process trains this job.
        """
        # POSIX rather than BSD lock: it does not pass to children.
        with (self.path / "training.lock").open("w") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict("job-running", "another process trains this job") from error
            yield

    def is_training(self) -> bool:
        """Whether another process holds the training lock."""
        try:
            with self.training_lock():
                return False
        except Conflict:
            return True

    def epochs(self) -> list["Epoch"]:
        """All attempts, oldest first, each with the step at which the next one took over."""
        paths = sorted((self.path / "epochs").glob("[0-9]*"))
        starts = [int(read_json(path / "epoch.json")["start_step"]) for path in paths]
        return [
            Epoch(path, start, end)
            for path, start, end in zip(paths, starts, [*starts, None][1:], strict=True)
        ]

    def claim_epoch(self, start_step: int) -> "Epoch":
        """A directory for a new attempt that goes on from ``start_step``."""
        number = len(self.epochs()) + 1
        path = self.path / "epochs" / f"{number:04d}"
        with new_directory(path) as directory:
            write_durably(directory / "epoch.json", json.dumps({"start_step": start_step}).encode())
        return Epoch(path, start_step, None)

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that count, by step."""
        valid = [checkpoint for epoch in self.epochs() for checkpoint in epoch.checkpoints()]
        return sorted(valid, key=lambda checkpoint: checkpoint.path.name)

    def checkpoint(self, step: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or the one at ``step``."""
        found = [c for c in self.checkpoints() if step in (None, c.step)]
        return found[-1] if found else None

    def newest_sound_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint whose every byte is right; damaged ones are put aside.

        Raises:
            CheckpointCorrupt: when there were checkpoints and none is sound.
        """
        damaged: dict[Checkpoint, str] = {}
        for checkpoint in reversed(self.checkpoints()):
            try:
                checkpoint.verify()
            except CheckpointCorrupt as error:
                damaged[checkpoint] = str(error)
            else:
                self._quarantine(damaged)
                return checkpoint
        if damaged:
            # They stay where they are: the next attempt must come to the same verdict.
            raise CheckpointCorrupt("no checkpoint of this job is sound")
        return None

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


class Epoch:
    """What one attempt wrote. ``end`` is the step at which the next attempt took over."""

    def __init__(self, path: Path, start: int, end: int | None) -> None:
        self.path, self.start, self.end = path, start, end
        self.number = int(path.name)

    def holds(self, step: int) -> bool:
        """Whether what this attempt wrote at ``step`` counts."""
        return self.end is None or step <= self.end

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step lies; names sort by step."""
        return self.path / "checkpoints" / directory_name(step)

    def preview_path(self, step: int) -> Path:
        """Where the preview of a step lies."""
        return self.path / "previews" / f"{step:09d}.png"

    def checkpoints(self) -> Iterator[Checkpoint]:
        """This attempt's checkpoints that count, by step."""
        for path in sorted((self.path / "checkpoints").glob("step-*")):
            checkpoint = Checkpoint(path)
            if self.holds(checkpoint.step):
                yield checkpoint

    def metrics(self) -> Iterator[dict[str, Any]]:
        """This attempt's rows that count; a line still being written is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                row: dict[str, Any] = json.loads(line)
                if not self.holds(row["step"]):
                    return
                yield row


class Jobs:
    """All jobs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self, config: TrainConfig, record: JobRecord) -> Job:
        """A new job, on disk when this returns."""
        path = self._directory / record.id
        with new_directory(path) as directory:
            write_durably(directory / "config.json", config.model_dump_json(indent=1).encode())
            write_durably(directory / "job.json", record.model_dump_json(indent=1).encode())
        job = Job(path)
        job.events.append("job.status", {"status": "queued", "error": None})
        return job

    def get(self, job_id: str) -> Job:
        """The job of an id.

        Raises:
            NotFound: when there is none.
        """
        path = self._directory / job_id
        if not is_id("job", job_id) or not path.is_dir():
            raise NotFound("job-not-found", "there is no job of this id; see GET /jobs")
        return Job(path)

    def exists(self, job_id: str) -> bool:
        """Whether there is a job of this id, which must be one of ours."""
        return (self._directory / job_id).is_dir()

    def all(self) -> list[Job]:
        """All jobs, newest first."""
        paths = [path for path in self._directory.glob("job_*") if path.is_dir()]
        return [Job(path) for path in sorted(paths, reverse=True)]

    def unfinished(self) -> list[Job]:
        """Jobs that may still train, oldest first."""
        found = []
        for job in reversed(self.all()):
            # A job may be deleted while the list is read.
            with suppress(FileNotFoundError):
                if job.record().status in UNFINISHED:
                    found.append(job)
        return found

    def users_of(self, dataset: str) -> list[Job]:
        """Unfinished jobs that train on a dataset."""
        return [job for job in self.unfinished() if job.config().dataset == dataset]

    def delete(self, job: Job) -> None:
        """Remove a job and all it made."""
        hidden = self._directory / f".{job.id}.trash"
        with suppress(FileNotFoundError):
            job.path.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)
