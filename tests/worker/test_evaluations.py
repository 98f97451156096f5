"""Evaluations are on disk before they are promised, survive whoever runs them, and pin."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import redis
import torch
from PIL import Image
from rq import Queue

import worker.evaluations
from ganmodels.data.packed import open_packed
from ganmodels.referee.config import Protocol
from ganmodels.referee.findings import Figure, Findings, UsedProtocol
from tests.worker.builders import make_job, settings_for, train
from worker.best import competing, conclude, find_best
from worker.cadence import Cadence
from worker.errors import NotFound, Unavailable
from worker.evaluations import run
from worker.evidence import Players, scores
from worker.pending import PendingEvaluations
from worker.processes import start, stop
from worker.queue import ON_DEMAND, Dispatcher
from worker.store import Store, disk
from worker.store.best import read_best
from worker.store.epochs import Loss
from worker.store.evaluations import EvaluationRecord, Pending, Room
from worker.store.files import replace_file, temporary_name
from worker.store.job import Job
from worker.store.records import JobError
from worker.store.sweep import sweep

PROTOCOL = {"measures": ["frechet"], "samples": 40, "features": "pixels"}
ANY = Room(of_all=None, of_job=None)
LOSS = Loss(code="process-lost", detail="it ended")
NO_REDIS = "unix:///tmp/no-such-redis.sock"


def points_job(store: Store, home: Path, model: str | None = None, **changes) -> Job:
    """A job on points with checkpoints at 4 and 8, which nobody evaluates by himself."""
    referee = {"protocol": PROTOCOL, "evaluate_every": 0, **changes.pop("referee", {})}
    job = make_job(store, "points", model, referee=referee, **changes)
    train(job, home)
    assert job.record().status == "succeeded"
    return job


@pytest.fixture(scope="session")
def prototype(datasets_home, tmp_path_factory) -> Job:
    home = tmp_path_factory.mktemp("prototype")
    shutil.copytree(datasets_home / "datasets", home / "datasets")
    return points_job(Store(home), home)


@pytest.fixture
def job(store, home, prototype) -> Job:
    shutil.copytree(prototype.path, home / "jobs" / prototype.id)
    return store.jobs.get(prototype.id)


@dataclass
class Judge:
    """Says what each evaluation of a job found, without measuring anything."""

    store: Store
    job: Job

    def ask(self, step: int, **changes) -> Pending:
        protocol = self.job.config().referee.protocol.model_copy(update=changes)
        checkpoint = self.job.checkpoint(step)
        record, _ = self.store.evaluations.ask(self.job, checkpoint, protocol, ANY)
        return Pending(self.job.id, record.id)

    def find(self, pending: Pending, value: float, error: float = 0.0) -> EvaluationRecord:
        evaluation = self.store.evaluations.at(pending)
        record = self.store.evaluations.begin(evaluation)
        assert record is not None
        protocol = UsedProtocol(
            measures=("frechet",), samples=40, reference="training", reference_samples=40,
            features="pixels", features_sha256="0", weights="average", seed=record.protocol.seed,
        )  # fmt: skip
        figure = Figure(value=value, standard_error=error, floor=0.0, better="lower")
        findings = Findings(protocol=protocol, figures={"frechet": figure})
        return self.store.evaluations.end(evaluation, findings, None)

    def judge(self, step: int, value: float, error: float = 0.0, **changes) -> EvaluationRecord:
        pending = self.ask(step, **changes)
        record = self.find(pending, value, error)
        conclude(self.store, pending)
        return record


@pytest.fixture
def judge(store, job) -> Judge:
    return Judge(store, job)


def events(job: Job, kind: str) -> list[dict]:
    return [event.data for event in job.events.after(0) if event.type == kind]


def test_a_run_leaves_figures_pictures_and_histograms(store, home):
    protocol = {"measures": ["frechet", "manifold"], "samples": 60, "features": "random"}
    job = make_job(store, referee={"protocol": protocol}, schedule={"steps": 4})
    train(job, home)
    record, _ = store.evaluations.ask(job, job.checkpoint(), Protocol.model_validate(
        {**protocol, "measures": ("frechet", "manifold")}), ANY)  # fmt: skip
    run(settings_for(home), store, Pending(job.id, record.id))
    evaluation = store.evaluations.get(job, record.id)
    done = evaluation.record()
    assert (done.status, done.attempts, done.error) == ("succeeded", 1, None)
    assert {"frechet", "precision", "recall"} <= done.findings.figures.keys()
    assert done.findings.protocol.features == "random"
    with Image.open(evaluation.path / "neighbours.png") as sheet:
        assert sheet.width > 3 * sheet.height
    counted = json.loads((evaluation.path / "scores.json").read_bytes())
    assert len(counted["edges"]) == len(counted["fake"]) + 1
    assert (sum(counted["training"]), sum(counted["fake"])) == (1000, 1000)
    assert sum(counted["held_out"]) == len(store.datasets.get("digits").held_out)
    assert not store.evaluations.pending()
    assert [told["step"] for told in events(job, "evaluation.done")] == [4]
    assert read_best(job).digest == done.checkpoint


@pytest.mark.parametrize("weights", ["average", "current"])
def test_points_are_measured_without_a_picture(store, home, job, judge, weights):
    pending = judge.ask(8, weights=weights)
    run(settings_for(home), store, pending)
    evaluation = store.evaluations.at(pending)
    record = evaluation.record()
    assert record.error is None
    assert record.findings.protocol.weights == weights
    assert not (evaluation.path / "neighbours.png").exists()
    assert (evaluation.path / "scores.json").exists()


def test_asking_twice_is_one_evaluation(store, job):
    checkpoint, protocol = job.checkpoint(8), Protocol(measures=("frechet", "kernel"))
    first, new = store.evaluations.ask(job, checkpoint, protocol, ANY)
    turned = protocol.model_copy(update={"measures": ("kernel", "frechet", "kernel")})
    again = store.evaluations.ask(job, checkpoint, turned, ANY)
    assert (new, again) == (True, (first, False))
    others = [
        store.evaluations.ask(job, job.checkpoint(4), protocol, ANY),
        store.evaluations.ask(job, checkpoint, protocol.model_copy(update={"seed": 1}), ANY),
    ]
    assert all(is_new for _, is_new in others)
    assert len({first.id, *(record.id for record, _ in others)}) == 3
    assert len(events(job, "evaluation.queued")) == 3


def test_one_that_a_training_put_up_stays_once_it_is_asked_for_on_demand(store, job):
    checkpoint, protocol = job.checkpoint(8), Protocol(measures=("frechet",))
    by_training, on_demand = Room(None, 5), Room(10, None, on_demand=True)
    record, _ = store.evaluations.ask(job, checkpoint, protocol, by_training)
    pending = Pending(job.id, record.id)
    assert not store.evaluations.is_on_demand(pending)
    assert store.evaluations.ask(job, checkpoint, protocol, on_demand) == (record, True)
    assert store.evaluations.is_on_demand(pending)
    for room in (by_training, on_demand):
        assert store.evaluations.ask(job, checkpoint, protocol, room) == (record, False)
    assert store.evaluations.withdraw_oldest(job) is None
    assert store.evaluations.is_on_demand(pending)


def test_what_has_succeeded_is_not_done_again_and_what_failed_is(store, judge):
    pending = judge.ask(8)
    store.evaluations.begin(store.evaluations.at(pending))
    error = JobError(code="out-of-memory", detail="it did not fit")
    store.evaluations.end(store.evaluations.at(pending), None, error)
    conclude(store, pending)
    assert events(judge.job, "evaluation.failed")[0]["error"]["code"] == "out-of-memory"
    assert not store.evaluations.pending()
    assert judge.ask(8) == pending
    again = store.evaluations.at(pending).record()
    assert (again.status, again.attempts, again.error) == ("queued", 0, None)
    judge.find(pending, 1.0)
    conclude(store, pending)
    assert judge.ask(8) == pending
    assert store.evaluations.at(pending).record().status == "succeeded"
    assert not store.evaluations.pending()


def test_the_record_is_on_disk_before_it_is_promised(store, job, judge, monkeypatch):
    synced = []
    monkeypatch.setattr(disk, "sync_directory", lambda path: synced.append(path.name))
    judge.ask(8)
    assert synced.index("pending-evaluations") < len(synced) - synced[::-1].index("evaluations")


def test_a_question_that_fails_on_the_way_leaves_nothing(store, job, judge, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "worker.store.evaluations.write_durably",
            lambda *_: (_ for _ in ()).throw(OSError(28, "full")),
        )
        with pytest.raises(OSError, match="full"):
            judge.ask(8)
    assert not store.evaluations.pending()
    assert not store.evaluations.of(job)


def test_a_checkpoint_that_is_pruned_while_it_is_asked_for_is_not_promised(store, job):
    checkpoint = job.checkpoint(4)
    assert checkpoint.digest
    assert checkpoint.manifest
    shutil.rmtree(checkpoint.path)
    with pytest.raises(NotFound):
        store.evaluations.ask(job, checkpoint, Protocol(), ANY)
    assert not store.evaluations.pending()


def test_only_so_many_may_be_pending(store, job, judge):
    judge.ask(8)
    for room in (Room(of_all=1, of_job=None), Room(of_all=None, of_job=1)):
        with pytest.raises(Unavailable) as refusal:
            store.evaluations.ask(job, job.checkpoint(4), Protocol(), room)
        assert refusal.value.code == "too-many-evaluations"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda store, job: store.datasets.delete(job.config().dataset), "dataset-not-found"),
        (lambda store, job: shutil.rmtree(job.checkpoint(8).path), "checkpoint-not-found"),
        (lambda store, job: damage(job.checkpoint(8).path / "generator.safetensors"),
         "checkpoint-corrupt"),
        (lambda store, job: damage(store.datasets.get("ring").directory / "items.npy"),
         "dataset-corrupt"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_fails_with_its_reason(store, home, judge, spoil, code):
    pending = judge.ask(8)
    if code == "dataset-not-found":
        shutil.rmtree(store.datasets.get("ring").directory)
    else:
        spoil(store, judge.job)
    run(settings_for(home), store, pending)
    record = store.evaluations.at(pending).record()
    assert (record.status, record.error.code) == ("failed", code)
    assert not store.evaluations.pending()


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_job_that_is_deleted_meanwhile_is_no_error(store, home, judge):
    pending = judge.ask(8)
    store.jobs.delete(judge.job)
    run(settings_for(home), store, pending)
    PendingEvaluations(settings_for(home), store, Dispatcher(NO_REDIS)).scan()
    assert not store.evaluations.pending()
    assert not judge.job.path.exists()


def test_the_best_is_the_least_and_says_that_it_may_be_chance(judge):
    judge.judge(4, 10.0, error=1.0)
    assert read_best(judge.job).step == 4
    judge.judge(8, 11.0, error=1.0)
    best = read_best(judge.job)
    assert (best.step, best.value, best.among) == (4, 10.0, 2)
    assert "may be chance" in best.confidence
    assert [told["step"] for told in events(judge.job, "checkpoint.best")] == [4]


def test_the_best_is_an_earlier_one_that_is_clearly_better(judge):
    judge.judge(8, 20.0, error=1.0)
    judge.judge(4, 10.0, error=1.0)
    best = read_best(judge.job)
    assert (best.step, best.digest) == (4, judge.job.checkpoint(4).digest)
    assert (best.measure, best.standard_error) == ("frechet", 1.0)


def test_other_protocols_do_not_compete(judge):
    judge.judge(8, 20.0)
    judge.judge(4, 1.0, seed=5)
    assert read_best(judge.job).step == 8


def test_among_counts_those_that_the_confidence_speaks_of(store, home):
    """The least of all is gone, and with it the comparison that it won."""
    job = points_job(store, home, schedule={"steps": 12, "keep_every": 4})
    judge = Judge(store, job)
    for step, value in ((4, 1.0), (8, 10.0), (12, 20.0)):
        judge.judge(step, value)
    shutil.rmtree(job.checkpoint(4).path)
    best = find_best(job, competing(store, job))
    assert (best.step, best.among) == (8, 2)
    assert "the least of 2 values" in best.confidence


def test_a_checkpoint_that_a_later_attempt_made_void_does_not_count(store, job, judge):
    judge.judge(4, 10.0)
    judge.judge(8, 1.0)
    assert read_best(job).step == 8
    with job.locked() as record:
        job.resume(record)
    with job.claim() as claim:
        claim.begin(4)
        job.settle(claim, "failed", None)
    judge.judge(4, 1.0, seed=9)
    assert (read_best(job).step, read_best(job).among) == (4, 1)


def versions(store: Store, name: str = "m") -> list[int]:
    return [version.step for version in store.models.get(name).versions]


def test_a_version_points_at_the_best_checkpoint_known_when_the_training_ends(
    store, home, monkeypatch
):
    referee = {"evaluate_every": 4, "protocol": PROTOCOL}
    job = make_job(store, "points", "m", referee=referee, schedule={"keep_every": 4})
    settle = Job.settle

    def evaluate_then_settle(self, *arguments):
        judge = Judge(store, job)
        judge.judge(4, 1.0)
        settle(self, *arguments)

    monkeypatch.setattr(Job, "settle", evaluate_then_settle)
    train(job, home)
    assert job.record().status == "succeeded"
    assert versions(store) == [4]
    # It was settled with the last one pending; that one turns out to be better.
    (last,) = store.evaluations.pending()
    Judge(store, job).find(last, 0.5)
    conclude(store, last)
    assert versions(store) == [4, 8]
    told = [event.type for event in job.events.after(0)]
    assert told.count("model.version") == 2
    assert told.index("model.version") < told.index("job.done")


def test_a_version_gives_way_only_to_one_that_it_was_compared_with(store, home):
    job = points_job(store, home, "m")
    judge = Judge(store, job)
    judge.judge(4, 10.0)
    assert versions(store) == [8]
    judge.judge(8, 20.0)
    assert versions(store) == [8, 4]
    assert store.models.get("m").version(None).checkpoint == read_best(job).digest


def test_an_evaluation_of_an_older_job_does_not_change_what_a_name_serves(store, home):
    old = points_job(store, home, "m")
    Judge(store, old).judge(8, 10.0)
    points_job(store, home, "m")
    Judge(store, old).judge(4, 1.0)
    assert versions(store) == [8, 8]


def test_a_full_disk_while_a_version_is_added_lets_the_job_wait(store, home, monkeypatch):
    job = make_job(store, "points", "m")
    with monkeypatch.context() as patch:
        patch.setattr(
            "worker.outcomes.publish", lambda *_: (_ for _ in ()).throw(OSError(28, "no room"))
        )
        train(job, home)
    assert (job.record().status, job.record().error.code) == ("paused", "storage-full")
    with job.locked() as record:
        job.resume(record)
    train(job, home)
    assert job.record().status == "succeeded"
    assert versions(store) == [8]


def test_the_first_checkpoint_at_or_after_each_due_step_is_put_up_and_the_last(store, home):
    referee = {"evaluate_every": 10, "protocol": PROTOCOL}
    schedule = {"steps": 28, "checkpoints_every": 4, "keep_last": 1, "keep_every": 1}
    job = points_job(store, home, referee=referee, schedule=schedule)
    assert [record.step for record in store.evaluations.of(job)] == [12, 20, 28]


def test_a_short_training_is_not_evaluated(store, home):
    job = points_job(store, home, referee={"evaluate_every": 5000})
    assert not store.evaluations.of(job)


def test_pruning_spares_what_is_pending_and_the_best(store, home, monkeypatch):
    # Else a checkpoint is left out where the one before is still being written.
    monkeypatch.setattr("worker.saving.Saver.is_writing", False)
    referee = {"evaluate_every": 8, "protocol": PROTOCOL}
    schedule = {"steps": 16, "checkpoints_every": 4, "keep_last": 1}
    job = points_job(store, home, referee=referee, schedule=schedule)
    assert [checkpoint.step for checkpoint in job.checkpoints()] == [8, 16]
    judge = Judge(store, job)
    pending = {record.step: Pending(job.id, record.id) for record in store.evaluations.of(job)}
    for step, value in ((16, 9.0), (8, 1.0)):
        judge.find(pending[step], value)
        conclude(store, pending[step])
    with job.locked() as record:
        longer = job.config().schedule.model_copy(update={"steps": 24})
        job.replace_config(job.config().model_copy(update={"schedule": longer}))
        job.resume(record)
    train(job, home)
    assert [checkpoint.step for checkpoint in job.checkpoints()] == [8, 24]


def test_at_most_five_of_a_training_wait_and_the_earliest_gives_way_to_the_latest(
    store, job, judge
):
    referee = job.config().referee.model_copy(update={"evaluate_every": 4})
    job.replace_config(job.config().model_copy(update={"referee": referee}))
    for seed in range(1, 6):
        judge.ask(4, seed=seed)
    Cadence(store, job).consider(job.checkpoint(8))
    assert events(job, "evaluation.skipped") == [{"step": 4}]
    steps = sorted(record.step for record in store.evaluations.of(job))
    assert steps == [4, 4, 4, 4, 8]
    assert len(store.evaluations.pending()) == 5


def test_a_training_gets_one_further_version_when_all_that_waited_is_measured(store, home):
    referee = {"evaluate_every": 4}
    job = points_job(store, home, model="one", referee=referee)
    judge = Judge(store, job)
    pending = {record.step: Pending(job.id, record.id) for record in store.evaluations.of(job)}
    assert sorted(pending) == [4, 8]
    judge.find(pending[4], 1.0)
    conclude(store, pending[4])
    assert [version.step for version in store.models.get("one").versions] == [8]
    judge.find(pending[8], 9.0)
    conclude(store, pending[8])
    assert [version.step for version in store.models.get("one").versions] == [8, 4]


@pytest.mark.parametrize("stage", ["begun", "measured"])
def test_whoever_comes_after_a_crash_finishes_what_was_begun(store, home, judge, stage):
    pending = judge.ask(8)
    if stage == "measured":
        judge.find(pending, 1.0)
    else:
        store.evaluations.begin(store.evaluations.at(pending))
    looking = PendingEvaluations(settings_for(home), store, Dispatcher(NO_REDIS))
    looking.scan()
    record = store.evaluations.at(pending).record()
    if stage == "measured":
        assert read_best(judge.job).step == 8
        assert not store.evaluations.pending()
        looking.scan()
        assert len(events(judge.job, "evaluation.done")) == 1
    else:
        assert (record.status, record.attempts) == ("queued", 1)
        assert store.evaluations.pending() == [pending]


def test_an_evaluation_that_is_lost_again_and_again_fails(store, home, judge):
    pending = judge.ask(8)
    looking = PendingEvaluations(settings_for(home), store, Dispatcher(NO_REDIS))
    for attempt in (1, 2, 3):
        assert store.evaluations.begin(store.evaluations.at(pending)).attempts == attempt
        looking.scan()
    record = store.evaluations.at(pending).record()
    assert (record.status, record.error.code) == ("failed", "process-lost")
    assert "3 attempts" in record.error.detail
    assert not store.evaluations.pending()
    assert len(events(judge.job, "evaluation.failed")) == 1


def test_a_marker_of_nothing_is_removed(store, home, job):
    (home / "pending-evaluations").mkdir(exist_ok=True)
    for name in (f"{job.id}-ev_{'0' * 32}", f"job_{'0' * 26}-ev_{'0' * 32}"):
        (home / "pending-evaluations" / name).write_text("0")
    (home / "pending-evaluations" / "something-else").write_text("0")
    assert len(store.evaluations.pending()) == 2
    PendingEvaluations(settings_for(home), store, Dispatcher(NO_REDIS)).scan()
    assert store.evaluations.pending() == []


def test_a_damaged_record_keeps_no_other_from_going_on(store, home, judge, redis_url, caplog):
    redis.Redis.from_url(redis_url).flushall()
    damaged, good = judge.ask(4), judge.ask(8)
    (store.evaluations.at(damaged).path / "evaluation.json").write_text("{")
    dispatcher = Dispatcher(redis_url)
    looking = PendingEvaluations(settings_for(home), store, dispatcher)
    for _ in range(3):
        looking.scan()
    assert dispatcher.waiting_evaluations() == {good}
    assert caplog.text.count("cannot be looked after") == 1
    assert judge.ask(4) == damaged
    looking.scan()
    looking.scan()
    assert dispatcher.waiting_evaluations() == {damaged, good}
    assert dispatcher.waiting() == set()


def test_two_do_not_evaluate_the_same_at_the_same_time(store, home, judge):
    pending = judge.ask(8)
    evaluation = store.evaluations.at(pending)
    with evaluation.claimed() as is_mine:
        assert is_mine
        assert evaluation.is_running
        run(settings_for(home), store, pending)
        assert evaluation.record().status == "queued"
    assert not evaluation.is_running
    run(settings_for(home), store, pending)
    run(settings_for(home), store, pending)
    assert (evaluation.record().status, evaluation.record().attempts) == ("succeeded", 1)


_RUNNER = """
import sys
from pathlib import Path
from worker.store import Store
from worker.store.evaluations import Pending
evaluations = Store(Path(sys.argv[1])).evaluations
evaluation = evaluations.at(Pending(*sys.argv[2:]))
with evaluation.claimed() as is_mine:
    assert is_mine and evaluations.begin(evaluation)
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_an_evaluation_whose_process_is_killed_is_queued_again(
    store, home, judge, redis_url, wait_until
):
    redis.Redis.from_url(redis_url).flushall()
    pending, dispatcher = judge.ask(8), Dispatcher(redis_url)
    evaluation = store.evaluations.at(pending)
    looking = PendingEvaluations(settings_for(home), store, dispatcher)
    command = [sys.executable, "-c", _RUNNER, str(home), *pending]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as runner:
        assert runner.stdout.readline() == b"begun\n"
        looking.scan()
        assert evaluation.record().status == "running"
        assert store.evaluations.put_back(evaluation, LOSS, 3).status == "running"
        runner.kill()
    wait_until(lambda: not evaluation.is_running, "the end of the runner", 5)
    looking.scan()
    looking.scan()
    assert evaluation.record().status == "queued"
    assert dispatcher.waiting_evaluations() == {pending}


