"""Jobs as RQ runs them. ``train`` is the only function that a worker may be asked to call."""

import logging
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches
from ganmodels.data.packed import PackedDataset
from ganmodels.games.gan import Match
from ganmodels.labels import Clusters
from ganmodels.referee.diagnoses import broken_down
from ganmodels.referee.remedies import with_rates
from worker.attempt import Attempt
from worker.checkpointing import CheckpointWriter, DatasetGuard, join_state, label
from worker.endings import Ending, Outcome
from worker.engine import autocast_dtype, changes, choose_device, describe
from worker.errors import Conflict, StoreError, Unavailable
from worker.failures import conclude
from worker.loop import TrainingDiverged, run
from worker.losses import LOG, keep_output
from worker.queue import STOP_SIGNALS, Dispatcher
from worker.refereeing import may_roll_back, open_referee
from worker.settings import Settings
from worker.storage import is_storage_trouble
from worker.store import Store
from worker.store.checkpoints import Checkpoint, Environment
from worker.store.claims import Claim, Fenced
from worker.store.job import Job
from worker.store.records import JobError, Status

_STATUS_AFTER: Mapping[Outcome, Status] = {
    "finished": "succeeded",
    "pause": "paused",
    "cancel": "canceled",
    "interrupt": "queued",
    "fail": "failed",
}
# A match that is rolled back would fail again in the same way, step by step.
_ROLLBACK_FACTOR = 0.5

log = logging.getLogger("ringside.training")


def train(job_id: str) -> None:
    """Train a job in this process, from its newest checkpoint, to its end or to a stop.

    SIGTERM and SIGINT mean: save at the next step, put the job back, return.
    """
    interrupted = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The worker has held them back until now, so that none was lost.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    settings = Settings()
    job = Store(settings.home).jobs.get(job_id)
    if not job.is_training():
        keep_output(job.path / LOG)
    train_job(settings, job, interrupted)
    if settings.redis_url and _is_queued(job):
        # Without Redis the reconciler finds the job.
        with suppress(Unavailable):
            Dispatcher(settings.redis_url).enqueue(job, first=True)


def _is_queued(job: Job) -> bool:
    """Whether the job was handed back or rolled back; it may be deleted."""
    try:
        return job.record().status == "queued"
    except (FileNotFoundError, StoreError):
        return False


def train_job(settings: Settings, job: Job, interrupted: threading.Event) -> None:
    """Train a job unless it is settled or another process trains it; record how it ended."""
    try:
        claim = job.claim()
    except Conflict:
        # Delivered twice: whoever has the claim trains it.
        return
    except OSError as error:
        if not is_storage_trouble(error):
            raise
        log.warning("%s waits: %s", job.id, error)
        return
    if claim is None:
        return
    with claim:
        try:
            _attempt(settings, job, claim, interrupted)
        except Fenced as error:
            log.warning("%s: %s", job.id, error)
            # The job may have been deleted.
            with suppress(FileNotFoundError):
                job.events.append("attempt.fenced", {"attempt": claim.epoch.number})


def _attempt(settings: Settings, job: Job, claim: Claim, interrupted: threading.Event) -> None:
    """Train, and record how it ended."""
    try:
        ending = _play(settings, job, claim, interrupted)
    except Fenced:
        raise
    except TrainingDiverged as error:
        if not may_roll_back(job, "divergence"):
            job.settle(claim, *conclude(error, job, claim, settings.max_attempts))
            return
        _roll_back(job, claim, error.step, "divergence")
    except Exception as error:
        job.settle(claim, *conclude(error, job, claim, settings.max_attempts))
    else:
        _settle(job, claim, ending)


