"""The referee at a job: what it writes, and what its warnings and stop rules lead to."""

import json

import numpy as np
import pytest

from ganmodels.config import TrainConfig
from ganmodels.data.arrays import read_npz
from ganmodels.data.packed import pack
from ganmodels.merging import settings
from ganmodels.referee.health import Diagnosis, Remedy
from ganmodels.referee.signals import Judgement, Variety
from tests.ganmodels.builders import SMALL, match_for
from tests.worker.builders import make_job, settings_for, train
from tests.worker.test_jobs import StopAt, rows
from worker.endings import Ending
from worker.evaluations import run
from worker.outcomes import record_ending
from worker.refereeing import StopRulesAtJob
from worker.store.epochs import Loss
from worker.store.records import JobRecord

SCHEDULE = {"steps": 8, "metrics_every": 2, "previews_every": 8, "checkpoints_every": 4}


@pytest.fixture
def black_job(store, home):
    """Makes jobs on images that are all black: the first reading already names that."""
    np.savez(home / "black.npz", images=np.zeros((40, 16, 16, 1), np.uint8))
    found = pack(read_npz(home / "black.npz"), home / "black")
    (home / "black").rename(home / "datasets" / found.id)

    def make(action: str, **referee):
        game = {"network": SMALL["dcgan"], "conditioning": {"kind": "none"}}
        changes = {
            "game": game | {"labels": {"kind": "given"}},
            "batch_size": 4,
            "optimisation": {"precision": "float32"},
            "schedule": SCHEDULE,
            "referee": {"read_every": 2, "on_warning": {"not_learning": action}, **referee},
        }
        resolved = settings("dcgan", changes, 36)
        resolved |= {"dataset": found.id, "space": found.space.model_dump(mode="json")}
        config = TrainConfig.model_validate_json(json.dumps(resolved))
        return store.jobs.create(config, JobRecord(recipe="dcgan"))

    return make


def events(job, kind: str) -> list[dict]:
    return [event.data for event in job.events.after(0) if event.type == kind]


def test_readings_hold_all_signals_and_come_at_their_own_pace(store, home):
    job = make_job(store, schedule=SCHEDULE, referee={"read_every": 3})
    train(job, home)
    wanted = {*Judgement._fields, *Variety._fields, "saturated", "histogram_drift", "diagnoses"}
    readings = [row["step"] for row in job.metrics() if wanted <= row.keys()]
    # The first metrics at or after every third step, and the last ones.
    assert readings == [4, 6, 8]
    assert all("discriminator_loss_smooth" in row for row in job.metrics())


@pytest.mark.parametrize("recipe", ["points", "cgan"])
def test_metrics_at_every_step_make_no_alarm_of_a_young_match(recipe, store, home):
    job = make_job(store, recipe, schedule={"steps": 60, "metrics_every": 1})
    train(job, home)
    assert events(job, "job.warning") == []


def test_the_panel_is_saved_with_the_job_and_used_again(store, home):
    job = make_job(store, schedule=SCHEDULE)
    train(job, home, StopAt(job, 4, "pause"))
    panel = (job.path / "panel.safetensors").read_bytes()
    with job.locked() as record:
        job.resume(record)
    train(job, home)
    assert (job.path / "panel.safetensors").read_bytes() == panel


def test_a_panel_that_is_damaged_is_chosen_again(store, home):
    job = make_job(store, schedule=SCHEDULE)
    (job.path / "panel.safetensors").write_bytes(b"torn")
    train(job, home)
    assert job.record().status == "succeeded"


def test_a_resumed_job_is_diagnosed_as_if_it_had_never_stopped(black_job, home):
    straight, stopped = black_job("continue"), black_job("continue")
    train(straight, home)
    train(stopped, home, StopAt(stopped, 4, "pause"))
    with stopped.locked() as record:
        stopped.resume(record)
    train(stopped, home)
    assert rows(stopped) == rows(straight)
    assert len(events(stopped, "job.warning")) == len(events(straight, "job.warning")) == 1


def test_a_warning_has_evidence_a_step_and_a_remedy(black_job, home):
    job = black_job("continue")
    train(job, home)
    [warning] = events(job, "job.warning")
    assert (warning["code"], warning["since_step"], warning["step"]) == ("not_learning", 0, 2)
    assert warning["confidence"] == 1
    assert warning["remedy"]["detail"]
    assert job.progress()["health"]["verdict"] == "not_learning"
    assert job.record().status == "succeeded"