_SLOT = """
import ctypes, sys
import worker.evaluations
# Native code, which heeds no exception.
worker.evaluations.evaluate = lambda *_: ctypes.CDLL(None).sleep(1000)
from worker.slot import main
sys.argv.append("--evaluations")
main()
"""


def test_one_that_takes_too_long_is_ended_and_sigterm_hands_one_back(
    store, home, judge, redis_url, wait_until
):
    redis.Redis.from_url(redis_url).flushall()
    dispatcher, pending = Dispatcher(redis_url), [judge.ask(4), judge.ask(8)]
    environment = {
        "RINGSIDE_HOME": str(home),
        "RINGSIDE_REDIS_URL": redis_url,
        "RINGSIDE_EVALUATION_TIMEOUT_SECONDS": "1.5",
    }
    # What somebody asked for goes first.
    for one, on_demand in ((pending[1], False), (pending[0], True)):
        dispatcher.enqueue_evaluation(one, on_demand)
    worker = start([sys.executable, "-c", _SLOT], environment, home / "worker.log")
    first, second = (store.evaluations.at(one) for one in pending)
    try:
        wait_until(lambda: first.record().status == "failed", "the end of the first")
        assert first.record().error.code == "evaluation-timeout"
        wait_until(lambda: second.record().status == "running", "the second")
        assert dispatcher.workers() == 0
        worker.terminate()
        assert worker.wait(20) == 0
    finally:
        stop([worker], 0)
    assert (second.record().status, second.record().attempts) == ("queued", 0)
    assert store.evaluations.pending() == [pending[1]]


