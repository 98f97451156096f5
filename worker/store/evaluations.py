"""Evaluations of checkpoints: each a directory of its job, named by what is to be measured.

jobs/<id>/evaluations/<ev>/evaluation.json   what was asked and what was found
                           neighbours.png    real, generated and nearest training images
                           scores.json       what the discriminator makes of each kind
                           lock              locked by the process that measures
                           reserve           while one measures: room for what it finds
pending-evaluations/<id>-<ev>                present until all that follows is done; holds the
                                             digest of the checkpoint, which must not be pruned,
                                             and whether somebody asked for it

Markers, records and their locks change inside one lock of the home. Nothing slow is done there.
"""

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ganmodels.referee.config import MEASURES, Protocol
from ganmodels.referee.findings import Findings
from worker.errors import JobCorrupt, NotFound, Unavailable
from worker.names import is_id
from worker.store import disk
from worker.store.checkpoints import Checkpoint
from worker.store.epochs import Loss
from worker.store.files import (
    ensure_directory,
    new_directory,
    now,
    read_model,
    remove_directory,
    replace_file,
    replace_json,
    write_durably,
)
from worker.store.job import Job
from worker.store.locks import locked
from worker.store.records import JobError

Status = Literal["queued", "running", "succeeded", "failed"]
PENDING: frozenset[Status] = frozenset({"queued", "running"})
RECORD = "evaluation.json"
NEIGHBOURS, SCORES = "neighbours.png", "scores.json"
_LOOK_SECONDS = 0.2
_RESERVE, _RESERVE_BYTES = "reserve", 65_536
_ON_DEMAND = "on-demand"

log = logging.getLogger("ringside.evaluations")


class EvaluationRecord(BaseModel):
    """What was asked, how far it is, what was found.

    ``checkpoint`` is the digest of the one at ``step`` that attempt ``epoch`` wrote. ``protocol``
    is as it was asked for; that of the findings is as it was used. ``attempts`` counts those that
    ended well or were lost, not those that were interrupted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    status: Status = "queued"
    job: str
    step: int
    epoch: int
    checkpoint: str
    protocol: Protocol
    findings: Findings | None = None
    error: JobError | None = None
    attempts: int = 0
    created_at: str = Field(default_factory=now)
    started_at: str | None = None
    finished_at: str | None = None

    @property
    def is_pending(self) -> bool:
        """Whether it waits or runs."""
        return self.status in PENDING


class Room(NamedTuple):
    """How many evaluations may be pending: of all jobs, and of one; None is any number.

    Those ``on_demand``, which somebody asked for and waits for, are counted apart from those of
    trainings, and are done before them.
    """

    of_all: int | None
    of_job: int | None
    on_demand: bool = False


class Pending(NamedTuple):
    """What a marker's name says: an evaluation that is not over."""

    job_id: str
    id: str


class _Note(NamedTuple):
    """What a marker holds."""

    digest: str
    on_demand: bool


