"""Every request for a training and its answer, on disk before anything else happens.

Afterwards the ledger is held against the home: what was acknowledged must be there, once.
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from benchmarks.fault_lab.outcome import written_rows
from benchmarks.fault_lab.service import Service
from worker.store.job import Job
from worker.store.jobs import Jobs

_RUNNABLE = ("queued", "running")
_TERMINAL = ("succeeded", "failed", "canceled")


class Audit(NamedTuple):
    """``unexplained`` jobs were made by no request that was acknowledged or left unanswered."""

    acknowledged: int
    refused: int
    lost: int
    duplicated: int
    unexplained: int
    gaps: int
    unfinished: int


class Ledger:
    """Sends requests for trainings and writes down what is said about them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._path = service.home / "ledger.jsonl"

    def submit(self, body: dict[str, Any]) -> str | None:
        """Ask once for a training: the job's id, or None when it was not accepted."""
        number = len(self.entries())
        headers = {"Idempotency-Key": f"fault-{number}"}
        job: str | None = None
        entry: dict[str, Any] = {"number": number, "body": body, "status": None}
        try:
            answer = self._service.client.post("/train", json=body, headers=headers)
        except httpx2.TransportError as error:
            entry["error"] = type(error).__name__
        else:
            entry["status"] = answer.status_code
            entry["retry_after"] = answer.headers.get("Retry-After")
            job = answer.json()["id"] if answer.status_code == 202 else None
            entry["seconds"] = answer.elapsed.total_seconds()
        self._append({**entry, "job": job})
        return job

    def must_submit(self, body: dict[str, Any]) -> str:
        """Ask for a training that has to be accepted, because nothing is broken yet."""
        job = self.submit(body)
        assert job is not None, self.entries()[-1]
        return job

    def entries(self) -> list[dict[str, Any]]:
        """All that was written, oldest first."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [json.loads(line) for line in lines]

    def _append(self, entry: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())


def audit(service: Service) -> Audit:
    """Hold the ledger against the disk. A job that still waits or runs is not lost."""
    entries = Ledger(service).entries()
    acknowledged = [entry["job"] for entry in entries if entry["job"]]
    unanswered = sum(entry["status"] is None for entry in entries)
    present = {job.id: record.status for job, record in Jobs(service.home / "jobs").records()}
    kept = [service.job(job_id) for job_id in acknowledged if job_id in present]
    known = (*_RUNNABLE, *_TERMINAL)
    repeats = sum(count - 1 for count in Counter(acknowledged).values())
    return Audit(
        acknowledged=len(acknowledged),
        refused=sum(entry["status"] not in (None, 202) for entry in entries),
        lost=sum(present.get(job_id) not in known for job_id in acknowledged),
        duplicated=repeats + sum(map(ran_twice, kept)),
        unexplained=max(0, len(present) - len(set(acknowledged)) - unanswered),
        gaps=sum(map(has_gap, kept)),
        unfinished=sum(present.get(job_id) in _RUNNABLE for job_id in acknowledged),
    )


def ran_twice(job: Job) -> bool:
    """Whether a job ended twice, or a row of metrics that counts is there twice."""
    ends = sum(event.type == "job.done" for event in job.events.after(0))
    steps = [row["step"] for row in job.metrics()]
    finished = sum(_reached_the_end(job, number) for number in range(len(job.epochs())))
    return ends > 1 or finished > 1 or len(steps) != len(set(steps))


def _reached_the_end(job: Job, number: int) -> bool:
    rows = written_rows(job.epochs()[number])
    return bool(rows) and rows[-1]["step"] >= job.config().schedule.steps


def has_gap(job: Job) -> bool:
    """Whether the ids of a job's events are anything but 1, 2, 3 and so on."""
    path: Path = job.path / "events.jsonl"
    ids = [json.loads(line)["id"] for line in path.read_bytes().splitlines()]
    return ids != list(range(1, len(ids) + 1))