_ENDLESS = """
import ctypes, sys
import worker.evaluations
worker.evaluations.evaluate = lambda *_: ctypes.CDLL(None).sleep(1000)
worker.evaluations.evaluate_job(*sys.argv[1:])
"""


def test_the_evaluation_of_a_job_that_is_deleted_ends_at_once(store, home, judge, wait_until):
    pending = judge.ask(8)
    command = [sys.executable, "-c", _ENDLESS, pending.job_id, pending.id]
    runner = start(command, {"RINGSIDE_HOME": str(home)}, home / "runner.log")
    try:
        evaluation = store.evaluations.at(pending)
        wait_until(lambda: evaluation.record().status == "running", "the runner")
        store.jobs.delete(judge.job)
        assert runner.wait(20) == 0
    finally:
        stop([runner], 0)


def test_what_a_killed_process_left_half_done_is_swept(store, home, judge):
    evaluation = store.evaluations.at(judge.ask(8))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = temporary_name("x").replace(f"-{os.getpid()}-", f"-{gone.pid}-")
    places = [evaluation.path, evaluation.path.parent, home / "pending-evaluations"]
    places.append(store.datasets.get("ring").directory)
    for place in places:
        replace_file(place / left, b"", durable=False)
    assert sweep(home) == len(places)


FULL = OSError(28, "no room")


