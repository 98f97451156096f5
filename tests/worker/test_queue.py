"""The queue carries ids of jobs, and runs nothing but our own function."""

import sys

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from tests.worker.builders import make_job
from worker.errors import Unavailable
from worker.processes import start, stop
from worker.queue import QUEUE, AllowedJob, Dispatcher
from worker.redis import EmbeddedRedis


def queue_of(url: str) -> Queue:
    client = redis.Redis.from_url(url)
    return Queue(QUEUE, connection=client, serializer=JSONSerializer, job_class=AllowedJob)


def test_a_job_is_queued_by_its_id_alone(redis_url, store):
    # Workers that other tests have killed are known until they are forgotten.
    redis.Redis.from_url(redis_url).flushall()
    job = make_job(store)
    dispatcher = Dispatcher(redis_url)
    assert dispatcher.workers() == 0
    dispatcher.enqueue(job)
    queued = queue_of(redis_url).jobs[-1]
    assert (queued.func_name, queued.args, queued.timeout) == ("worker.jobs.train", [job.id], -1)


def test_any_other_function_is_refused_before_it_is_imported(redis_url):
    queue = queue_of(redis_url)
    queue.enqueue("os.system", "echo owned")
    with pytest.raises(ValueError, match="Ringside's jobs only"):
        _ = queue.jobs[-1].func


def test_callbacks_are_not_imported(redis_url):
    queue = queue_of(redis_url)
    job = queue.enqueue("worker.jobs.train", "job_x")
    job._success_callback_name = "os.system"
    assert job.success_callback is None
    assert job.failure_callback is None
    assert job.stopped_callback is None


def test_a_redis_that_is_gone_is_said_so_at_once(store):
    dispatcher = Dispatcher("unix:///tmp/no-such-redis.sock")
    with pytest.raises(Unavailable):
        dispatcher.enqueue(make_job(store))
    with pytest.raises(Unavailable):
        dispatcher.workers()


def test_the_jobs_that_wait_are_known_by_their_ids(redis_url, store):
    queue_of(redis_url).empty()
    first, second = make_job(store), make_job(store)
    dispatcher = Dispatcher(redis_url)
    for job in (first, second, second):
        dispatcher.enqueue(job)
    assert dispatcher.waiting() == {first.id, second.id}


def test_a_job_that_was_lost_goes_first(redis_url, store):
    queue_of(redis_url).empty()
    waiting, lost = make_job(store), make_job(store)
    dispatcher = Dispatcher(redis_url)
    dispatcher.enqueue(waiting)
    dispatcher.enqueue(lost, first=True)
    assert [queued.args[0] for queued in queue_of(redis_url).jobs] == [lost.id, waiting.id]


# A worker whose imports take long: the second argument says what becomes of an exception in them.
_WORKER = """
import sys, time
from contextlib import suppress
from pathlib import Path
from worker.queue import work
from worker.settings import Settings

imports, swallowed = Path(sys.argv[1]), [SystemExit] if sys.argv[2] == "swallows" else []

def preload():
    with suppress(*swallowed):
        imports.touch()
        time.sleep(60)

settings = Settings()
work(settings, settings.redis_url, preload)
"""


@pytest.mark.parametrize("becomes", ["lets it through", "swallows"])
def test_a_worker_told_to_stop_while_it_imports_does_not_wait_for_a_redis_that_is_away(
    home, new_home, tmp_path, wait_until, becomes
):
    server = EmbeddedRedis(new_home())
    redis_process, imports = server.start(), tmp_path / "imports"
    environment = {"RINGSIDE_HOME": str(home), "RINGSIDE_REDIS_URL": server.url}
    command = [sys.executable, "-c", _WORKER, str(imports), becomes]
    worker = start(command, environment, tmp_path / "log")
    try:
        wait_until(imports.exists, "the imports")
        stop([redis_process], 5)
        worker.terminate()
        assert worker.wait(10) == 0
    finally:
        stop([worker, redis_process], 0)


# A worker whose own thread of Redis's messages takes a signal that comes while it forks.
_FORKING = """
import importlib, os, signal, time
from worker.queue import work
from worker.settings import Settings

fork = os.fork

def fork_met_by_a_signal():
    child = fork()
    if child:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
    return child

os.fork = fork_met_by_a_signal
settings = Settings()
work(settings, settings.redis_url, lambda: importlib.import_module("worker.jobs"))
"""


def test_a_worker_told_to_stop_while_it_forks_passes_that_on(
    home, store, redis_url, tmp_path, wait_until
):
    queue_of(redis_url).empty()
    job = make_job(store, "points", schedule={"steps": 10**6})
    Dispatcher(redis_url).enqueue(job)
    environment = {"RINGSIDE_HOME": str(home), "RINGSIDE_REDIS_URL": redis_url}
    worker = start([sys.executable, "-c", _FORKING], environment, tmp_path / "log")
    try:
        assert worker.wait(60) == 0
    finally:
        stop([worker], 0)
    assert job.record().status == "queued"
