"""``POST /train``: from a dataset and a recipe to an accepted job."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Header, Query, Response
from pydantic import ValidationError

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from ganmodels.estimate import Estimate, estimate
from ganmodels.games import SemiSupervised
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
    space = dataset.manifest.space
    recipe = body.recipe or choose(space)
    if recipe not in RECIPES:
        known = ", ".join(RECIPES)
        raise body_problem("recipe-not-found", "/recipe", f"recipe must be one of {known}")
    resolved = {
        **settings(recipe, body.changes(), len(dataset.training_indices)),
        "dataset": dataset.manifest.id,
        "space": space.model_dump(mode="json"),
    }
    try:
        config = TrainConfig.model_validate_json(json.dumps(resolved))
    except ValidationError as error:
        raise settings_problem(error) from None
    warnings = tuple(
        {"code": w.code, "pointer": w.pointer, "detail": w.detail} for w in check(config)
    )
    _check_protocol(config, dataset, configuration)
    _check_items(config, dataset)
    _check_clusters(config, dataset)
    _check_labelled(config, dataset)
    cost = estimate(config)
    _check_cost(cost, dataset, configuration)
    return Plan(
        recipe=recipe,
        recipe_chosen=body.recipe is None,
        config=config,
        warnings=warnings,
        estimate=cost._asdict(),
    )


def _dataset(store: Store, reference: str) -> PackedDataset:
    try:
        return store.datasets.get(reference)
    except NotFound as error:
        raise body_problem("dataset-not-found", "/dataset", error.detail) from None


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


def _check_items(config: TrainConfig, dataset: PackedDataset) -> None:
    items, batch_size = len(dataset.training_indices), config.optimisation.batch_size
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


def _check_labelled(config: TrainConfig, dataset: PackedDataset) -> None:
    """A few labels of each class are looked at, so each class must have as many."""
    if not isinstance(config.game, SemiSupervised) or dataset.labels is None:
        return
    classes = config.space.classes
    counts = np.bincount(dataset.labels[dataset.training_indices], minlength=len(classes))
    rarest = int(counts.argmin())
    fewest = int(counts[rarest])
    if config.game.labelled_per_class > fewest:
        raise body_problem(
            "validation",
            "/game/labelled_per_class",
            f"class {classes[rarest]} has {fewest} items to train on; labelled_per_class may be at "
            "most that",
            limit=fewest,
        )


def _check_cost(cost: Estimate, dataset: PackedDataset, configuration: Settings) -> None:
    limit, needed = configuration.max_job_memory_bytes, cost.memory_bytes + dataset.items.nbytes
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
        _dataset(store, plan.config.dataset)
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
