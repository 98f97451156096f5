"""A job trains to its end, stops when asked, goes on exactly, and says why it failed."""

import json
import threading

import pytest
import torch

from ganmodels.games.recorded import RecordingFailed
from ganmodels.recipes import RECIPES
from tests.worker.builders import make_job, train
from worker.errors import Conflict, Unavailable
from worker.saving import Saver
from worker.store.job import Job

WALL_CLOCK = ("images_per_second", "at")


def rows(job: Job) -> list[dict]:
    """Metric rows without what depends on the clock."""
    return [{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in job.metrics()]


def files(job: Job, step: int) -> dict[str, bytes]:
    """Bytes of a checkpoint's files but the manifest, which holds times and ids, and its seal."""
    found = job.checkpoint(step).path.glob("[!m]*")
    return {file.name: file.read_bytes() for file in found}


# Sixteen layers whose weights grow by one per step overflow within some steps.
_WILD = {"learning_rate": 1.0, "beta1": 0.0, "beta2": 0.0}
DIVERGES = {
    "game": {
        "objective": {"kind": "least_squares"},
        "network": {"generator_widths": [8], "discriminator_widths": [8] * 16},
    },
    "optimisation": {"precision": "float32", "generator": _WILD, "discriminator": _WILD},
}


class StopAt:
    """Asks for a stop once the job has reached a step; looks like an event that is set."""

    def __init__(self, job: Job, step: int, stop: str) -> None:
        self._job, self._step, self._stop = job, step, stop

    def is_set(self) -> bool:
        if any(row["step"] >= self._step for row in self._job.metrics()):
            self._job.want_stop(self._stop)
        return False


def test_a_job_trains_to_its_end_and_leaves_its_artifacts(store, home):
    job = make_job(store, model="digits-test")
    train(job, home)
    record = job.record()
    assert (record.status, record.attempt, record.error) == ("succeeded", 1, None)
    assert [row["step"] for row in job.metrics()] == [2, 4, 6, 8]
    assert [c.manifest.step for c in job.checkpoints()] == [4, 8]
    assert sorted(job.previews()) == [4, 8]
    version = store.models.get("digits-test").version(None)
    assert (version.job, version.step) == (job.id, 8)
    assert version.checkpoint == job.checkpoint().digest
    types = [event.type for event in job.events.after(0)]
    assert types[-1] == "job.done"
    assert types.count("job.metrics") == 4


# Each has something in its state that the others have not; the rest are tried in the slow tests.
UNLIKE = {"cgan", "points", "sngan", "ada", "vanilla-2014", "semi-supervised", "simgan", "cyclegan"}
EVERY = [
    recipe if recipe in UNLIKE else pytest.param(recipe, marks=pytest.mark.slow)
    for recipe in RECIPES
]


@pytest.mark.parametrize("recipe", EVERY)
def test_a_job_that_was_paused_ends_bit_for_bit_like_one_that_was_not(recipe, store, home):
    straight, stopped = make_job(store, recipe), make_job(store, recipe)
    train(straight, home)
    stopped.want_stop("pause")
    train(stopped, home)
    assert stopped.record().status == "paused"
    paused_at = stopped.checkpoint().manifest.step
    assert 0 < paused_at < 8
    resume(stopped)
    train(stopped, home)
    assert stopped.record().status == "succeeded"
    assert files(straight, 8) == files(stopped, 8)
    assert rows(straight) == rows(stopped)


def resume(job: Job) -> None:
    with job.locked() as record:
        job.change(record, status="queued")


def test_a_finished_job_goes_on_with_more_steps(store, home):
    job = make_job(store)
    train(job, home)
    config = job.config()
    longer = config.schedule.model_copy(update={"steps": 12})
    job.replace_config(config.model_copy(update={"schedule": longer}))
    resume(job)
    train(job, home)
    assert [row["step"] for row in job.metrics()] == [2, 4, 6, 8, 10, 12]
    assert job.checkpoint().manifest.step == 12


def test_cancel_saves_first(store, home):
    job = make_job(store, schedule={"steps": 10**6})
    train(job, home, StopAt(job, 6, "cancel"))
    assert job.record().status == "canceled"
    assert job.checkpoint().manifest.step >= 6
    assert job.stop_wanted() is None
    assert [event.type for event in job.events.after(0)][-1] == "job.done"


def test_an_interrupted_job_is_queued_again_and_loses_no_step(store, home):
    job, interrupted = make_job(store), threading.Event()
    interrupted.set()
    train(job, home, interrupted)
    assert job.record().status == "queued"
    assert job.checkpoint().manifest.step == 1
    train(job, home)
    assert (job.record().status, job.record().attempt) == ("succeeded", 2)


def test_rows_that_a_later_attempt_made_void_are_not_shown(store, home):
    job = make_job(store)
    train(job, home)
    newest = job.checkpoint()
    # The last checkpoint is lost: training goes on from the one before, and redoes its steps.
    (newest.path / "generator.safetensors").write_bytes(b"torn")
    before = rows(job)
    resume(job)
    train(job, home)
    assert rows(job) == before
    assert [c.manifest.step for c in job.checkpoints()] == [4, 8]
    assert len(job.epochs()) == 2


def test_a_torn_checkpoint_is_put_aside_and_the_one_before_is_used(store, home):
    job = make_job(store)
    train(job, home)
    path = job.checkpoint().path / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert job.newest_sound_checkpoint().manifest.step == 4
    assert len(list((job.path / "quarantine").iterdir())) == 1
    assert "checkpoint.quarantined" in [event.type for event in job.events.after(0)]


def test_a_job_without_a_sound_checkpoint_fails_and_does_not_start_again(store, home):
    job = make_job(store)
    train(job, home)
    for checkpoint in job.checkpoints():
        (checkpoint.path / "config.json").write_text("{}")
    resume(job)
    train(job, home)
    record = job.record()
    assert (record.status, record.error.code) == ("failed", "checkpoint-unrecoverable")


def test_divergence_fails_the_job_names_the_step_and_saves_nothing_of_it(store, home):
    job = make_job(store, "vanilla", schedule={"steps": 2000, "checkpoints_every": 5}, **DIVERGES)
    train(job, home)
    record = job.record()
    assert (record.status, record.error.code) == ("failed", "diverged")
    assert 0 < record.error.step < 2000
    newest = job.newest_sound_checkpoint()
    assert newest is None or newest.manifest.step < record.error.step
    text = (job.epochs()[0].path / "metrics.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_job_whose_dataset_is_gone_fails_and_says_so(store, home):
    job = make_job(store)
    data = json.loads((job.path / "config.json").read_text())
    data["dataset"] = "ds_" + "f" * 32
    (job.path / "config.json").write_text(json.dumps(data))
    train(job, home)
    assert job.record().error.code == "dataset-not-found"


def test_retention_keeps_the_last_the_regular_and_those_of_versions(store, home, monkeypatch):
    # Steps of a millisecond are faster than any disk; here each checkpoint is waited for.
    monkeypatch.setattr(Saver, "is_writing", False)
    schedule = {"steps": 12, "checkpoints_every": 2, "keep_last": 2, "keep_every": 6}
    job = make_job(store, model="kept", schedule=schedule)
    first = make_job(store, model="kept", schedule={**schedule, "steps": 4, "keep_every": None})
    train(first, home)
    longer = first.config().schedule.model_copy(update={"steps": 12})
    first.replace_config(first.config().model_copy(update={"schedule": longer}))
    resume(first)
    train(first, home)
    assert [c.manifest.step for c in first.checkpoints()] == [4, 10, 12]
    train(job, home)
    assert [c.manifest.step for c in job.checkpoints()] == [6, 10, 12]


def test_an_old_checkpoint_that_cannot_be_read_stays_and_harms_no_training(store, home):
    job = make_job(store, schedule={"steps": 12, "checkpoints_every": 2, "keep_last": 2})
    train(job, home, StopAt(job, 4, "pause"))
    old = job.checkpoint(2).path
    (old / "manifest.json").unlink()
    resume(job)
    train(job, home)
    assert job.record().status == "succeeded"
    assert old.exists()


def test_nothing_is_removed_while_it_is_not_known_what_a_model_needs(store, home):
    make_job(store, model="another")
    job = make_job(store, schedule={"steps": 12, "checkpoints_every": 2, "keep_last": 2})
    train(job, home, StopAt(job, 4, "pause"))
    (file,) = home.glob("models/*.json")
    file.write_bytes(b"")
    resume(job)
    train(job, home)
    assert job.record().status == "succeeded"
    assert job.checkpoints()[0].step == 2


def test_a_job_that_cannot_be_settled_just_now_goes_on_later(store, home, monkeypatch):
    job = make_job(store)

    def busy(*given):
        raise Unavailable("job-busy", "the job is being changed; try again")

    with monkeypatch.context() as patch:
        patch.setattr("worker.jobs.record_ending", busy)
        train(job, home)
    assert job.record().status == "queued"
    assert job.epochs()[-1].loss.code == "store-busy"
    train(job, home)
    assert job.record().status == "succeeded"


def test_a_settled_job_is_not_trained_again(store, home):
    job = make_job(store)
    train(job, home)
    train(job, home)
    assert job.record().attempt == 1


def test_a_job_is_let_go_of_when_its_training_ends(store, home):
    job = make_job(store)
    train(job, home)
    assert not job.is_training()
    resume(job)
    with job.claim() as claim:
        assert (claim.epoch.number, job.is_training()) == (2, True)
    assert not job.is_training()


def test_a_job_that_another_process_trains_is_left_to_it(store, home, held_elsewhere):
    job = make_job(store)
    with held_elsewhere(job):
        assert job.is_training()
        with pytest.raises(Conflict):
            job.claim()
        train(job, home)
        assert (job.record().status, job.record().attempt) == ("running", 1)
    assert not job.is_training()


def test_a_job_says_what_it_runs_on(store, home):
    job = make_job(store, engine={"data": "streamed"})
    assert job.engine() is None
    train(job, home)
    engine = job.engine()
    assert engine is not None
    assert (engine.device, engine.processes, engine.threads) == ("cpu", 1, 1)
    assert (engine.precision, engine.layout, engine.data) == (
        "float32", "channels last", "streamed",
    )  # fmt: skip
    assert (engine.graphs, engine.deterministic) == ("none: graphs are for GPUs", True)


def test_a_job_whose_steps_cannot_be_recorded_goes_on_without(store, home, monkeypatch):
    def refuse(match):
        def moves(deck, random):
            raise RecordingFailed("operation not permitted when stream is capturing")

        match.moves = moves

    monkeypatch.setattr("worker.setup.record", refuse)
    job = make_job(store)
    train(job, home)
    record = job.record()
    assert record.status == "queued"
    assert record.graphs_failed == "operation not permitted when stream is capturing"
    train(job, home)
    assert job.record().status == "succeeded"


def test_streamed_items_train_the_same_network(store, home):
    jobs = [make_job(store, engine={"data": where}) for where in ("resident", "streamed")]
    for job in jobs:
        train(job, home)
    first, second = (job.checkpoint().tensors("generator") for job in jobs)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_job_stays_exact_while_nothing_changes_and_says_what_did(store, home, monkeypatch):
    job = make_job(store)
    job.want_stop("pause")
    train(job, home)
    resume(job)
    job.want_stop("pause")
    train(job, home)
    assert (job.record().attempt, job.record().exact) == (2, True)
    monkeypatch.setattr("torch.__version__", "3.0")
    resume(job)
    train(job, home)
    assert (job.record().status, job.record().exact) == ("succeeded", False)
    (changes,) = [
        event.data["changes"] for event in job.events.after(0) if event.type == "job.inexact"
    ]
    assert list(changes) == ["torch"]


def test_a_dataset_that_is_deleted_during_a_training_is_noticed_at_the_next_checkpoint(store, home):
    job = make_job(store, schedule={"steps": 10**6})
    items = store.datasets.get("digits").directory / "items.npy"

    class Delete:
        def is_set(self) -> bool:
            items.unlink(missing_ok=True)
            return False

    train(job, home, Delete())
    assert (job.record().status, job.record().error.code) == ("failed", "dataset-corrupt")


def test_a_dataset_that_is_changed_during_a_training_is_noticed_at_the_next_checkpoint(store, home):
    job = make_job(store, schedule={"steps": 10**6})
    items = store.datasets.get("digits").directory / "items.npy"

    class Change:
        def is_set(self) -> bool:
            with items.open("r+b") as file:
                file.seek(-1, 2)
                file.write(b"\x07")
            return False

    train(job, home, Change())
    assert (job.record().status, job.record().error.code) == ("failed", "dataset-corrupt")


def test_a_dataset_file_that_is_touched_but_equal_is_no_reason_to_stop(store, home):
    job = make_job(store)
    items = store.datasets.get("digits").directory / "items.npy"

    class Touch:
        def is_set(self) -> bool:
            items.touch()
            return False

    train(job, home, Touch())
    assert job.record().status == "succeeded"


def test_a_gpu_that_fails_is_tried_again_and_given_up_in_the_end(store, home, monkeypatch):
    job = make_job(store)

    def fail(*_):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("ganmodels.games.gan.Match.play", fail)
    for _ in range(2):
        train(job, home)
        assert job.record().status == "queued"
    train(job, home)
    assert (job.record().status, job.record().error.code) == ("failed", "device-failed")
