"""Following a job: its events as they happen, and the progress they show."""

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import typer

from service.cli.client import checked
from service.cli.exits import ExitStatus, fail
from service.cli.output import note, program
from service.cli.progress import Progress, choose_progress

LIVE = frozenset({"queued", "running"})
_RETRY_SECONDS, _PATIENCE_SECONDS = 0.5, 60.0
# A job that waits for room is looked at as often as the service looks for room.
_WAITING_SECONDS = 2.0
# The API pings every 15 seconds, so longer silence is a dead connection.
_READ_SECONDS = 45.0


class Event(NamedTuple):
    """One event of a job."""

    id: str
    type: str
    data: dict[str, Any]


def follow(client: httpx2.Client, job: dict[str, Any]) -> None:
    """Show a job's progress until it is settled."""
    with choose_progress(job) as progress:
        for event in EventStream(client, job["id"], _PATIENCE_SECONDS):
            show(progress, event)


def follow_as_json(client: httpx2.Client, job: dict[str, Any]) -> None:
    """Print a job's events, one JSON object a line, until it is settled."""
    for event in EventStream(client, job["id"], _PATIENCE_SECONDS):
        typer.echo(json.dumps({"id": int(event.id), "type": event.type, "data": event.data}))


def attend(client: httpx2.Client, job: dict[str, Any], as_json: bool) -> None:
    """Follow a job to its end and leave with the exit status it stands for.

    Ctrl-C detaches: the job trains on.
    """
    try:
        (follow_as_json if as_json else follow)(client, job)
    except KeyboardInterrupt:
        note(
            f"detached; {job['id']} trains on\n"
            f"  watch it again:  {program()} jobs follow {job['id']}\n"
            f"  stop it:         {program()} jobs cancel {job['id']}"
        )
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    conclude(client, job["id"])


def conclude(client: httpx2.Client, job_id: str) -> None:
    """Say how a job ended; a failed or canceled one leaves with its exit status."""
    job = checked(client.get(f"/jobs/{job_id}")).json()
    if job["status"] == "failed":
        error = job["error"] or {"code": "unknown", "detail": "no reason was recorded"}
        fail(f"{job_id} failed ({error['code']}): {error['detail']}", ExitStatus.JOB_FAILED)
    if job["status"] == "canceled":
        fail(f"{job_id} was canceled", ExitStatus.JOB_CANCELED)
    if job["status"] == "paused":
        note(f"{job_id} is paused; go on with:  {program()} jobs resume {job_id}")
    else:
        note(
            f"{job_id} has {job['status']}; draw with:  {program()} sample {job['model'] or job_id}"
        )


class EventStream:
    """A job's events from its first to its last, across lost connections and waits for room.

    Iterating raises the transport's error when the API stays away longer than the patience.
    """

    def __init__(self, client: httpx2.Client, job_id: str, patience_seconds: float) -> None:
        self._client, self._job_id, self._patience_seconds = client, job_id, patience_seconds
        self._last_id, self._lost_at = "0", 0.0

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                yield from self._connection()
                job = checked(self._client.get(f"/jobs/{self._job_id}")).json()
                if _waits(job):
                    time.sleep(_WAITING_SECONDS)
                elif job["status"] not in LIVE:
                    return
            except httpx2.TransportError:
                self._lost_at = self._lost_at or time.monotonic()
                if time.monotonic() - self._lost_at > self._patience_seconds:
                    raise
            time.sleep(_RETRY_SECONDS)

    def _connection(self) -> Iterator[Event]:
        path, timeout = f"/jobs/{self._job_id}/events", httpx2.Timeout(10, read=_READ_SECONDS)
        headers = {"Accept": "text/event-stream", "Last-Event-ID": self._last_id}
        with self._client.stream("GET", path, headers=headers, timeout=timeout) as response:
            self._lost_at = 0.0
            if checked(response).status_code == httpx2.codes.NO_CONTENT:
                return
            for received in httpx2.EventSource(response):
                if received.data:
                    self._last_id = received.id
                    yield Event(received.id, received.event, json.loads(received.data))


def show(progress: Progress, event: Event) -> None:
    """Show one event."""
    data = event.data
    match event.type:
        case "job.metrics":
            progress.update(data)
        case "job.status":
            line = _STATUS_LINES.get(data["status"], str(data["status"]))
            progress.say(f"{line}: {data['error']['detail']}" if _waits(data) else line)
        case "checkpoint.created":
            progress.say(f"checkpoint at step {data['step']}")
        case "checkpoint.quarantined":
            progress.say(f"a damaged checkpoint was put aside: {data['reason']}")
        case "job.warning" if "remedy" in data:
            progress.say(
                f"warning, {data['code']} since step {data['since_step']}: {data['detail']}"
            )
            progress.say(f"  remedy: {data['remedy']['detail']}")
        case "job.warning_ended":
            progress.say(f"{data['code']} has ended")
        case "job.rolled_back":
            progress.say(f"{data['reason']}: back to step {data['to_step']}, at half the rates")
        case "model.version":
            progress.say(f"{data['model']}:{data['version']} is ready")


def _waits(job: dict[str, Any]) -> bool:
    """Whether it was paused without having been asked to, and goes on by itself."""
    return job["status"] == "paused" and bool(job["error"])


_STATUS_LINES = {"queued": "queued: waiting for a worker", "running": "training"}