def fail(error: BaseException):
    def failing(*_, **__):
        raise error

    return failing


def test_pictures_that_cannot_be_made_cost_no_figures(store, home, judge, monkeypatch, caplog):
    pending = judge.ask(8)
    monkeypatch.setattr(worker.evaluations, "scores", fail(ValueError("too many bins")))
    monkeypatch.setattr(worker.evaluations, "neighbours", fail(FULL))
    run(settings_for(home), store, pending)
    assert store.evaluations.at(pending).record().findings.figures["frechet"].value > 0
    assert caplog.text.count("there is no") == 2


@pytest.mark.parametrize("logits", [
    [0.0], [1.0, 1.0 + 1e-7], [1e9, 1e9 + 64], [3e38, -3e38], [-2.0, 5.0], [1e-40, 0.0],
])  # fmt: skip
def test_any_finite_logits_have_a_histogram(store, home, job, monkeypatch, logits):
    checkpoint, dataset = job.checkpoint(8), store.datasets.get("ring")
    players = Players.of(checkpoint, "average", torch.device("cpu"))
    monkeypatch.setattr(
        "worker.evidence.judge",
        lambda _, seen, *__: np.resize(np.array(logits, dtype=np.float32), len(seen)),
    )
    counted = json.loads(scores(players, dataset, 0))
    assert sum(counted["fake"]) == 1000
    assert np.all(np.diff(counted["edges"]) > 0)


