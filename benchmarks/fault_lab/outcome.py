"""What became of a job, read from its directory: the final hash, and what each attempt lost."""

import hashlib
import itertools
import json
from datetime import datetime
from math import ceil
from statistics import median
from typing import Any, NamedTuple

from worker.store.epochs import Epoch
from worker.store.job import Job

# They tell of the clock, not of the training.
_OF_THE_CLOCK = ("images_per_second", "at")


class Outcome(NamedTuple):
    """A job that has ended.

    ``lost_steps`` has one entry per attempt but the last: steps that the next one had to repeat,
    at least; up to one interval of metrics less one may come on top.
    """

    status: str
    digest: str
    attempts: int
    useful_steps: int
    lost_steps: tuple[int, ...]
    seconds_per_step: float
    useful_seconds: float
    wall_seconds: float
    repeated_rows: int
    skipped_checkpoints: int
    longest_write_seconds: float

    @property
    def steps_during_a_write(self) -> int:
        """Steps that are played while a checkpoint is being written, at most."""
        return ceil(self.longest_write_seconds / self.seconds_per_step)

    @property
    def goodput(self) -> float:
        """Time spent on steps that count, as a share of the time from submission to the end.

        The pace is that of this very run, as others left it to it at each moment.
        """
        return self.useful_seconds / self.wall_seconds

    @property
    def goodput_at_usual_pace(self) -> float:
        """The same, as if every step had taken as long as half of them did at most."""
        return self.useful_steps * self.seconds_per_step / self.wall_seconds


def outcome_of(job: Job) -> Outcome:
    """Read all of it."""
    record, epochs, rows = job.record(), job.epochs(), list(job.metrics())
    told = list(job.events.after(0))
    writes = [e.data["write_seconds"] for e in told if e.type == "checkpoint.created"]
    steps = [row["step"] for row in rows]
    assert record.finished_at is not None, f"{job.id} is {record.status}"
    return Outcome(
        status=record.status,
        digest=final_hash(job),
        attempts=len(epochs),
        useful_steps=max(steps, default=0),
        lost_steps=tuple(lost_steps(epochs)),
        seconds_per_step=seconds_per_step(epochs),
        useful_seconds=useful_seconds(epochs),
        wall_seconds=_seconds(record.finished_at) - _seconds(record.created_at),
        repeated_rows=len(steps) - len(set(steps)),
        skipped_checkpoints=sum(event.type == "checkpoint.skipped" for event in told),
        longest_write_seconds=max(writes, default=0.0),
    )


def final_hash(job: Job) -> str:
    """SHA-256 over every tensor of the last checkpoint, by name, and over the metrics."""
    digest = hashlib.sha256()
    checkpoint = job.checkpoint()
    assert checkpoint is not None, f"{job.id} has no checkpoint"
    files = sorted(entry.name for entry in checkpoint.manifest.files)
    for file in (name for name in files if name.endswith(".safetensors")):
        for key, tensor in sorted(checkpoint.tensors(file.removesuffix(".safetensors")).items()):
            digest.update(f"{file}/{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
    for row in job.metrics():
        kept = {key: value for key, value in row.items() if key not in _OF_THE_CLOCK}
        digest.update(json.dumps(kept, sort_keys=True).encode())
    return digest.hexdigest()


def written_rows(epoch: Epoch) -> list[dict[str, Any]]:
    """All whole rows of metrics of an attempt, those that are void too."""
    path = epoch.path / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def lost_steps(epochs: list[Epoch]) -> list[int]:
    """Of each attempt but the last: how far it was known to be beyond where the next began."""
    lost = []
    begun = [epoch for epoch in epochs if epoch.start is not None]
    for epoch, following in itertools.pairwise(begun):
        lost.append(max(0, reached(epoch) - (following.start or 0)))
    return lost


def reached(epoch: Epoch) -> int:
    """The last step that an attempt is known to have played."""
    rows = written_rows(epoch)
    known = [epoch.start or 0, int(epoch.progress().get("step", 0))]
    return max([*known, *(int(row["step"]) for row in rows)])


def seconds_per_step(epochs: list[Epoch]) -> float:
    """Median over all intervals between two rows of metrics, in this very job."""
    paces = []
    for epoch in epochs:
        rows = written_rows(epoch)
        for row, following in itertools.pairwise(rows):
            seconds = seconds_at(following) - seconds_at(row)
            paces.append(seconds / (following["step"] - row["step"]))
    return median(paces) if paces else 0.0


def useful_seconds(epochs: list[Epoch]) -> float:
    """Time between rows of metrics that count, saving and previews included.

    What comes before the first row of an attempt, the first steps too, is not counted.
    """
    pairs = [pair for epoch in epochs for pair in itertools.pairwise(epoch.metrics())]
    return sum(seconds_at(following) - seconds_at(row) for row, following in pairs)


def seconds_at(row: dict[str, Any]) -> float:
    """When a row of metrics was written, in seconds since 1970."""
    return _seconds(row["at"])


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
