"""The queue carries ids of jobs, and runs nothing but our own function."""

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from tests.worker.builders import make_job
from worker.errors import Unavailable
from worker.queue import QUEUE, AllowedJob, Dispatcher, unfinished


def queue_of(url: str) -> Queue:
    client = redis.Redis.from_url(url)
    return Queue(QUEUE, connection=client, serializer=JSONSerializer, job_class=AllowedJob)


def test_a_job_is_queued_by_its_id_alone(redis_url, store):
    job = make_job(store)
    dispatcher = Dispatcher(redis_url)
    assert dispatcher.ping()
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
    assert not dispatcher.ping()
    with pytest.raises(Unavailable):
        dispatcher.enqueue(make_job(store))
    with pytest.raises(Unavailable):
        dispatcher.workers()


def test_accepted_jobs_are_found_on_disk_oldest_first(store):
    first, second, settled = (make_job(store) for _ in range(3))
    with settled.locked() as record:
        settled.change(record, status="canceled")
    assert [job.id for job in unfinished(store)] == [first.id, second.id]