def test_a_disk_that_fills_up_costs_neither_the_result_nor_an_attempt(
    store, home, judge, monkeypatch
):
    """The record takes a file that is full before it is: what is reserved for it is let go."""
    pending = judge.ask(8)
    evaluation = store.evaluations.at(pending)
    write = disk.write

    def full(path, parts, durable=True):
        if evaluation.has_reserve:
            raise FULL
        write(path, parts, durable)

    def measured(*_):
        monkeypatch.setattr(disk, "write", full)
        raise NotFound("dataset-not-found", "it is gone")

    monkeypatch.setattr(worker.evaluations, "evaluate", measured)
    run(settings_for(home), store, pending)
    assert (evaluation.record().status, evaluation.record().attempts) == ("failed", 1)


@pytest.mark.parametrize("is_read_only", [False, True])
def test_an_end_that_cannot_be_recorded_is_no_loss(
    store, home, judge, monkeypatch, redis_url, is_read_only
):
    redis.Redis.from_url(redis_url).flushall()
    pending, dispatcher = judge.ask(8), Dispatcher(redis_url)
    evaluation = store.evaluations.at(pending)
    looking = PendingEvaluations(settings_for(home), store, dispatcher)
    for _ in range(4):
        with monkeypatch.context() as patch:

            def full(*_):
                evaluation.use_reserve()
                if is_read_only:
                    patch.setattr(disk, "write", fail(FULL))
                raise FULL

            patch.setattr(store.evaluations, "end", full)
            run(settings_for(home), store, pending)
            patch.setattr("worker.pending.has_room", lambda *_: False)
            for _ in range(3):
                looking.scan()
        assert dispatcher.waiting_evaluations() == set()
    looking.scan()
    looking.scan()
    assert (evaluation.record().status, evaluation.record().attempts) == ("queued", 0)
    assert dispatcher.waiting_evaluations() == {pending}
    run(settings_for(home), store, pending)
    assert (evaluation.record().status, evaluation.record().attempts) == ("succeeded", 1)


