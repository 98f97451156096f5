"""All that knows RQ: it carries job ids to workers, and nothing else.

RQ's own statuses, results and payloads are never the record. Jobs are JSON, and only the
functions listed here can be called, whatever is written into Redis.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq import Queue, Worker, worker_registration
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from ulid import ULID

from worker.errors import Unavailable
from worker.identity import ProcessIdentity
from worker.losses import count_oom_kills, loss_of
from worker.processes import die_with_parent
from worker.settings import Settings
from worker.store import Store
from worker.store.jobs import Job

QUEUE = "ringside"
ALLOWED = frozenset({"worker.jobs.train"})
_CLIENT_TIMEOUT_SECONDS = 1.0
# After a failure Redis is left alone this long, so that not every request waits for it.
_SILENCE_SECONDS = 2.0
_HEARTBEAT_SECONDS = 2
_WORKER_TTL_SECONDS = 20

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

    def fork_work_horse(self, job: RqJob, queue: Queue) -> None:
        """Remember what tells a lack of memory from other deaths, then fork."""
        self.oom_kills = count_oom_kills()
        super().fork_work_horse(job, queue)

    def main_work_horse(self, job: RqJob, queue: Queue) -> None:
        """In the forked process: die with the parent, then run the job."""
        die_with_parent(self.pid)
        # RQ's notes about the job are worth nothing; they must not hold it up when Redis is away.
        _hurry(self.connection)
        super().main_work_horse(job, queue)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that it lives, also to a Redis that was wiped and knows no workers any more."""
        super().heartbeat(timeout, pipeline)
        worker_registration.register(self, pipeline)

    def handle_warm_shutdown_request(self) -> None:
        """Tell the training process to save at the next step."""
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]


class Dispatcher:
    """Puts job ids into the queue; the API's and the reconciler's side, with short time limits."""

    def __init__(self, url: str) -> None:
        self._client = connect(url, _CLIENT_TIMEOUT_SECONDS, retries=0)
        self._silent_until = 0.0

    def enqueue(self, job: Job, first: bool = False) -> None:
        """Hand a job to the workers; handing it over twice is harmless.

        Raises:
            Unavailable: when Redis does not answer, or did not a moment ago. The job stays on
                disk, where the reconciler finds it.
        """
        # RQ's time limit would raise an exception in the middle of a step, so there is none.
        self._ask(
            lambda: _queue(self._client).enqueue(
                "worker.jobs.train",
                args=(job.id,),
                job_id=f"{job.id}-{ULID()}",
                at_front=first,
                job_timeout=-1,
                result_ttl=0,
                failure_ttl=60,
            )
        )

    def waiting(self) -> set[str]:
        """Ids of the jobs that lie in the queue.

        Raises:
            Unavailable: when Redis does not answer.
        """
        listed = self._ask(lambda: _queue(self._client).get_job_ids())
        return {queued.partition("-")[0] for queued in listed}

    def workers(self) -> int:
        """How many workers listen.

        Raises:
            Unavailable: when Redis does not answer.
        """
        return self._ask(lambda: int(Worker.count(connection=self._client)))

    def forget_dead_workers(self) -> None:
        """Strike out the workers of this machine that died without saying so.

        Raises:
            Unavailable: when Redis does not answer.
        """
        for key in self._ask(lambda: Worker.all_keys(connection=self._client)):
            identity = ProcessIdentity.parse(key.removeprefix(Worker.redis_worker_namespace_prefix))
            if identity and identity.is_gone:
                self._ask(partial(self._strike_out, key))

    def _strike_out(self, key: str) -> None:
        if worker := Worker.find_by_key(key, self._client, serializer=JSONSerializer):
            worker.register_death()  # type: ignore[no-untyped-call]

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
    """Run jobs, one after the other, until SIGTERM, which lets the training process save first.

    A training process that dies has its job put back at once.
    """
    client, store = connect(url, None, retries=-1), Store(settings.home)
    dispatcher = Dispatcher(url)

    def killed(job: RqJob, process: int, status: int, usage: object) -> None:
        lost = store.jobs.get(job.args[0])
        loss = loss_of(lost.path, status, worker.oom_kills)
        if lost.put_back(loss, settings.max_attempts):
            # Without Redis the reconciler finds the job.
            with suppress(Unavailable):
                dispatcher.enqueue(lost, first=True)

    worker = TrainWorker(
        [_queue(client)],
        name=str(ProcessIdentity.own()),
        connection=client,
        serializer=JSONSerializer,
        job_class=AllowedJob,
        worker_ttl=_WORKER_TTL_SECONDS,
        job_monitoring_interval=_HEARTBEAT_SECONDS,
        work_horse_killed_handler=killed,
    )
    worker.work(logging_level="WARNING")


def _hurry(client: redis.Redis) -> None:
    """From now on an answer is waited for briefly and once."""
    client.connection_pool.connection_kwargs |= {
        "retry": Retry(ExponentialBackoff(cap=1), 0),
        "socket_timeout": _CLIENT_TIMEOUT_SECONDS,
        "socket_connect_timeout": _CLIENT_TIMEOUT_SECONDS,
    }


def _queue(client: redis.Redis) -> Queue:
    return Queue(QUEUE, connection=client, serializer=JSONSerializer, job_class=AllowedJob)