class Evaluation:
    """One evaluation's directory."""

    def __init__(self, job: Job, evaluation_id: str) -> None:
        self.job, self.id = job, evaluation_id
        self.path = job.path / "evaluations" / evaluation_id

    def record(self) -> EvaluationRecord:
        """What is known now.

        Raises:
            FileNotFoundError: when there is no such evaluation.
            JobCorrupt: when it cannot be understood.
        """
        return read_model(self.path / RECORD, EvaluationRecord)

    @contextmanager
    def claimed(self) -> Iterator[bool]:
        """Whether this process alone measures it, inside the block.

        The lock belongs to the opened file, so it is let go when the process dies.
        """
        with self._lock() as descriptor:
            yield _lock_soon(descriptor)

    @property
    def is_running(self) -> bool:
        """Whether a process measures it now."""
        with self._lock() as descriptor:
            return not _try_lock(descriptor, fcntl.LOCK_SH)

    @property
    def has_reserve(self) -> bool:
        """Whether nobody has begun to record how it ends."""
        return (self.path / _RESERVE).exists()

    def make_reserve(self) -> None:
        """Keep a little room, so that what is found can be recorded on a disk that fills up."""
        replace_file(self.path / _RESERVE, bytes(_RESERVE_BYTES), durable=False)

    def use_reserve(self) -> None:
        """Let go of that room."""
        with suppress(OSError):
            disk.remove_file(self.path / _RESERVE)

    @contextmanager
    def _lock(self) -> Iterator[int]:
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class Evaluations:
    """All evaluations of a home."""

    def __init__(self, home: Path) -> None:
        self._jobs, self._markers = home / "jobs", home / "pending-evaluations"

    def of(self, job: Job) -> list[EvaluationRecord]:
        """All of a job that can be read, by step."""
        found = []
        for path in job.path.glob("evaluations/ev_*"):
            try:
                found.append(Evaluation(job, path.name).record())
            except FileNotFoundError:
                continue
            except JobCorrupt:
                log.error("%s cannot be read; it is left out", path)
        return sorted(found, key=lambda record: (record.step, record.created_at))

    def by_own_protocol(self, job: Job) -> dict[int, EvaluationRecord]:
        """Those by the protocol that the job names, by step, that no later attempt made void."""
        protocol = canonical(job.config().referee.protocol)
        epochs = {epoch.number: epoch for epoch in job.epochs()}
        found = {}
        for record in self.of(job):
            epoch = epochs.get(record.epoch)
            if record.protocol == protocol and epoch and epoch.holds(record.step):
                found[record.step] = record
        return found

    def get(self, job: Job, evaluation_id: str) -> Evaluation:
        """The evaluation of an id.

        Raises:
            NotFound: when the job has none.
        """
        found = Evaluation(job, evaluation_id)
        if not is_id("ev", evaluation_id) or not (found.path / RECORD).exists():
            raise NotFound(
                "evaluation-not-found", f"there is none of this id; see /jobs/{job.id}/evaluations"
            )
        return found

    def at(self, pending: Pending) -> Evaluation:
        """The evaluation of a marker; it may be gone.

        Raises:
            NotFound: when the ids are none of ours, and so not safe in a path.
        """
        if not (is_id("job", pending.job_id) and is_id("ev", pending.id)):
            raise NotFound("evaluation-not-found", "there is no evaluation of this id")
        return Evaluation(Job(self._jobs / pending.job_id), pending.id)

    def ask(
        self, job: Job, checkpoint: Checkpoint, protocol: Protocol, room: Room
    ) -> tuple[EvaluationRecord, bool]:
        """Put a checkpoint up for evaluation; it is on disk when this returns.

        What was asked for before is the same evaluation: one that failed is put up again, one that
        a training put up goes before all others once it is asked for on demand, any other is left
        as it is. Returns whether it is to be queued now.

        Raises:
            NotFound: when the checkpoint was pruned just now.
            Unavailable: when too many are pending.
            FileNotFoundError: when the job was deleted.
        """
        evaluation = Evaluation(job, evaluation_id(checkpoint.digest, protocol))
        with self.changing():
            known = _readable(evaluation)
            if known and known.status == "succeeded":
                return known, False
            if known and known.is_pending:
                is_marked = self._mark(evaluation, _Note(known.checkpoint, room.on_demand))
                # Who put it up may have died before it was on disk; the answer is to last.
                disk.sync_directory(evaluation.path.parent)
                return known, is_marked and known.status == "queued"
            self._check_room(job.id, room)
            record = self._put_up(evaluation, checkpoint, protocol, room.on_demand)
        # It was accepted; a disk that is full by now makes no difference to that.
        with suppress(OSError):
            job.events.append("evaluation.queued", {"id": record.id, "step": record.step})
        return record, True

    def begin(self, evaluation: Evaluation) -> EvaluationRecord | None:
        """Note that this process, which has claimed it, measures it; None if it is over.

        Raises:
            OSError: when there is no room, not even to record what will be found.
        """
        with self.changing():
            record = evaluation.record()
            if not record.is_pending:
                return None
            attempts = _counted(evaluation, record) + 1
            return _change(evaluation, record, "running", attempts=attempts, started_at=now())

    def end(
        self, evaluation: Evaluation, findings: Findings | None, error: JobError | None
    ) -> EvaluationRecord:
        """Record what was found or what went wrong; what is over already stays as it is."""
        with self.changing():
            record = evaluation.record()
            if record.status != "running":
                return record
            status: Status = "succeeded" if error is None else "failed"
            found = {"findings": findings, "error": error}
            return _change(evaluation, record, status, finished_at=now(), **found)

    def put_back(self, evaluation: Evaluation, loss: Loss, max_attempts: int) -> EvaluationRecord:
        """Queue one again whose process is gone; one that was lost too often fails.

        One whose end could not be recorded, and which nobody could hand back either, is no loss.
        """
        with self.changing():
            record = evaluation.record()
            if record.status != "running" or evaluation.is_running:
                return record
            if not evaluation.has_reserve or record.attempts < max_attempts:
                attempts = _counted(evaluation, record)
                return _change(evaluation, record, "queued", attempts=attempts)
            detail = f"{loss.detail}; {record.attempts} attempts were lost. Ask for it again, "
            detail += "or for fewer samples"
            error = JobError(code=loss.code, detail=detail, signal=loss.signal)
            return _change(evaluation, record, "failed", error=error, finished_at=now())

    def hand_back(self, evaluation: Evaluation) -> None:
        """Queue one again that was interrupted on purpose; that is no loss."""
        with self.changing():
            record = evaluation.record()
            if record.status == "running" and not evaluation.is_running:
                _change(evaluation, record, "queued", attempts=record.attempts - 1)

    def pending(self) -> list[Pending]:
        """All that are not over; no file is read for it."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._markers))
        except FileNotFoundError:
            return []
        found = [Pending(*name.partition("-")[::2]) for name in names]
        return [one for one in found if is_id("job", one.job_id) and is_id("ev", one.id)]

    def is_marked(self, pending: Pending) -> bool:
        """Whether something is left to do for it."""
        return self._marker(pending).exists()

    def is_on_demand(self, pending: Pending) -> bool:
        """Whether somebody asked for it; otherwise a training put it up."""
        note = self._read(pending)
        return note is not None and note.on_demand

    def pinned(self, job_id: str) -> set[str]:
        """Digests of a job's checkpoints that are still to be measured: they must not be pruned."""
        mine = [pending for pending in self.pending() if pending.job_id == job_id]
        return {note.digest for pending in mine if (note := self._read(pending))}

    def forget(self, pending: Pending) -> None:
        """Remove the marker of an evaluation that is over, or that is not there at all."""
        with self.changing():
            # Somebody may have asked again for one that failed.
            record = _readable(self.at(pending))
            if record is None or not record.is_pending:
                self._unmark(pending)

    def withdraw_oldest(self, job: Job) -> int | None:
        """Take back the earliest of a job that a training put up and nobody has begun: its step."""
        with self.changing():
            mine = [one for one in self.pending() if one.job_id == job.id]
            waiting = [
                (record.step, one)
                for one in mine
                if not self.is_on_demand(one)
                and (record := _readable(self.at(one)))
                and record.status == "queued"
            ]
            if not waiting:
                return None
            step, oldest = min(waiting)
            remove_directory(self.at(oldest).path)
            self._unmark(oldest)
            return step

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody asks, begins or ends inside the block, so what is pending stays the same.

        Raises:
            Unavailable: when somebody has been at it for too long.
        """
        ensure_directory(self._markers)
        busy = Unavailable("evaluations-busy", "evaluations are being changed; try again")
        with locked(self._markers / ".lock", busy):
            yield

    def _check_room(self, job_id: str, room: Room) -> None:
        pending = [one for one in self.pending() if self.is_on_demand(one) == room.on_demand]
        of_job = sum(one.job_id == job_id for one in pending)
        for count, most in ((len(pending), room.of_all), (of_job, room.of_job)):
            if most is not None and count >= most:
                detail = f"{count} evaluations are waiting or running; try again later"
                raise Unavailable("too-many-evaluations", detail)

    def _put_up(
        self, evaluation: Evaluation, checkpoint: Checkpoint, protocol: Protocol, on_demand: bool
    ) -> EvaluationRecord:
        # First: from here on the checkpoint is not pruned.
        self._mark(evaluation, _Note(checkpoint.digest, on_demand))
        try:
            manifest = checkpoint.manifest
            if evaluation.job.checkpoint_by_digest(manifest.step, checkpoint.digest) is None:
                raise NotFound("checkpoint-not-found", "the checkpoint was pruned just now")
            record = EvaluationRecord(
                id=evaluation.id,
                job=evaluation.job.id,
                step=manifest.step,
                epoch=manifest.epoch,
                checkpoint=checkpoint.digest,
                protocol=canonical(protocol),
            )
            _save(evaluation, record)
        except BaseException:
            self._unmark(Pending(evaluation.job.id, evaluation.id))
            raise
        return record

    def _mark(self, evaluation: Evaluation, note: _Note) -> bool:
        """Whether it had no such marker yet; one that is on demand stays so."""
        pending = Pending(evaluation.job.id, evaluation.id)
        found = self._read(pending)
        if found and (found.on_demand or not note.on_demand):
            disk.sync_directory(self._markers)
            return False
        words = [note.digest, _ON_DEMAND] if note.on_demand else [note.digest]
        replace_file(self._marker(pending), " ".join(words).encode())
        return True

    def _unmark(self, pending: Pending) -> None:
        disk.remove_file(self._marker(pending))

    def _marker(self, pending: Pending) -> Path:
        return self._markers / f"{pending.job_id}-{pending.id}"

    def _read(self, pending: Pending) -> _Note | None:
        try:
            text = self._marker(pending).read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return None
        digest, _, kind = text.partition(" ")
        return _Note(digest, kind == _ON_DEMAND)


def evaluation_id(digest: str, protocol: Protocol) -> str:
    """The same question has the same id, in whatever order it names its measures."""
    text = f"{digest} {canonical(protocol).model_dump_json()}"
    return f"ev_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def canonical(protocol: Protocol) -> Protocol:
    """The protocol with each measure once, in their usual order."""
    ordered = tuple(measure for measure in MEASURES if measure in protocol.measures)
    return protocol.model_copy(update={"measures": ordered})


def _counted(evaluation: Evaluation, record: EvaluationRecord) -> int:
    """Its attempts, without the last where only recording its end went wrong."""
    is_unrecorded = record.status == "running" and not evaluation.has_reserve
    return record.attempts - 1 if is_unrecorded else record.attempts


def _change(
    evaluation: Evaluation, record: EvaluationRecord, status: Status, **changes: Any
) -> EvaluationRecord:
    changed = EvaluationRecord.model_validate({**dict(record), "status": status, **changes})
    if status == "running":
        evaluation.make_reserve()
    else:
        evaluation.use_reserve()
    _save(evaluation, changed)
    return changed


def _save(evaluation: Evaluation, record: EvaluationRecord) -> None:
    if evaluation.path.exists():
        replace_json(evaluation.path / RECORD, record.model_dump(mode="json"))
        return
    with new_directory(evaluation.path) as directory:
        write_durably(directory / RECORD, record.model_dump_json(indent=1).encode())


def _readable(evaluation: Evaluation) -> EvaluationRecord | None:
    """What is known; None for nothing, and for what cannot be understood: it is asked again."""
    try:
        return evaluation.record()
    except (FileNotFoundError, JobCorrupt):
        return None


def _lock_soon(descriptor: int) -> bool:
    """Whether it was locked. Who only looks whether it is locked holds it for a moment too."""
    deadline = time.monotonic() + _LOOK_SECONDS
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS / 10)
    return True


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
