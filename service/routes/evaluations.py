"""Evaluations: measure a checkpoint on demand, beside any training."""

import json
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse
from pydantic import ValidationError

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from ganmodels.merging import merge_patch
from ganmodels.referee.config import FeatureKind, Protocol
from service.deps import DispatcherDep, JobDep, SettingsDep, StoreDep
from service.feasibility import too_slow, without_weights
from service.pages import listing
from service.problems import Problem, body_problem
from service.refusals import validation_problem
from service.schemas import EvaluateRequest, EvaluationView, Listing, ModelEvaluateRequest
from worker.errors import NotFound, Unavailable
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store
from worker.store.checkpoints import Checkpoint
from worker.store.evaluations import (
    NEIGHBOURS,
    Evaluation,
    EvaluationRecord,
    Pending,
    Room,
    canonical,
)
from worker.store.job import Job
from worker.store.references import resolve

router = APIRouter(tags=["evaluations"])

_OF_IMAGES: tuple[FeatureKind, ...] = ("random", "inception")

EvaluationPath = Annotated[str, Path(max_length=40, description="ev_...; see the list")]


@router.post("/jobs/{job_id}/evaluate", status_code=202)
def evaluate_job(
    job: JobDep,
    response: Response,
    store: StoreDep,
    settings: SettingsDep,
    dispatcher: DispatcherDep,
    body: EvaluateRequest | None = None,
) -> EvaluationView:
    """Measure a checkpoint of a job. The request is on disk when this answers 202.

    The same checkpoint and protocol are one evaluation: 200 where it has succeeded before; one
    that failed is done again.
    """
    asked = body or EvaluateRequest()
    reference = job.id if asked.step is None else f"{job.id}:{asked.step}"
    checkpoint = resolve(store, reference).checkpoint
    return _answer(response, job, _ask(store, settings, dispatcher, job, checkpoint, asked))


@router.post("/models/{reference}/evaluate", status_code=202)
def evaluate_model(
    reference: Annotated[str, Path(max_length=200, description="as model= of /sample")],
    response: Response,
    store: StoreDep,
    settings: SettingsDep,
    dispatcher: DispatcherDep,
    body: ModelEvaluateRequest | None = None,
) -> EvaluationView:
    """Measure the checkpoint that a reference means now; otherwise as for a job."""
    checkpoint = resolve(store, reference).checkpoint
    job = store.jobs.get(checkpoint.manifest.job)
    asked = body or ModelEvaluateRequest()
    return _answer(response, job, _ask(store, settings, dispatcher, job, checkpoint, asked))


@router.get("/jobs/{job_id}/evaluations")
def evaluations(job: JobDep, store: StoreDep) -> Listing:
    """All evaluations of a job, by step."""
    return listing([_view(job, record) for record in store.evaluations.of(job)])


@router.get("/jobs/{job_id}/evaluations/{evaluation_id}")
def evaluation(job: JobDep, evaluation_id: EvaluationPath, store: StoreDep) -> EvaluationView:
    """One evaluation: what was asked, how far it is, what was found."""
    return _view(job, store.evaluations.get(job, evaluation_id).record())


@router.get(
    "/jobs/{job_id}/evaluations/{evaluation_id}/neighbours.png",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}},
)
def neighbours(job: JobDep, evaluation_id: EvaluationPath, store: StoreDep) -> FileResponse:
    """Real images, generated ones, and the training image nearest to each generated one."""
    path = store.evaluations.get(job, evaluation_id).path / NEIGHBOURS
    if not path.exists():
        raise Problem("not-found", "there is a picture of images only, once it has succeeded")
    return FileResponse(path, media_type="image/png", stat_result=path.stat())


def _ask(
    store: Store,
    settings: Settings,
    dispatcher: Dispatcher,
    job: Job,
    checkpoint: Checkpoint,
    asked: ModelEvaluateRequest,
) -> EvaluationRecord:
    config = checkpoint.config()
    protocol = _protocol(job.config().referee.protocol, asked)
    _check_size(protocol, settings)
    _check_features(protocol, config, settings)
    _check_dataset(store, config, protocol, settings)
    room = Room(of_all=settings.max_pending_evaluations, of_job=None, on_demand=True)
    record, is_to_be_queued = store.evaluations.ask(job, checkpoint, protocol, room)
    if is_to_be_queued:
        # Where Redis is away it is found on disk.
        with suppress(Unavailable):
            dispatcher.enqueue_evaluation(Pending(job.id, record.id), on_demand=True)
    return record


def _answer(response: Response, job: Job, record: EvaluationRecord) -> EvaluationView:
    view = _view(job, record)
    response.headers["Location"] = view.links["self"]
    if record.is_pending:
        response.headers["Retry-After"] = "2"
    else:
        response.status_code = 200
    return view


def _view(job: Job, record: EvaluationRecord) -> EvaluationView:
    directory = Evaluation(job, record.id).path
    return EvaluationView.of(record, has_neighbours=(directory / NEIGHBOURS).exists())


def _protocol(own: Protocol, asked: ModelEvaluateRequest) -> Protocol:
    """The job's protocol with the changes asked for."""
    merged = merge_patch(own.model_dump(mode="json"), asked.protocol or {})
    try:
        return canonical(Protocol.model_validate_json(json.dumps(merged)))
    except ValidationError as error:
        entries = [{**one, "loc": ("body", "protocol", *one["loc"])} for one in error.errors()]
        raise validation_problem(entries) from None


def _check_size(protocol: Protocol, settings: Settings) -> None:
    most = settings.max_evaluation_samples
    if protocol.samples > most:
        detail = f"an evaluation may draw {most} samples here; ask for fewer"
        raise body_problem("evaluation-too-large", "/protocol/samples", detail, limit=most)


def _check_features(protocol: Protocol, config: TrainConfig, settings: Settings) -> None:
    """Refuse before any work what could not be measured."""
    detail = protocol.impossible_on(config.space) or without_weights(protocol, settings)
    if detail:
        detail += "; auto features are always there"
        raise body_problem("evaluation-impossible", "/protocol/features", detail)


def _check_dataset(
    store: Store, config: TrainConfig, protocol: Protocol, settings: Settings
) -> None:
    try:
        for dataset in config.datasets:
            store.datasets.id_of(dataset)
        if protocol.features == "inception":
            _check_time(store.datasets.get(config.dataset), protocol, settings)
    except NotFound:
        detail = "a dataset that this was trained on was deleted; import it again"
        raise Problem("dataset-not-found", detail, status=409) from None


def _check_time(dataset: PackedDataset, protocol: Protocol, settings: Settings) -> None:
    if detail := too_slow(protocol, dataset, settings):
        raise body_problem("evaluation-too-large", "/protocol/samples", detail)
