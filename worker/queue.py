"""All that knows RQ: it carries job ids to workers, and nothing else.

RQ's own statuses, results and payloads are never the record. Jobs are JSON, and only the
functions listed here can be called, whatever is written into Redis.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from rq import Queue, Worker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from ulid import ULID

from worker.best import conclude
from worker.errors import StoreError, Unavailable
from worker.identity import ProcessIdentity
from worker.losses import count_oom_kills, loss_of, loss_of_evaluation
from worker.processes import die_with_parent
from worker.settings import Settings
from worker.store import Store
from worker.store.evaluations import Pending
from worker.store.job import Job
from worker.store.records import JobError

QUEUE = "ringside"
# In the order in which they are served: somebody waits for the first.
ON_DEMAND, EVALUATIONS = "ringside-evaluations-on-demand", "ringside-evaluations"
TRAIN, EVALUATE = "worker.jobs.train", "worker.evaluations.evaluate_job"
ALLOWED = frozenset({TRAIN, EVALUATE})
_CLIENT_TIMEOUT_SECONDS = 1.0
# After a failure Redis is left alone this long, so that not every request waits for it.
_SILENCE_SECONDS = 2.0
_HEARTBEAT_SECONDS = 2
_WORKER_TTL_SECONDS = 20
_FOR_EVER = 10**6
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Answer = TypeVar("Answer")
SomeWorker = TypeVar("SomeWorker", bound="TrainWorker")


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


class Patience(ExponentialBackoff):
    """How long an answer of Redis is waited for: for ever, until that is ended."""

    def __init__(self) -> None:
        super().__init__(cap=1)
        self._is_over = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "Patience":
        # Each connection copies its policy; this one is to end for all of them.
        return self

    def end(self) -> None:
        """From now on nothing is tried again."""
        self._is_over = True

    def compute(self, failures: int) -> float:
        """Seconds to wait before the next try.

        Raises:
            redis.ConnectionError: when there is none.
        """
        if self._is_over:
            raise redis.ConnectionError("no answer is waited for any more")
        return float(super().compute(failures))


class TrainWorker(Worker):
    """A forking worker whose training process saves and leaves when the worker is told to stop.

    The parent never uses torch: a fork after that deadlocks. What RQ notes about a job is worth
    nothing here, so nothing depends on whether Redis takes the note.
    """

    patience: Patience
    preload: Callable[[], None]
    oom_kills = 0

    def bootstrap(self, *arguments: Any, **named: Any) -> None:
        """Make itself known, and only then import what jobs need: jobs are welcome before that."""
        super().bootstrap(*arguments, **named)
        for number in STOP_SIGNALS:
            signal.signal(number, self._leave)
        try:
            self.preload()
            if self._stop_requested:
                # An import has swallowed the exception.
                sys.exit()
        except BaseException:
            self.register_death()
            raise

    def _leave(self, number: int, frame: Any) -> None:
        """Go at once, before there is anything to save, and do not wait for Redis."""
        self.patience.end()
        self._stop_requested = True
        sys.exit()

    def fork_work_horse(self, job: RqJob, queue: Queue) -> None:
        """Fork, unless told to stop: then the job stays on disk, where the reconciler finds it.

        A signal that comes in between waits until there is a process to pass it on to, which
        takes it when it is ready to.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            if self._stop_requested:
                raise StopRequested
            self.oom_kills = count_oom_kills()
            super().fork_work_horse(job, queue)
            if self._stop_requested and self.horse_pid:
                # Another thread took the signal, when there was no process to tell yet.
                os.kill(self.horse_pid, signal.SIGTERM)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def main_work_horse(self, job: RqJob, queue: Queue) -> None:
        """In the forked process: die with the parent, then run the job."""
        die_with_parent(self.pid)
        self.patience.end()
        super().main_work_horse(job, queue)

    def request_stop(self, number: int, frame: Any) -> None:
        """Save, and go: neither waits for Redis."""
        self.patience.end()
        super().request_stop(number, frame)  # type: ignore[no-untyped-call]

    def handle_warm_shutdown_request(self) -> None:
        """Tell the training process to save at the next step."""
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that it lives, also to a Redis that was wiped and knows no workers any more."""
        with suppress(redis.RedisError):
            super().heartbeat(timeout, pipeline)
            worker_registration.register(self, pipeline)

    def maintain_heartbeats(self, job: RqJob) -> None:
        """The same while a job runs."""
        with suppress(redis.RedisError):
            super().maintain_heartbeats(job)

    def set_current_job_working_time(self, seconds: float, pipeline: Any = None) -> None:
        """A note about the job."""
        with suppress(redis.RedisError):
            super().set_current_job_working_time(seconds, pipeline)

    def set_shutdown_requested_date(self) -> None:
        """A note about the stop."""
        with suppress(redis.RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    def register_death(self) -> None:
        """Strike itself out; the reconciler does it otherwise."""
        with suppress(redis.RedisError):
            super().register_death()  # type: ignore[no-untyped-call]


class EvaluationWorker(TrainWorker):
    """A worker whose evaluations end by themselves, and are killed by RQ if they do not."""

    timeout_seconds = 0.0

    def execute_job(self, job: RqJob, queue: Queue) -> None:
        """One evaluation. RQ kills what outlasts this by a minute, which only a frozen one does."""
        job.timeout = math.ceil(self.timeout_seconds)
        super().execute_job(job, queue)


class Dispatcher:
    """Puts job ids into the queue; the API's and the reconciler's side, with short time limits."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=_CLIENT_TIMEOUT_SECONDS,
            socket_connect_timeout=_CLIENT_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
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
                TRAIN,
                args=(job.id,),
                job_id=f"{job.id}-{ULID()}",
                at_front=first,
                job_timeout=-1,
                result_ttl=0,
                failure_ttl=60,
            )
        )

    def enqueue_evaluation(self, pending: Pending, on_demand: bool = False) -> None:
        """Hand an evaluation to whoever evaluates; handing it over twice is harmless.

        Those ``on_demand`` are done before all others.

        Raises:
            Unavailable: as above; then too it is found on disk.
        """
        self._ask(
            lambda: _queue(self._client, ON_DEMAND if on_demand else EVALUATIONS).enqueue(
                EVALUATE,
                args=pending,
                job_id=f"{pending.job_id}-{pending.id}-{ULID()}",
                # The worker's own limit counts.
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

    def waiting_evaluations(self) -> set[Pending]:
        """Those that lie in a queue.

        Raises:
            Unavailable: when Redis does not answer.
        """
        queues = [_queue(self._client, name) for name in (ON_DEMAND, EVALUATIONS)]
        listed = self._ask(lambda: [queued for queue in queues for queued in queue.get_job_ids()])
        # An id of RQ's is those of job and evaluation, and one that is new each time.
        names = (queued.rpartition("-")[0].partition("-") for queued in listed)
        return {Pending(job_id, evaluation_id) for job_id, _, evaluation_id in names}

    def workers(self) -> int:
        """How many workers train.

        Raises:
            Unavailable: when Redis does not answer.
        """
        return self._ask(lambda: int(Worker.count(queue=_queue(self._client))))

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


def work(settings: Settings, url: str, preload: Callable[[], None]) -> None:
    """Run jobs, one after the other, until SIGTERM, which lets the training process save first.

    ``preload`` is called once, as soon as the worker is known and before it takes a job. A training
    process that dies has its job put back at once.
    """
    store, dispatcher = Store(settings.home), Dispatcher(url)

    def killed(job: RqJob, process: int, status: int | None, usage: object) -> None:
        # Whatever goes wrong here, a full disk or Redis away, the reconciler does it later.
        with suppress(StoreError, OSError):
            if status is None:
                return
            lost = store.jobs.get(job.args[0])
            loss = loss_of(lost.path, status, worker.oom_kills)
            if lost.put_back(loss, settings.max_attempts):
                dispatcher.enqueue(lost, first=True)

    worker = _worker(TrainWorker, (QUEUE,), url, killed, preload)
    worker.work(logging_level="WARNING")


def work_on_evaluations(settings: Settings, url: str, preload: Callable[[], None]) -> None:
    """Evaluate, one checkpoint after the other, until SIGTERM, which hands back the one at hand.

    ``preload`` is as above.
    """
    store, dispatcher = Store(settings.home), Dispatcher(url)

    def killed(job: RqJob, process: int, status: int | None, usage: object) -> None:
        # Whatever goes wrong here, also with a damaged file, the reconciler does it later.
        with suppress(Exception):
            pending = Pending(*job.args)
            evaluation = store.evaluations.at(pending)
            if status is not None and os.WTERMSIG(status) == signal.SIGTERM:
                store.evaluations.hand_back(evaluation)
                return
            if status is None or os.WTERMSIG(status) == signal.SIGALRM:
                store.evaluations.end(evaluation, None, _timed_out(worker.timeout_seconds))
            else:
                loss = loss_of_evaluation(status, worker.oom_kills)
                store.evaluations.put_back(evaluation, loss, settings.max_attempts)
            conclude(store, pending)
            if evaluation.record().is_pending:
                on_demand = store.evaluations.is_on_demand(pending)
                dispatcher.enqueue_evaluation(pending, on_demand)

    worker = _worker(EvaluationWorker, (ON_DEMAND, EVALUATIONS), url, killed, preload)
    worker.timeout_seconds = settings.evaluation_timeout_seconds
    worker.work(logging_level="WARNING")


def _timed_out(seconds: float) -> JobError:
    detail = f"it took longer than {seconds:g} seconds; ask for fewer samples or measures, or set "
    detail += "RINGSIDE_EVALUATION_TIMEOUT_SECONDS"
    return JobError(code="evaluation-timeout", detail=detail)


def _worker(
    kind: type[SomeWorker],
    queues: tuple[str, ...],
    url: str,
    killed: Callable[..., None],
    preload: Callable[[], None],
) -> SomeWorker:
    patience = Patience()
    client = redis.Redis.from_url(url, retry=Retry(patience, _FOR_EVER))
    worker = kind(
        [_queue(client, name) for name in queues],
        name=str(ProcessIdentity.own()),
        connection=client,
        serializer=JSONSerializer,
        job_class=AllowedJob,
        worker_ttl=_WORKER_TTL_SECONDS,
        job_monitoring_interval=_HEARTBEAT_SECONDS,
        work_horse_killed_handler=killed,
    )
    worker.patience, worker.preload = patience, preload
    return worker


def _queue(client: redis.Redis, name: str = QUEUE) -> Queue:
    return Queue(name, connection=client, serializer=JSONSerializer, job_class=AllowedJob)
