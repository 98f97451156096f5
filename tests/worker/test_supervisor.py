"""What dies is started again, with patience; what it was training goes on."""

import errno
import os
import signal
import subprocess
import sys
import time
from queue import SimpleQueue

import pytest

from tests.worker.builders import make_job
from worker.processes import Kept, NotStarted, start, stop
from worker.queue import Dispatcher
from worker.redis import EmbeddedRedis
from worker.settings import Settings
from worker.supervisor import Slot, keep, plan_slots

_WAIT = "import signal; signal.pause()"


@pytest.fixture
def begin():
    started = []

    def run(script=_WAIT):
        started.append(start([sys.executable, "-c", script]))
        return started[-1]

    run.started = started
    yield run
    for process in started:
        process.kill()
        process.wait()


def test_what_dies_is_started_again(begin, wait_until):
    kept = Kept(begin)
    first = kept.process
    assert not kept.keep()
    first.kill()
    wait_until(kept.keep, "its death being noticed", 5)
    wait_until(lambda: kept.keep() or kept.process is not first, "another process", 5)
    assert kept.process.poll() is None
    assert kept.deaths == 1


def test_what_dies_at_once_is_started_less_and_less_often(begin):
    kept = Kept(lambda: begin("pass"))
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        kept.keep()
        time.sleep(0.01)
    # Waits of 0.1, 0.2, 0.4, 0.8 and 1.6 seconds.
    assert 3 <= len(begin.started) <= 6


@pytest.mark.parametrize(
    "refusal", [OSError(errno.EAGAIN, "no process"), NotStarted("the disk is full")]
)
def test_what_cannot_be_started_for_a_while_is_started_later(begin, wait_until, caplog, refusal):
    refusals = [refusal, refusal]

    def begin_unless_refused():
        if begin.started and refusals:
            raise refusals.pop()
        return begin()

    kept = Kept(begin_unless_refused)
    first = kept.process
    first.kill()
    wait_until(kept.keep, "its death being noticed", 5)
    wait_until(lambda: kept.keep() or kept.process is not first, "another process", 5)
    assert not refusals
    assert kept.deaths == 3
    assert caplog.text.count(str(refusal)) == 1


def test_a_child_that_cannot_be_started_at_first_is_an_error():
    def refuse():
        raise NotStarted("no server")

    with pytest.raises(NotStarted, match="no server"):
        Kept(refuse)


def test_no_number_of_deaths_is_too_large(begin):
    def begin_once():
        if begin.started:
            raise OSError(errno.ENOSPC, "no room")
        return begin("pass")

    kept = Kept(begin_once, longest_wait_seconds=0)
    kept.process.wait()
    for _ in range(2000):
        kept.keep()
    assert kept.deaths == 2000


def test_the_cpu_has_as_many_slots_as_wanted_and_shares_its_threads(monkeypatch):
    monkeypatch.delenv("RINGSIDE_TRAIN_THREADS", raising=False)
    monkeypatch.setattr("worker.settings.available_cores", lambda: 12)
    plan = {"RINGSIDE_TRAIN_THREADS": "2", "RINGSIDE_SLOTS": "3"}
    assert plan_slots(Settings(device="cpu", slots=3)) == [plan] * 3
    asked_for = {"RINGSIDE_TRAIN_THREADS": "4", "RINGSIDE_SLOTS": "2"}
    assert plan_slots(Settings(device="cpu", slots=2, train_threads=4)) == [asked_for] * 2


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """A machine on which PyTorch finds so many GPUs."""

    def are_there(count: int, visible: str) -> None:
        device = tmp_path / "nvidiactl"
        device.touch()
        monkeypatch.setattr("worker.supervisor._GPU_FILES", (str(device),))
        monkeypatch.setattr("worker.supervisor._count_gpus", lambda: count)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return are_there


def test_each_gpu_is_a_slot(gpus):
    gpus(2, "GPU-a,GPU-b")
    visible = [plan["CUDA_VISIBLE_DEVICES"] for plan in plan_slots(Settings(device="auto"))]
    assert visible == ["GPU-a", "GPU-b"]
    (plan,) = plan_slots(Settings(device="cuda:1"))
    assert plan == {"CUDA_VISIBLE_DEVICES": "GPU-b", "RINGSIDE_DEVICE": "cuda"}
    (plan,) = plan_slots(Settings(device="cpu"))
    assert "CUDA_VISIBLE_DEVICES" not in plan


@pytest.mark.parametrize("visible", ["-1", "0", "", "NoDevFiles"])
def test_gpus_that_pytorch_cannot_use_are_no_slots(gpus, visible):
    gpus(0, visible)
    (plan,) = plan_slots(Settings(device="auto"))
    assert "RINGSIDE_DEVICE" not in plan


def test_a_slot_has_as_many_gpus_as_wanted_and_the_last_what_is_left(gpus):
    gpus(3, "0,1,2")
    plans = plan_slots(Settings(device="auto", gpus_per_slot=2))
    assert [plan["CUDA_VISIBLE_DEVICES"] for plan in plans] == ["0,1", "2"]


