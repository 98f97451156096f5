"""All that knows RQ: it carries job ids to workers, and nothing else.

RQ's own statuses, results and payloads are never the record. Jobs are JSON, and only the
functions listed here can be called, whatever is written into Redis.
"""

import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq import Queue, Worker
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from worker.errors import Unavailable
from worker.processes import die_with_parent
from worker.settings import Settings
from worker.store import Store
from worker.store.jobs import LIVE, Job, JobError

QUEUE = "ringside"
ALLOWED = frozenset({"worker.jobs.train"})
_CLIENT_TIMEOUT_SECONDS = 1.0
# After a failure Redis is left alone this long, so that not every request waits for it.
_SILENCE_SECONDS = 2.0
_HEARTBEAT_SECONDS = 2
_WORKER_TTL_SECONDS = 20

log = logging.getLogger("ringside.queue")

Answer = TypeVar("Answer")


class AllowedJob(RqJob):
    """An RQ job that refuses to import anything but our functions."""

    @property
    def func(self) -> Any:
        """The function to call.

        Raises:
            ValueError: when it is not on the list.
        """
        if self.func_name not in ALLOWED:
            raise ValueError("this queue runs Ringside's jobs only")
        return super().func

    success_callback = failure_callback = stopped_callback = None


class TrainWorker(Worker):
    """A forking worker whose training process saves and leaves when the worker is told to stop.

    The parent never uses torch: a fork after that deadlocks.
    """

    def main_work_horse(self, job: RqJob, queue: Queue) -> None:
        """In the forked process: die with the parent, then run the job."""
        die_with_parent(self.pid)
        super().main_work_horse(job, queue)

    def handle_warm_shutdown_request(self) -> None:
        """Tell the training process to save at the next step."""
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]


class Dispatcher:
    """Puts job ids into the queue; the API's side, with short time limits."""

    def __init__(self, url: str) -> None:
        self._client = connect(url, _CLIENT_TIMEOUT_SECONDS, retries=0)
        self._silent_until = 0.0

    def enqueue(self, job: Job) -> None:
        """Hand a job to the workers; handing it over twice is harmless.

        Raises:
            Unavailable: when Redis does not answer, or did not a moment ago. The job stays on
                disk, where it is found and queued later.
        """
        self._ask(lambda: _enqueue(self._client, job.id))

    def workers(self) -> int:
        """How many workers listen.

        Raises:
            Unavailable: when Redis does not answer.
        """
        return self._ask(lambda: int(Worker.count(connection=self._client)))

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        if time.monotonic() < self._silent_until:
            raise Unavailable("queue-unavailable", "Redis did not answer a moment ago")
        try:
            return question()
        except redis.RedisError as error:
            self._silent_until = time.monotonic() + _SILENCE_SECONDS
            raise Unavailable("queue-unavailable", "Redis does not answer") from error


def connect(url: str, timeout_seconds: float | None, retries: int) -> redis.Redis:
    """A Redis client; ``retries`` below zero means for ever."""
    retry = Retry(ExponentialBackoff(cap=1), 10**6 if retries < 0 else retries)
    return redis.Redis.from_url(
        url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, retry=retry
    )


def work(settings: Settings, url: str) -> None:
    """Run jobs until SIGTERM or SIGINT; both let the training process save first."""
    _preload()
    client = connect(url, None, retries=-1)
    store = Store(settings.home)
    # What lies in Redis is replaced by what lies on disk, oldest first. A job that another worker
    # trains is delivered again and found to be locked.
    _queue(client).empty()  # type: ignore[no-untyped-call]
    for job in unfinished(store):
        _enqueue(client, job.id)

    def killed(job: RqJob, process: int, status: int, usage: object) -> None:
        # A shutdown kills too, when it is asked for twice; then the next start goes on by itself.
        if not worker._stop_requested:
            store.jobs.get(job.args[0]).fail_if_abandoned(_lost(status))

    worker = TrainWorker(
        [_queue(client)],
        connection=client,
        serializer=JSONSerializer,
        job_class=AllowedJob,
        worker_ttl=_WORKER_TTL_SECONDS,
        job_monitoring_interval=_HEARTBEAT_SECONDS,
        work_horse_killed_handler=killed,
    )
    worker.work(logging_level="WARNING")


def _preload() -> None:
    """Import what a training needs, so that each forked process need not: seconds per job.

    Importing is all that may be done: once torch has computed here, its threads do not survive
    the fork and the child waits for them for ever.
    """
    for name in ("torch._dynamo", "worker.jobs"):
        importlib.import_module(name)


def unfinished(store: Store) -> list[Job]:
    """Accepted jobs that were not trained to their end, oldest first: all must be queued."""
    return [job for job in store.jobs.unfinished() if job.record().status in LIVE]


def _lost(status: int) -> JobError:
    """Why a training process ended by itself, as far as its wait status tells."""
    killed = os.WIFSIGNALED(status)
    how = f"by signal {os.WTERMSIG(status)}" if killed else f"with status {status}"
    cause = ", perhaps for want of memory" if killed and os.WTERMSIG(status) == 9 else ""
    return JobError(
        code="process-lost",
        detail=f"the training process ended {how}{cause}; POST /jobs/<id>/resume goes on from the "
        "last checkpoint",
    )


def _queue(client: redis.Redis) -> Queue:
    return Queue(QUEUE, connection=client, serializer=JSONSerializer, job_class=AllowedJob)


def _enqueue(client: redis.Redis, job_id: str) -> None:
    # RQ's time limit would raise an exception in the middle of a step, so there is none.
    _queue(client).enqueue(
        "worker.jobs.train", job_id, job_timeout=-1, result_ttl=0, failure_ttl=60
    )


def log_to_stderr() -> None:
    """One line per message, for people at a terminal and for containers."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
    )