def test_a_damaged_model_keeps_no_other_evaluation_from_going_on(
    store, home, judge, redis_url, caplog
):
    redis.Redis.from_url(redis_url).flushall()
    owner = points_job(store, home, "m")
    Judge(store, owner).judge(8, 10.0)
    better = Judge(store, owner).ask(4)
    Judge(store, owner).find(better, 1.0)
    for path in (home / "models").glob("*.json"):
        path.write_text("{}")
    waits, dispatcher = judge.ask(8), Dispatcher(redis_url)
    looking = PendingEvaluations(settings_for(home), store, dispatcher)
    for _ in range(3):
        looking.scan()
    assert dispatcher.waiting_evaluations() == {waits}
    assert set(store.evaluations.pending()) == {better, waits}
    assert caplog.text.count("cannot be looked after") == 1


def test_those_on_demand_have_room_of_their_own_and_go_first(store, home, job, judge, redis_url):
    redis.Redis.from_url(redis_url).flushall()
    dispatcher, asked = Dispatcher(redis_url), Room(of_all=1, of_job=None, on_demand=True)
    of_trainings = [judge.ask(8, seed=seed) for seed in (1, 2)]
    protocol = judge.job.config().referee.protocol
    record, _ = store.evaluations.ask(job, job.checkpoint(8), protocol, asked)
    on_demand = Pending(job.id, record.id)
    assert store.evaluations.pinned(job.id) == {job.checkpoint(8).digest}
    with pytest.raises(Unavailable):
        store.evaluations.ask(job, job.checkpoint(4), protocol, asked)
    PendingEvaluations(settings_for(home), store, dispatcher).scan()
    assert dispatcher.waiting_evaluations() == {on_demand, *of_trainings}
    first = Queue(ON_DEMAND, connection=redis.Redis.from_url(redis_url))
    assert [one.startswith(f"{job.id}-{record.id}") for one in first.get_job_ids()] == [True]