def test_a_warning_that_is_to_pause_pauses_with_a_checkpoint_and_can_be_overruled(black_job, home):
    job = black_job("pause")
    train(job, home)
    record = job.record()
    assert (record.status, record.error) == ("paused", None)
    assert job.checkpoint().step == 2
    assert events(job, "job.status")[-1]["reason"] == "not_learning"
    with job.locked() as record:
        job.resume(record)
    train(job, home)
    assert job.record().status == "succeeded"


def test_a_warning_that_is_to_stop_fails_the_job_with_its_reason(black_job, home):
    job = black_job("stop")
    train(job, home)
    error = job.record().error
    assert (job.record().status, error.code, error.step) == ("failed", "not-learning", 2)
    assert job.checkpoint().step == 2


def test_a_rollback_goes_back_with_half_of_the_rates_and_is_made_a_few_times_only(black_job, home):
    job = black_job("rollback", max_rollbacks=1)
    asked = job.config()
    train(job, home)
    record = job.record()
    assert (record.status, record.rollbacks, record.return_to) == ("queued", 1, 0)
    assert job.config() == asked
    assert events(job, "job.rolled_back") == [{"to_step": 0, "reason": "not_learning"}]
    train(job, home)
    assert (job.record().status, job.record().error.code) == ("failed", "not-learning")
    assert [row["step"] for row in job.metrics()] == [2]


def test_after_a_rollback_both_networks_learn_at_half_the_rate(store, home):
    def weights(rollbacks: int) -> dict:
        job = make_job(store, schedule={"steps": 2, "metrics_every": 2, "checkpoints_every": 2})
        with job.locked() as record:
            job.change(record, rollbacks=rollbacks)
        train(job, home)
        return job.checkpoint().tensors("training")

    half, whole = weights(1), weights(0)
    changed = [name for name in whole if not np.array_equal(half[name], whole[name])]
    assert any(name.startswith("generator/") for name in changed)
    assert any(name.startswith("discriminator/") for name in changed)


def test_a_rollback_returns_to_the_checkpoint_before_the_failure(store, home):
    job = make_job(store, schedule=SCHEDULE)
    train(job, home, StopAt(job, 4, "pause"))
    with job.locked() as record:
        job.resume(record)
    claim = job.claim()
    claim.begin(4)
    job.roll_back(claim, 4, "oscillation")
    assert job.record().return_to == 4
    train(job, home)
    assert (job.record().status, job.record().return_to) == ("succeeded", None)
    assert job.epochs()[-1].start == 4


def test_numbers_that_are_not_finite_are_a_divergence_in_health_and_can_be_rolled_back(store, home):
    rates = {"generator": {"learning_rate": 1.0}, "discriminator": {"learning_rate": 1.0}}
    schedule = {**SCHEDULE, "steps": 400, "metrics_every": 10}
    game = {"objective": {"kind": "wasserstein"}, "latent": {"signs": 0}, "penalties": []}
    job = make_job(
        store,
        "points",
        schedule=schedule,
        game=game,
        optimisation={**rates, "decay": {"kind": "constant"}},
        referee={"on_warning": {"divergence": "rollback"}, "max_rollbacks": 1},
    )
    train(job, home)
    assert job.record().rollbacks == 1
    assert job.progress()["health"]["verdict"] == "divergence"
    assert events(job, "job.warning")[-1]["code"] == "divergence"


def test_enough_images_end_the_training_early_and_say_so(store, home):
    job = make_job(store, schedule=SCHEDULE, stop={"max_images": 30})
    train(job, home)
    record = job.record()
    assert (record.status, record.stopped_by.rule, record.stopped_by.step) == (
        "succeeded",
        "max_images",
        4,
    )
    assert job.checkpoint().step == 4


def evaluated(store, home, stop: dict):
    """A trained job on points whose checkpoints at 4 and 8 were both evaluated."""
    protocol = {"measures": ["frechet", "critic"], "samples": 200, "features": "pixels"}
    referee = {"evaluate_every": 4, "protocol": protocol}
    job = make_job(store, "points", schedule=SCHEDULE, referee=referee, stop=stop)
    train(job, home)
    for pending in store.evaluations.pending():
        run(settings_for(home), store, pending)
    assert len(store.evaluations.by_own_protocol(job)) == 2
    return job


def test_a_plateau_of_real_evaluations_is_a_reason_to_stop(store, home):
    rule = {"plateau": {"patience": 1, "min_improvement": 0.99}}
    job = evaluated(store, home, rule)
    reason = StopRulesAtJob(store, job, job.config().stop).reason(match_for(job.config()))
    assert (reason.rule, reason.step) == ("plateau", 0)
    assert "frechet" in reason.detail


