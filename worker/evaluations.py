"""One evaluation, as the evaluations' own worker runs it: beside the training, never in its way."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress

import torch

from ganmodels.data.errors import DataError
from ganmodels.machine import is_out_of_memory
from ganmodels.referee.evaluation.evaluate import evaluate
from ganmodels.referee.features.loading import FeaturesUnavailable, load_features
from ganmodels.referee.findings import Findings
from worker.best import conclude
from worker.engine import DeviceUnavailable, choose_device
from worker.errors import NotFound, StoreError
from worker.evidence import Players, neighbours, scores
from worker.material import Material
from worker.queue import STOP_SIGNALS
from worker.settings import Settings
from worker.storage import is_storage_trouble
from worker.store import Store
from worker.store.checkpoints import CheckpointCorrupt
from worker.store.evaluations import NEIGHBOURS, SCORES, Evaluation, EvaluationRecord, Pending
from worker.store.files import replace_file
from worker.store.records import JobError

_CLASSIFIER = "classifier.safetensors"

_LOOK_SECONDS = 1.0

log = logging.getLogger("ringside.evaluations")


def evaluate_job(job_id: str, evaluation_id: str) -> None:
    """Evaluate in this process, which ends by itself when it takes too long or is told to stop.

    The kernel ends it, wherever it is: nothing has to be saved, and native code heeds nobody.
    """
    settings = Settings()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, settings.evaluation_timeout_seconds)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The worker has held them back until now, so that none was lost.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    torch.set_num_threads(1)
    store, pending = Store(settings.home), Pending(job_id, evaluation_id)
    watch = threading.Thread(target=_end_with, args=(store.evaluations.at(pending),), daemon=True)
    watch.start()
    run(settings, store, pending)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _end_with(evaluation: Evaluation) -> None:
    """End this process when the evaluation is deleted with its job: others are waiting."""
    while evaluation.path.exists():
        time.sleep(_LOOK_SECONDS)
    log.warning("%s was deleted", evaluation.path)
    os._exit(0)


def run(settings: Settings, store: Store, pending: Pending) -> None:
    """Evaluate unless it is over or another process is at it; record what came of it.

    What the disk has no room for is handed back, and is done again when it has.
    """
    evaluation = store.evaluations.at(pending)
    # The job may be deleted at any time; then nobody wants to know.
    with suppress(FileNotFoundError):
        try:
            _run(settings, store, pending, evaluation)
        except OSError as error:
            if not is_storage_trouble(error):
                raise
            log.warning("%s waits for the disk: %s", evaluation.path, error)
            # Where it cannot even be handed back it is found to have ended unrecorded.
            with suppress(OSError, StoreError):
                store.evaluations.hand_back(evaluation)


def _run(settings: Settings, store: Store, pending: Pending, evaluation: Evaluation) -> None:
    with evaluation.claimed() as is_mine:
        record = store.evaluations.begin(evaluation) if is_mine else None
        if record is None:
            return
        findings, error = _outcome(settings, store, evaluation, record)
        store.evaluations.end(evaluation, findings, error)
        conclude(store, pending)


def _outcome(
    settings: Settings, store: Store, evaluation: Evaluation, record: EvaluationRecord
) -> tuple[Findings | None, JobError | None]:
    try:
        return _measure(settings, store, evaluation, record), None
    except Exception as error:
        if not evaluation.path.exists():
            raise FileNotFoundError("the job was deleted") from error
        return None, _reason(error, evaluation)


def _measure(
    settings: Settings, store: Store, evaluation: Evaluation, record: EvaluationRecord
) -> Findings:
    checkpoint = evaluation.job.checkpoint_by_digest(record.step, record.checkpoint)
    if checkpoint is None:
        raise NotFound("checkpoint-not-found", "the checkpoint is not there any more")
    dataset, source = material = Material.of(store, checkpoint.config())
    for one in material.all:
        one.verify()
    device = choose_device(settings.evaluation_device, "RINGSIDE_EVALUATION_DEVICE")
    protocol = record.protocol
    cache = dataset.directory / _CLASSIFIER
    weights = settings.inception_weights
    features = load_features(protocol.features, dataset, cache, weights, device, replace_file)
    players = Players.of(checkpoint, protocol.weights, device, source)
    findings = evaluate(players.sampler, dataset, protocol, features)
    for name, make in ((NEIGHBOURS, neighbours), (SCORES, scores)):
        try:
            if content := make(players, dataset, protocol.seed):
                replace_file(evaluation.path / name, content)
        except Exception:
            # The figures are worth having without it.
            log.exception("%s: there is no %s", evaluation.path, name)
    return findings


def _reason(error: Exception, evaluation: Evaluation) -> JobError:
    if isinstance(error, NotFound | DataError | FeaturesUnavailable):
        return JobError(code=error.code.replace("_", "-"), detail=error.detail)
    if isinstance(error, DeviceUnavailable):
        return JobError(code="device-unavailable", detail=str(error))
    if isinstance(error, CheckpointCorrupt):
        return JobError(code="checkpoint-corrupt", detail=str(error))
    if isinstance(error, OSError) and is_storage_trouble(error):
        detail = f"the disk failed ({error.strerror}); ask for it again when there is room"
        return JobError(code="storage-unavailable", detail=detail)
    if is_out_of_memory(error):
        return JobError(code="out-of-memory", detail="it did not fit; ask for fewer samples")
    log.error("%s failed", evaluation.path, exc_info=error)
    return JobError(code="internal", detail=f"{type(error).__name__}; see the worker's log")
