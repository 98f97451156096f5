"""Jobs as RQ runs them. ``train`` is the only function that a worker may be asked to call."""

import signal
import threading
import time
from contextlib import suppress
from types import FrameType

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches
from ganmodels.data.errors import DataError
from ganmodels.data.packed import PackedDataset
from ganmodels.games.gan import Match
from ganmodels.labels import Clusters
from worker.attempt import Attempt, join_state, label
from worker.engine import DeviceUnavailable, autocast_dtype, choose_device, describe
from worker.errors import Conflict, NotFound, Unavailable
from worker.loop import Outcome, TrainingDiverged, run
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt
from worker.store.files import now
from worker.store.jobs import Job, JobError, Status

_LOCK_PATIENCE_SECONDS = 10.0
_TOO_LARGE = "the training did not fit into memory; lower batch_size or the networks' widths"
_STATUS_AFTER: dict[Outcome, Status] = {
    "finished": "succeeded",
    "pause": "paused",
    "cancel": "canceled",
    "interrupt": "queued",
}


def train(job_id: str) -> None:
    """Train a job in this process, from its newest checkpoint, to its end or to a stop.

    SIGTERM and SIGINT mean: save at the next step, put the job back, return.
    """
    interrupted = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings()
    job = Store(settings.home).jobs.get(job_id)
    train_job(settings, job, interrupted)
    if job.record().status == "queued" and settings.redis_url:
        _hand_back(job, settings.redis_url)


def train_job(settings: Settings, job: Job, interrupted: threading.Event) -> None:
    """Train a job unless it is settled or another process trains it; record how it ended."""
    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        try:
            with job.training_lock():
                if _begin(job):
                    _settle(job, *_attempt(settings, job, interrupted))
            return
        except Conflict:
            # Delivered twice: whoever holds the lock trains it. Only while it is queued may the
            # holder be one that has just let go of the job and is about to let go of the lock.
            if job.record().status != "queued" or time.monotonic() > deadline:
                return
            time.sleep(0.05)


def _hand_back(job: Job, redis_url: str) -> None:
    """Let another worker go on; without Redis the next worker that starts finds the job."""
    with suppress(Unavailable):
        Dispatcher(redis_url).enqueue(job)


def _begin(job: Job) -> bool:
    with job.locked() as record:
        if record.status not in ("queued", "running"):
            return False
        job.change(
            record,
            status="running",
            attempt=record.attempt + 1,
            started_at=record.started_at or now(),
            finished_at=None,
            error=None,
        )
        return True


def _attempt(
    settings: Settings, job: Job, interrupted: threading.Event
) -> tuple[Status, JobError | None]:
    try:
        outcome = _play(settings, job, interrupted)
    except TrainingDiverged as error:
        return "failed", _diverged(job, error)
    except (NotFound, DataError) as error:
        return "failed", JobError(code=error.code.replace("_", "-"), detail=error.detail)
    except DeviceUnavailable as error:
        return "failed", JobError(code="device-unavailable", detail=str(error))
    except CheckpointCorrupt as error:
        return "failed", JobError(code="checkpoint-unrecoverable", detail=str(error))
    except Exception as error:
        if _is_out_of_memory(error):
            return "failed", JobError(code="out-of-memory", detail=_TOO_LARGE)
        _settle(job, "failed", JobError(code="internal", detail=f"{type(error).__name__}; see log"))
        raise
    return _STATUS_AFTER[outcome], None


def _diverged(job: Job, error: TrainingDiverged) -> JobError:
    newest = job.checkpoint()
    kept = f"the checkpoint of step {newest.step} is intact" if newest else "none was saved before"
    return JobError(code="diverged", detail=f"{error}; {kept}", step=error.step)


def _is_out_of_memory(error: Exception) -> bool:
    """PyTorch has a class for a full GPU, and for a full machine only a sentence."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _settle(job: Job, status: Status, error: JobError | None) -> None:
    with job.locked() as record:
        # A stop that was accepted while the last checkpoint was saved counts.
        wanted = job.stop_wanted()
        if status == "queued" and wanted:
            status = _STATUS_AFTER[wanted]
        elif status == "paused" and wanted == "cancel":
            status = "canceled"
        job.want_stop(None)
        finished = None if status in ("queued", "paused") else now()
        job.change(record, status=status, error=error, finished_at=finished)
        # Inside the lock: who waits for the end of the history waits for the lock.
        if finished:
            job.events.append("job.done", {"status": status})


def _play(settings: Settings, job: Job, interrupted: threading.Event) -> Outcome:
    torch.set_num_threads(settings.train_threads)
    store, config = Store(settings.home), job.config()
    dataset = store.datasets.get(config.dataset)
    dataset.verify()
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
    epoch = job.claim_epoch(match.step)
    attempt = Attempt(job, epoch, config, dataset, environment, clusters, store)

    def stop_wanted() -> Outcome | None:
        return "interrupt" if interrupted.is_set() else job.stop_wanted()

    try:
        outcome = run(match, _batches(config, dataset, clusters, device), attempt, stop_wanted)
    finally:
        attempt.close()
    if outcome == "finished":
        _finish(store, job, match, attempt)
    return outcome


def _finish(store: Store, job: Job, match: Match, attempt: Attempt) -> None:
    if match.step not in job.previews():
        attempt.write_preview(match)
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