def test_a_critic_that_tells_untrained_fakes_is_no_equilibrium(store, home):
    job = evaluated(store, home, {"equilibrium": {"patience": 1}})
    match = match_for(job.config())
    assert StopRulesAtJob(store, job, job.config().stop).reason(match) is None
    for path in job.path.glob("evaluations/*/evaluation.json"):
        record = json.loads(path.read_bytes())
        record["findings"]["figures"]["critic_accuracy"] |= {"value": 0.5, "standard_error": 0.03}
        path.write_text(json.dumps(record))
    assert StopRulesAtJob(store, job, job.config().stop).reason(match).rule == "equilibrium"


def test_a_plateau_ends_a_running_training_as_a_success(store, home):
    rule = {"plateau": {"patience": 1, "min_improvement": 0.99}}
    job = evaluated(store, home, rule)
    with job.locked() as record:
        schedule = job.config().schedule.model_copy(update={"steps": 100})
        job.replace_config(job.config().model_copy(update={"schedule": schedule}))
        job.resume(record)
    train(job, home)
    record = job.record()
    assert (record.status, record.stopped_by.rule) == ("succeeded", "plateau")
    assert job.checkpoint().step == record.stopped_by.step < 100


@pytest.mark.parametrize(
    ("action", "status"), [("pause", "paused"), ("stop", "failed"), ("rollback", "queued")]
)
def test_what_a_warning_leads_to_is_done_by_the_next_attempt_if_this_one_dies(
    action, status, black_job, home, monkeypatch
):
    job = black_job(action)
    with monkeypatch.context() as patch:
        # As a kill between the last checkpoint and the record of the end leaves it.
        patch.setattr("worker.jobs.record_ending", lambda *_: None)
        train(job, home)
    assert job.record().status == "running"
    assert job.put_back(Loss(code="process-lost", detail="killed"), max_attempts=3)
    train(job, home)
    assert job.record().status == status
    assert [row["step"] for row in job.metrics()][:1] == [2]


def test_a_stop_rule_that_was_met_when_the_process_died_ends_the_next_attempt_at_that_step(
    store, home, monkeypatch
):
    job = make_job(store, schedule=SCHEDULE, stop={"max_images": 30}, referee={"read_every": 2})
    with monkeypatch.context() as patch:
        patch.setattr("worker.jobs.record_ending", lambda *_: None)
        train(job, home)
    job.put_back(Loss(code="process-lost", detail="killed"), max_attempts=3)
    train(job, home)
    assert job.record().stopped_by.step == job.checkpoint().step == 4


def test_a_rollback_does_not_begin_again_what_was_long_trained(store, home):
    job = make_job(store, schedule=SCHEDULE)
    train(job, home, StopAt(job, 4, "pause"))
    with job.locked() as record:
        job.resume(record)
    claim = job.claim()
    claim.begin(4)
    failure = black_diagnosis(since_step=2)
    record_ending(store, job, claim, Ending("rollback", failure))
    assert job.record().status == "failed"
    assert "no checkpoint from before" in job.record().error.detail
    assert job.checkpoint().step == 4


def black_diagnosis(since_step: int) -> Diagnosis:
    return Diagnosis(
        code="not_learning",
        step=8,
        since_step=since_step,
        confidence=1,
        detail="nothing to learn",
        evidence={},
        remedy=Remedy(detail="other data", patch={}),
    )


def test_a_dataset_too_small_to_hold_anything_out_trains(store, home, black_job):
    np.savez(
        home / "few.npz", images=np.random.default_rng(0).integers(0, 255, (8, 16, 16, 1), np.uint8)
    )
    found = pack(read_npz(home / "few.npz"), home / "few")
    (home / "few").rename(home / "datasets" / found.id)
    job = black_job("continue")
    config = job.config().model_copy(update={"dataset": found.id})
    job = store.jobs.create(config, JobRecord(recipe="dcgan"))
    train(job, home)
    assert (job.record().status, job.record().error) == ("succeeded", None)
    assert list(job.metrics())[-1]["held_out_accuracy"] is None


def test_a_job_that_was_paused_at_its_last_step_finishes_when_resumed(black_job, home):
    job = black_job("pause")
    train(job, home)
    with job.locked() as record:
        schedule = job.config().schedule.model_copy(update={"steps": 2})
        job.replace_config(job.config().model_copy(update={"schedule": schedule}))
        job.resume(record)
    train(job, home)
    assert job.record().status == "succeeded"
