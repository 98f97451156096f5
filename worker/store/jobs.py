"""All jobs: made, found, listed and deleted."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ganmodels.config import TrainConfig
from worker.errors import JobCorrupt, NotFound
from worker.names import is_id
from worker.store import disk
from worker.store.checkpoints import Checkpoint
from worker.store.events import EventLog
from worker.store.files import (
    ensure_directory,
    new_directory,
    remove_directory,
    write_durably,
)
from worker.store.job import START, Job
from worker.store.records import UNFINISHED, JobRecord

# What changes whenever a job's record does: the file is replaced whole.
Version = tuple[int, int]

log = logging.getLogger("ringside.jobs")


class Jobs:
    """All jobs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._settled: dict[str, Version] = {}
        self._complained: set[str] = set()

    def create(
        self, config: TrainConfig, record: JobRecord, start: Checkpoint | None = None
    ) -> Job:
        """A new job, on disk when this returns; with the checkpoint whose weights it starts from.

        Raises:
            CheckpointCorrupt: when that checkpoint was deleted meanwhile.
        """
        ensure_directory(self._directory.parent)
        path = self._directory / record.id
        with new_directory(path) as directory:
            write_durably(directory / "config.json", config.model_dump_json(indent=1).encode())
            write_durably(directory / "job.json", record.model_dump_json(indent=1).encode())
            if start:
                start.keep(directory / START, config.game.players)
            # Whoever sees the job sees how its history begins.
            told = {"status": "queued", "error": None, "reason": None}
            EventLog(directory / "events.jsonl").append("job.status", told)
        return Job(path)

    def get(self, job_id: str) -> Job:
        """The job of an id.

        Raises:
            NotFound: when there is none.
        """
        if not is_id("job", job_id) or self._version(job_id) is None:
            raise NotFound("job-not-found", "there is no job of this id; see GET /jobs")
        return Job(self._directory / job_id)

    def exists(self, job_id: str) -> bool:
        """Whether there is a job of this id, which must be one of ours; then it is on disk."""
        if self._version(job_id) is None:
            return False
        # Who made it may have died before it was on disk; the answer is to last.
        disk.sync_directory(self._directory)
        return True

    def ids(self) -> list[str]:
        """Ids of all jobs, newest first; no job is looked at."""
        try:
            with os.scandir(self._directory) as entries:
                found = [entry.name for entry in entries if is_id("job", entry.name)]
        except FileNotFoundError:
            return []
        return sorted(found, reverse=True)

    def all(self) -> list[Job]:
        """All jobs, newest first."""
        return [Job(self._directory / job_id) for job_id, _ in self._versions()]

    def records(self) -> Iterator[tuple[Job, JobRecord]]:
        """All jobs that can be read and their state, newest first."""
        for job_id in self.ids():
            job = Job(self._directory / job_id)
            if record := self._readable(job):
                yield job, record

    def unfinished(self) -> list[tuple[Job, JobRecord]]:
        """Jobs that may still train and their state, oldest first.

        Most jobs are settled, and only a new file can change that: they are not read again.
        """
        known, settled, found = self._settled, {}, []
        for job_id, version in self._versions():
            if known.get(job_id) == version:
                settled[job_id] = version
                continue
            job = Job(self._directory / job_id)
            if record := self._readable(job):
                if record.status in UNFINISHED:
                    found.append((job, record))
                else:
                    settled[job_id] = version
        self._settled = settled
        return found[::-1]

    def users_of(self, dataset: str) -> list[Job]:
        """Unfinished jobs that train on a dataset, or translate its items."""
        return [job for job, _ in self.unfinished() if _uses(job, dataset)]

    def delete(self, job: Job) -> None:
        """Remove a job and all it made."""
        with suppress(FileNotFoundError):
            remove_directory(job.path)

    def _versions(self) -> Iterator[tuple[str, Version]]:
        """All jobs, newest first. This is done every few seconds, so it makes no objects."""
        for job_id in self.ids():
            if version := self._version(job_id):
                yield job_id, version

    def _version(self, job_id: str) -> Version | None:
        """None where there is no job: without its record a directory is what a job left behind."""
        try:
            stat = os.stat(f"{self._directory}/{job_id}/job.json")
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def _readable(self, job: Job) -> JobRecord | None:
        """The state of a job, unless it was deleted just now or cannot be read."""
        try:
            return job.record()
        except FileNotFoundError:
            return None
        except (OSError, JobCorrupt) as error:
            # Once: this is asked again every few seconds.
            if job.id not in self._complained:
                self._complained.add(job.id)
                log.error("%s cannot be read; it is left out: %s", job.path, error)
            return None


def _uses(job: Job, dataset: str) -> bool:
    try:
        return dataset in job.config().datasets
    except (FileNotFoundError, JobCorrupt):
        return False