def test_figures_are_the_same_twice(store, home, job, judge):
    found = []
    for _ in range(2):
        pending = judge.ask(8)
        run(settings_for(home), store, pending)
        found.append(store.evaluations.at(pending).record().findings)
        shutil.rmtree(store.evaluations.at(pending).path)
    assert found[0] == found[1]
    assert np.isfinite(found[0].figures["frechet"].value)


def test_the_classifier_is_kept_with_the_dataset(store, home, judge, monkeypatch):
    load, given = worker.evaluations.load_features, []

    def remember(kind, dataset, cache, *others):
        given.append((dataset, cache, others[-1]))
        return load(kind, dataset, cache, *others)

    monkeypatch.setattr(worker.evaluations, "load_features", remember)
    run(settings_for(home), store, judge.ask(8))
    ((dataset, cache, write),) = given
    assert cache.parent == dataset.directory
    # What a process that is killed leaves of it is swept.
    assert write is replace_file
    cache.write_bytes(b"kept")
    assert open_packed(dataset.directory).manifest == dataset.manifest


@pytest.mark.parametrize("ids", [("../x", "ev_" + "0" * 32), ("job_" + "0" * 26, "../../x")])
def test_ids_that_are_none_of_ours_name_no_file(store, home, ids):
    with pytest.raises(NotFound):
        run(settings_for(home), store, Pending(*ids))


def test_a_training_does_not_fail_of_a_checkpoint_that_cannot_be_put_up(store, home, monkeypatch):
    full = OSError(28, "no room")
    monkeypatch.setattr(
        "worker.store.evaluations.Evaluations.ask", lambda *_: (_ for _ in ()).throw(full)
    )
    job = points_job(store, home, referee={"evaluate_every": 4})
    assert job.checkpoint().step == 8
    assert not store.evaluations.of(job)
