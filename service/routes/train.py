"""``POST /train``: from a dataset and a recipe to an accepted job."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from service.deps import DispatcherDep, SettingsDep, StoreDep, enqueue
from service.planning import Planned, find_dataset, make_plan
from service.problems import Problem
from service.schemas import JobView, Plan, TrainRequest
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
    plan, start = make_plan(body, store, configuration)
    if dry_run:
        response.status_code = 200
        return plan

    def accept(job_id: str) -> Job:
        return _accept(Planned(plan, start), body.model, job_id, store, configuration, dispatcher)

    if idempotency_key is None:
        job = accept(new_id("job"))
    else:
        job, replayed = _once(store, idempotency_key, _fingerprint(body), accept)
        if replayed:
            response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = "2"
    return JobView.of(job)


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
    planned: Planned,
    model: str | None,
    job_id: str,
    store: Store,
    configuration: Settings,
    dispatcher: Dispatcher,
) -> Job:
    plan = planned.plan
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
            find_dataset(store, dataset, pointer)
        job = _create(planned, record, store)
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


def _create(planned: Planned, record: JobRecord, store: Store) -> Job:
    """The job, and its name among those of its model; both or, where the disk fails, neither."""
    try:
        job = store.jobs.create(planned.plan.config, record, planned.start)
        if record.model:
            store.models.add_job(record.model, job.id)
    except OSError:
        if store.jobs.exists(record.id):
            store.jobs.delete(store.jobs.get(record.id))
        raise
    return job