def test_a_worker_that_is_killed_is_replaced_and_its_job_goes_on(ringside, processes_of):
    """Also in the shared service: whoever uses it next finds it whole."""
    job = ringside.submit(
        dataset="ring", steps=10**6, schedule={"metrics_every": 50, "checkpoints_every": 50}
    )
    ringside.wait(job["id"], "checkpoint.created")
    slots = [pid for pid, line in processes_of(ringside.home).items() if "worker.slot" in line]
    killed = time.monotonic()
    for pid in slots:
        os.kill(pid, signal.SIGKILL)
    resumed = ringside.wait_for_attempt(job["id"], 2)
    assert time.monotonic() - killed < 15
    assert resumed["exact"]
    ringside.client.post(f"/jobs/{job['id']}/cancel")
    assert ringside.wait(job["id"])["status"] == "canceled"


ENDLESS = {"steps": 10**6, "metrics_every": 10, "checkpoints_every": 10**6}


@pytest.fixture
def run_worker(home, redis_url):
    """Starts ``ringside worker`` on the store of this test."""
    started = []

    def run():
        environment = {
            "RINGSIDE_HOME": str(home),
            "RINGSIDE_REDIS_URL": redis_url,
            "RINGSIDE_TRAIN_THREADS": "1",
        }
        command = [sys.executable, "-m", "service.cli", "worker"]
        started.append(start(command, environment, home / "worker.log"))
        return started[-1]

    yield run
    stop(started, 0)


def trained(job) -> bool:
    return any(job.metrics())


def test_sigterm_saves_at_the_next_step_hands_the_job_back_and_loses_no_step(
    run_worker, store, wait_until
):
    job = make_job(store, "points", schedule=ENDLESS)
    worker = run_worker()
    wait_until(lambda: trained(job), "the first row")
    worker.terminate()
    assert worker.wait(20) == 0
    assert job.record().status == "queued"
    statuses = [event.data for event in job.events.after(0) if event.type == "job.status"]
    assert statuses[-1]["reason"] == "interrupted"
    run_worker()
    wait_until(lambda: job.record().attempt == 2 and job.epochs()[-1].progress(), "attempt 2")
    first, second = job.epochs()
    assert second.start == first.progress()["step"] == job.checkpoint().step


def test_a_second_signal_does_not_wait(run_worker, store, wait_until):
    job = make_job(store, "points", schedule=ENDLESS)
    worker = run_worker()
    wait_until(lambda: trained(job), "the first row")
    holder = job.epochs()[-1].holder
    # Frozen, it cannot save, and the worker would wait for it.
    os.kill(holder.pid, signal.SIGSTOP)
    worker.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
    worker.terminate()
    assert worker.wait(5) == 0
    wait_until(lambda: holder.is_gone, "the end of the training process", 5)


@pytest.mark.parametrize("is_training", [True, False])
def test_sigterm_does_not_wait_for_a_redis_that_is_away(
    home, new_home, store, wait_until, is_training
):
    server = EmbeddedRedis(new_home())
    redis = server.start()
    environment = {"RINGSIDE_HOME": str(home), "RINGSIDE_REDIS_URL": server.url}
    command = [sys.executable, "-m", "service.cli", "worker"]
    job = make_job(store, "points", schedule=ENDLESS) if is_training else None
    worker = start(command, environment, home / "worker.log")
    try:
        dispatcher = Dispatcher(server.url)
        wait_until(lambda: dispatcher.workers() == 1, "the worker")
        if job:
            wait_until(lambda: trained(job), "the first row")
        stop([redis], 5)
        # Long enough for the worker to be waiting for an answer.
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(3)
        worker.terminate()
        # A slot that is still importing ends when it has done so, which takes long for a process
        # that gives way to two others that test. Redis would be waited for without an end.
        assert worker.wait(60) == 0
    finally:
        stop([worker, redis], 0)
    if job:
        assert job.record().status == "queued"
        assert job.checkpoint().step == job.progress()["step"]


class EvaluationsWait:
    """A reconciler that has found an evaluation to do."""

    evaluations_wait = True

    def scan(self) -> None:
        pass


def test_a_slot_of_evaluations_that_cannot_be_started_is_tried_again(begin, monkeypatch):
    monkeypatch.setattr("worker.supervisor._SCAN_SECONDS", 0.0)
    monkeypatch.setattr("worker.supervisor.start", lambda *_: begin())
    signals, slots, tried = SimpleQueue(), [], []

    def new_slot():
        tried.append(len(slots))
        if len(tried) == 1:
            signals.put(signal.SIGCHLD)
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        signals.put(signal.SIGTERM)
        return Slot("evaluations", {}, "unix:///tmp/none.sock", "--evaluations")

    keep(slots, EvaluationsWait(), signals, new_slot)
    assert tried == [0, 0]
    assert [slot.name for slot in slots] == ["evaluations"]


def test_two_supervisors_share_the_work(run_worker, store, wait_until):
    run_worker(), run_worker()
    jobs = [make_job(store, "points", schedule=ENDLESS) for _ in range(2)]
    wait_until(lambda: all(map(trained, jobs)), "both jobs at the same time")
    assert len({job.epochs()[-1].holder for job in jobs}) == 2
    assert [job.record().attempt for job in jobs] == [1, 1]
