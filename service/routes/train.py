"""``POST /train``: from a dataset and a recipe to an accepted job."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import ValidationError

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from ganmodels.estimate import Estimate, estimate
from ganmodels.recipes import RECIPES, choose, settings
from ganmodels.validity import check
from service.deps import DispatcherDep, SettingsDep, StoreDep, enqueue
from service.feasibility import too_slow, without_weights
from service.problems import Problem, body_problem
from service.refusals import settings_problem
from service.schemas import JobView, Plan, TrainRequest
from worker.errors import NotFound
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store
from worker.store.files import new_id
from worker.store.job import Job
from worker.store.records import LIVE, JobRecord

router = APIRouter(tags=["training"])

KeyHeader = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


@router.post("/train", status_code=202, response_model=JobView | Plan)
def train(
    body: TrainRequest,
    response: Response,
    store: StoreDep,
    configuration: SettingsDep,
    dispatcher: DispatcherDep,
    idempotency_key: KeyHeader = None,
    dry_run: Annotated[bool, Query(description="answer the plan, train nothing")] = False,
) -> JobView | Plan:
    """Queue a training. The job is on disk when this answers 202.

    A request that is refused as invalid does not use its Idempotency-Key up.
    """
    plan = make_plan(body, store, configuration)
    if dry_run:
        response.status_code = 200
        return plan

    def accept(job_id: str) -> Job:
        return _accept(plan, body.model, job_id, store, configuration, dispatcher)

    if idempotency_key is None:
        job = accept(new_id("job"))
    else:
        job, replayed = _once(store, idempotency_key, _fingerprint(body), accept)
        if replayed:
            response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = "2"
    return JobView.of(job)


def make_plan(body: TrainRequest, store: Store, configuration: Settings) -> Plan:
    """What a request means, checked against everything that can be known before training.

    Raises:
        Problem: when it cannot be trained.
        InvalidConfig: when it would not train well.
    """
    dataset = _dataset(store, body.dataset)
    source = _dataset(store, body.source, "/source") if body.source else None
    space = dataset.manifest.space
    recipe = body.recipe or choose(space, source is not None)
    if recipe not in RECIPES:
        known = ", ".join(RECIPES)
        raise body_problem("recipe-not-found", "/recipe", f"recipe must be one of {known}")
    resolved = {
        **settings(recipe, body.changes(), _fewest(dataset, source)),
        "dataset": dataset.manifest.id,
        "space": space.model_dump(mode="json"),
        "source": _source(source),
    }
    try:
        config = TrainConfig.model_validate_json(json.dumps(resolved))
    except ValidationError as error:
        raise settings_problem(error) from None
    warnings = tuple(
        {"code": w.code, "pointer": w.pointer, "detail": w.detail} for w in check(config)
    )
    _check_protocol(config, dataset, configuration)
    _check_items(config, _fewest(dataset, source))
    _check_clusters(config, dataset)
    cost = estimate(config)
    _check_cost(cost, dataset, source, configuration)
    return Plan(
        recipe=recipe,
        recipe_chosen=body.recipe is None,
        config=config,
        warnings=warnings,
        estimate=cost._asdict(),
    )


def _dataset(store: Store, reference: str, pointer: str = "/dataset") -> PackedDataset:
    try:
        return store.datasets.get(reference)
    except NotFound as error:
        raise body_problem("dataset-not-found", pointer, error.detail) from None


def _source(source: PackedDataset | None) -> dict[str, Any] | None:
    """The source as the configuration has it."""
    if source is None:
        return None
    manifest = source.manifest
    return {"dataset": manifest.id, "space": manifest.space.model_dump(mode="json")}


def _fewest(dataset: PackedDataset, source: PackedDataset | None) -> int:
    """How many items there are to train on, in the smaller of the datasets."""
    datasets = [dataset] if source is None else [dataset, source]
    return min(len(one.training_indices) for one in datasets)


def _check_protocol(config: TrainConfig, dataset: PackedDataset, configuration: Settings) -> None:
    """Evaluations come hours later; what they lack is said now."""
    referee, most = config.referee, configuration.max_evaluation_samples
    if not referee.evaluate_every:
        return
    if detail := without_weights(referee.protocol, configuration):
        raise body_problem("evaluation-impossible", "/referee/protocol/features", detail)
    if referee.protocol.samples > most:
        detail = f"an evaluation may draw {most} samples here; ask for fewer"
        pointer = "/referee/protocol/samples"
        raise body_problem("evaluation-too-large", pointer, detail, limit=most)
    if detail := too_slow(referee.protocol, dataset, configuration):
        raise body_problem("evaluation-too-large", "/referee/protocol/samples", detail)


def _check_items(config: TrainConfig, items: int) -> None:
    batch_size = config.optimisation.batch_size
    if batch_size > items:
        raise body_problem(
            "validation",
            "/optimisation/batch_size",
            f"the dataset has {items} items to train on; batch_size may be at most that",
            limit=items,
        )


def _check_clusters(config: TrainConfig, dataset: PackedDataset) -> None:
    items = len(dataset.training_indices)
    if not config.game.labels.given and config.game.labels.classes(config.space) > items:
        raise body_problem(
            "validation",
            "/game/labels/count",
            f"the dataset has {items} items to train on; there may be at most that many clusters",
            limit=items,
        )


def _check_cost(
    cost: Estimate,
    dataset: PackedDataset,
    source: PackedDataset | None,
    configuration: Settings,
) -> None:
    resident = dataset.items.nbytes + (source.items.nbytes if source else 0)
    limit, needed = configuration.max_job_memory_bytes, cost.memory_bytes + resident
    if needed > limit:
        raise Problem(
            "config-too-large",
            f"the training would take about {needed} bytes of memory and may take {limit}; lower "
            "batch_size or the networks' widths",
            limit=limit,
            estimate=needed,
        )
    if cost.step_flops > configuration.max_step_flops:
        raise Problem(
            "config-too-large",
            f"one step would take {cost.step_flops} floating-point operations and may take "
            f"{configuration.max_step_flops}; lower batch_size or the networks' widths",
            limit=configuration.max_step_flops,
            estimate=cost.step_flops,
        )


def _fingerprint(body: TrainRequest) -> str:
    """Equal for equal bodies; escaped text holds whatever strings a patch may hold."""
    text = json.dumps(body.model_dump(exclude_unset=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _once(
    store: Store, key: str, fingerprint: str, accept: Callable[[str], Job]
) -> tuple[Job, bool]:
    """The job of an Idempotency-Key, and whether it was there before.

    A job that is not there is made, under the id that the key stands for: a crash may have come
    before it was made the first time.

    Raises:
        Problem: when the job was made and deleted since.
    """
    with store.idempotency.lock(key):
        job_id, made = store.idempotency.recall(key, fingerprint)
        replayed = store.jobs.exists(job_id)
        if made and not replayed:
            raise Problem(
                "job-deleted",
                "the job of this Idempotency-Key was deleted; use a new key to train again",
            )
        job = store.jobs.get(job_id) if replayed else accept(job_id)
        if not made:
            _mark_made(store, key)
        return job, replayed


def _mark_made(store: Store, key: str) -> None:
    """Note that the job is there, so that it is not made again once it was deleted.

    Where that fails, or a crash comes first, the next replay notes it; only a job that was deleted
    without any replay before is then made again.
    """
    with suppress(OSError):
        store.idempotency.mark_made(key)


def _accept(
    plan: Plan,
    model: str | None,
    job_id: str,
    store: Store,
    configuration: Settings,
    dispatcher: Dispatcher,
) -> Job:
    record = JobRecord(
        id=job_id,
        recipe=plan.recipe,
        recipe_chosen=plan.recipe_chosen,
        model=model,
        warnings=plan.warnings,
    )
    # No dataset is deleted meanwhile, and no other job accepted.
    with store.datasets.kept():
        _check_room(store, configuration.max_queued_jobs)
        for pointer, dataset in zip(("/dataset", "/source"), plan.config.datasets, strict=False):
            _dataset(store, dataset, pointer)
        job = _create(plan.config, record, store)
    enqueue(dispatcher, job)
    return job


def _check_room(store: Store, limit: int) -> None:
    waiting = sum(record.status in LIVE for _, record in store.jobs.unfinished())
    if waiting >= limit:
        raise Problem(
            "too-many-jobs",
            f"{waiting} jobs are waiting or running; wait or cancel some",
            limit=limit,
            headers={"Retry-After": "60"},
        )


def _create(config: TrainConfig, record: JobRecord, store: Store) -> Job:
    """The job, and its name among those of its model; both or, where the disk fails, neither."""
    try:
        job = store.jobs.create(config, record)
        if record.model:
            store.models.add_job(record.model, job.id)
    except OSError:
        if store.jobs.exists(record.id):
            store.jobs.delete(store.jobs.get(record.id))
        raise
    return job
