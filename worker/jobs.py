"""Jobs as RQ runs them. ``train`` is the only function that a worker may be asked to call."""

import logging
import signal
import threading
from contextlib import suppress
from functools import partial
from types import FrameType

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches
from ganmodels.data.packed import PackedDataset
from ganmodels.games.gan import Match
from ganmodels.labels import Clusters
from worker.attempt import Attempt
from worker.best import publish
from worker.cadence import Cadence
from worker.checkpointing import CheckpointWriter, DatasetGuard, join_state, label
from worker.engine import autocast_dtype, changes, choose_device, describe
from worker.errors import Conflict, Unavailable
from worker.failures import conclude
from worker.loop import Outcome, run
from worker.losses import LOG, keep_output
from worker.queue import STOP_SIGNALS, Dispatcher
from worker.settings import Settings
from worker.storage import is_storage_trouble
from worker.store import Store
from worker.store.checkpoints import Checkpoint, Environment
from worker.store.claims import Claim, Fenced
from worker.store.job import Job
from worker.store.records import JobError, Status

_STATUS_AFTER: dict[Outcome, Status] = {
    "finished": "succeeded",
    "pause": "paused",
    "cancel": "canceled",
    "interrupt": "queued",
}

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
    if interrupted.is_set() and job.record().status == "queued" and settings.redis_url:
        # Without Redis the reconciler finds the job.
        with suppress(Unavailable):
            Dispatcher(settings.redis_url).enqueue(job, first=True)


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
            _settle(settings, job, claim, *_attempt(settings, job, claim, interrupted))
        except Fenced as error:
            log.warning("%s: %s", job.id, error)
            # The job may have been deleted.
            with suppress(FileNotFoundError):
                job.events.append("attempt.fenced", {"attempt": claim.epoch.number})


def _settle(
    settings: Settings, job: Job, claim: Claim, status: Status, error: JobError | None
) -> None:
    store = Store(settings.home)
    try:
        job.settle(claim, status, error, partial(publish, store, job))
    except OSError as trouble:
        # Where nothing is recorded yet the job can wait until the disk is better.
        if not is_storage_trouble(trouble) or job.record().status != "running":
            raise
        job.settle(claim, *conclude(trouble, job, claim, settings.max_attempts))


def _attempt(
    settings: Settings, job: Job, claim: Claim, interrupted: threading.Event
) -> tuple[Status, JobError | None]:
    try:
        return _STATUS_AFTER[_play(settings, job, claim, interrupted)], None
    except Fenced:
        raise
    except Exception as error:
        return conclude(error, job, claim, settings.max_attempts)


def _play(settings: Settings, job: Job, claim: Claim, interrupted: threading.Event) -> Outcome:
    torch.set_num_threads(settings.train_threads)
    store, config, model = Store(settings.home), job.config(), job.record().model
    if model:
        # Whoever accepted the job may have died before this.
        store.models.add_job(model, job.id)
    dataset = store.datasets.get(config.dataset)
    guard = DatasetGuard(dataset)
    device = choose_device(settings.device)
    checkpoint = job.newest_sound_checkpoint()
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
    if checkpoint:
        _note_environment(job, environment, checkpoint.manifest.environment)
    writer = CheckpointWriter(store, job, claim, guard, environment, clusters, device)
    attempt = Attempt(job, claim, writer, clusters)

    def stop_wanted() -> Outcome | None:
        attempt.check()
        return "interrupt" if interrupted.is_set() else job.stop_wanted()

    try:
        attempt.write_progress(match)
        outcome = run(match, _batches(config, dataset, clusters, device), attempt, stop_wanted)
        if outcome == "finished":
            _finish(store, job, match, attempt)
    finally:
        attempt.close()
    return outcome


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
    Cadence(store, job).finish()


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