def _settle(job: Job, claim: Claim, ending: Ending) -> None:
    outcome, diagnosis = ending.outcome, ending.diagnosis
    if outcome == "rollback" and diagnosis:
        _roll_back(job, claim, diagnosis.since_step, diagnosis.code)
        return
    error, reason = None, "interrupted" if outcome == "interrupt" else None
    if diagnosis and outcome == "fail":
        code = diagnosis.code.replace("_", "-")
        error = JobError(code=code, detail=diagnosis.detail, step=diagnosis.step)
    elif diagnosis:
        reason = diagnosis.code
    job.settle(claim, _STATUS_AFTER[outcome], error, reason, ending.stopped_by)


def _roll_back(job: Job, claim: Claim, since_step: int, reason: str) -> None:
    config = with_rates(job.config(), _ROLLBACK_FACTOR)
    job.roll_back(claim, since_step, config, reason)


def _play(settings: Settings, job: Job, claim: Claim, interrupted: threading.Event) -> Ending:
    torch.set_num_threads(settings.train_threads)
    store, config, record = Store(settings.home), job.config(), job.record()
    if record.model:
        # Whoever accepted the job may have died before this.
        store.models.add_job(record.model, job.id)
    dataset = store.datasets.get(config.dataset)
    guard = DatasetGuard(dataset)
    device = choose_device(settings.device)
    checkpoint = job.newest_sound_checkpoint(record.return_to)
    environment = describe(config, device, checkpoint.manifest.environment if checkpoint else None)
    match = Match(
        config.game,
        config.space,
        config.optimisation,
        config.schedule.steps,
        config.seed,
        device,
        autocast_dtype(environment),
    )
    if checkpoint:
        match.load(join_state(checkpoint))
    clusters = _clusters(config, dataset, checkpoint)
    claim.begin(match.step)
    job.note_return()
    if checkpoint:
        _note_environment(job, environment, checkpoint.manifest.environment)
    writer = CheckpointWriter(store, job, claim, guard, environment, clusters, device)
    referee = open_referee(job, config, dataset, clusters, device)
    attempt = Attempt(job, claim, writer, referee, clusters)

    def stop_wanted() -> Outcome | None:
        attempt.check()
        return "interrupt" if interrupted.is_set() else job.stop_wanted()

    try:
        attempt.write_progress(match)
        ending = run(match, _batches(config, dataset, clusters, device), attempt, stop_wanted)
        if ending.outcome == "finished":
            _finish(store, job, match, attempt)
    except TrainingDiverged as error:
        attempt.write_health(match, broken_down(config, error.step, str(error)))
        raise
    finally:
        attempt.close()
    return ending


def _note_environment(job: Job, now: Environment, before: Environment) -> None:
    """The bits depend on these things, so where one has changed the job is not exact any more."""
    found = changes(now, before)
    if not found:
        return
    with job.locked() as record:
        job.change(record, exact=False)
    job.events.append("job.inexact", {"changes": found})


def _finish(store: Store, job: Job, match: Match, attempt: Attempt) -> None:
    if match.step not in job.previews():
        attempt.write_preview(match)
    attempt.check()
    model, checkpoint = job.record().model, job.checkpoint()
    if model and checkpoint:
        version = store.models.add_version(model, job.id, match.step, checkpoint.digest)
        job.events.append("model.version", {"model": model, "version": version.version})


def _clusters(
    config: TrainConfig, dataset: PackedDataset, checkpoint: Checkpoint | None
) -> Clusters | None:
    """The clusters of a checkpoint, so that a resumed training keeps its labels, or new ones."""
    labels = config.game.labels
    if checkpoint and not labels.given:
        return Clusters(**checkpoint.tensors("clusters"))
    return labels.fit(dataset.items[dataset.training_indices], config.seed)


def _batches(
    config: TrainConfig, dataset: PackedDataset, clusters: Clusters | None, device: torch.device
) -> Batches:
    chosen = dataset.training_indices
    labels = label(dataset, chosen, clusters)
    return Batches(
        dataset.items[chosen],
        labels,
        config.space,
        config.optimisation.batch_size,
        config.seed,
        device,
    )
