"""Jobs: state, history and the ways to stop and go on."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from ganmodels.config import TrainConfig
from ganmodels.referee.config import StopRules
from service.deps import DispatcherDep, JobDep, StoreDep, enqueue
from service.pages import Cursor, Limit, listing, page
from service.problems import Problem, body_problem, parameter_problem
from service.schemas import CheckpointContext, CheckpointView, JobView, Listing, ResumeRequest
from service.thinning import thin
from worker.errors import NotFound, StoreError
from worker.store import Store
from worker.store.best import read_best
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt
from worker.store.job import Job
from worker.store.records import LIVE, SETTLED_BY, UNFINISHED, JobRecord, Status, Stop
from worker.tensorboard import remove_board

router = APIRouter(prefix="/jobs", tags=["jobs"])
log = logging.getLogger("ringside.api")

MaxPoints = Annotated[int, Query(ge=2, le=5000, description="rows at most; later ones win")]


@router.get("")
def list_jobs(
    store: StoreDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[Status | None, Query(description="only jobs in this state")] = None,
) -> Listing:
    """Jobs, newest first."""
    if status is None:
        known = store.jobs.ids()
    else:
        known = [job.id for job, record in store.jobs.records() if record.status == status]
    ids, next_cursor = page(known, limit, cursor)
    return listing(list(_views(store, ids)), next_cursor)


def _views(store: Store, ids: Iterable[str]) -> Iterator[JobView]:
    """Views of those that can be read: a job may be damaged, or deleted while the list is read."""
    for job_id in ids:
        try:
            yield JobView.of(store.jobs.get(job_id))
        except (FileNotFoundError, NotFound):
            continue
        except (OSError, StoreError) as error:
            log.error("%s is left out of a list: %s", job_id, error)


@router.get("/{job_id}")
def get_job(job: JobDep) -> JobView:
    """One job."""
    return JobView.of(job)


@router.delete("/{job_id}", status_code=204)
def delete_job(job: JobDep, store: StoreDep) -> None:
    """Remove a settled job, its checkpoints and its history."""
    # Nobody resumes or claims it meanwhile.
    with job.held():
        if _is_live(job):
            raise Problem("conflict", "the job is live; cancel it first")
        if store.models.checkpoints_in_use(job.id):
            raise Problem("conflict", "versions of a model point at this job's checkpoints")
        remove_board(store.home, job.id)
        store.jobs.delete(job)


def _is_live(job: Job) -> bool:
    with suppress(StoreError):
        return job.record().status in LIVE
    # One that is damaged can be removed, unless it is trained just now.
    with suppress(StoreError):
        return job.is_training()
    return False


@router.get("/{job_id}/config")
def get_config(job: JobDep) -> TrainConfig:
    """What is trained, complete: every default is written out."""
    return job.config()


@router.post("/{job_id}/cancel")
def cancel(job: JobDep, response: Response) -> JobView:
    """Save a checkpoint, then end the job; ``/resume`` can still go on from the checkpoint."""
    return _stop(job, "cancel", response)


@router.post("/{job_id}/pause")
def pause(job: JobDep, response: Response) -> JobView:
    """Save a checkpoint, then stop until ``/resume``."""
    return _stop(job, "pause", response)


def _stop(job: Job, stop: Stop, response: Response) -> JobView:
    with job.locked() as record:
        if record.status == "running" and job.is_training():
            job.want_stop(stop)
            response.status_code = 202
        elif record.status in UNFINISHED:
            # Nobody trains it, so there is nothing to wait for.
            job.stop(record, stop)
        elif record.status != SETTLED_BY[stop]:
            raise Problem("job-finished", f"the job is {record.status}; there is nothing to stop")
    return JobView.of(job)


@router.post("/{job_id}/resume", status_code=202)
def resume(
    job: JobDep, store: StoreDep, dispatcher: DispatcherDep, body: ResumeRequest | None = None
) -> JobView:
    """Go on exactly where the job stopped, perhaps further than planned.

    A canceled, failed or finished job goes on as a paused one does, if it has a checkpoint.
    """
    with job.locked() as record:
        _check_resumable(job, record)
        # This reads whole checkpoints, so the datasets are not kept meanwhile.
        config = _extended(job, record, body.steps if body else None)
        if record.stopped_by and record.stopped_by.rule in StopRules.model_fields:
            # Whoever goes on after a stop rule has overruled it.
            config = config.model_copy(update={"stop": StopRules()})
        # No dataset is deleted meanwhile.
        with store.datasets.kept():
            for dataset in config.datasets:
                store.datasets.id_of(dataset)
            if config != job.config():
                job.replace_config(config)
            job.resume(record)
    enqueue(dispatcher, job)
    return JobView.of(job)


def _check_resumable(job: Job, record: JobRecord) -> None:
    if record.status in LIVE:
        raise Problem("conflict", f"the job is {record.status}; there is nothing to resume")
    # A failed job may begin again from nothing: what made it fail may be mended.
    if record.status not in ("paused", "failed") and not job.checkpoints():
        raise Problem("nothing-to-resume", "the job has no checkpoint; send POST /train again")


def _extended(job: Job, record: JobRecord, steps: int | None) -> TrainConfig:
    """What to train from now on: as many steps as were asked for, or as were planned."""
    config, newest = job.config(), job.newest_sound_checkpoint(record.return_to)
    done = newest.step if newest else 0
    wanted = steps or config.schedule.steps
    # One that was paused at its last step has not finished yet.
    if wanted < done or (wanted == done and record.status != "paused"):
        raise body_problem(
            "nothing-to-resume",
            "/steps",
            f"the job is at step {done}; ask for more steps",
        )
    schedule = config.schedule.model_copy(update={"steps": wanted})
    return config.model_copy(update={"schedule": schedule})


@router.get("/{job_id}/metrics")
def metrics(
    job: JobDep,
    names: Annotated[str | None, Query(max_length=500, description="columns, by comma")] = None,
    max_points: MaxPoints = 500,
) -> dict[str, Any]:
    """Metrics as columns, evenly thinned to ``max_points`` rows; the last row is kept.

    What a row does not say is null: the referee's columns where it did not look.
    """
    thinned = thin(job.metrics(), max_points)
    wanted = names.split(",") if names else thinned.names
    unknown = [name for name in wanted if name not in thinned.names]
    if thinned.total and unknown:
        detail = f"names may be any of {', '.join(thinned.names)}"
        raise parameter_problem("validation", "names", detail)
    shown = dict.fromkeys(["step", *wanted])
    columns = {name: [row.get(name) for row in thinned.rows] for name in shown}
    return {
        "object": "metrics",
        "job": job.id,
        "raw_points": thinned.total,
        "points": len(thinned.rows),
        "columns": columns,
    }


@router.get("/{job_id}/checkpoints")
def checkpoints(job: JobDep, store: StoreDep) -> Listing:
    """The checkpoints that are kept, by step, with what was measured of each."""
    best = read_best(job)
    context = CheckpointContext(
        job.id,
        store.evaluations.by_own_protocol(job),
        best.digest if best else None,
        job.previews(),
    )
    views = (_checkpoint_view(checkpoint, context) for checkpoint in job.checkpoints())
    return listing([view for view in views if view])


def _checkpoint_view(checkpoint: Checkpoint, context: CheckpointContext) -> CheckpointView | None:
    try:
        return CheckpointView.of(checkpoint, context)
    except CheckpointCorrupt:
        # Damaged, or pruned just now; the others are still worth listing.
        return None


@router.get("/{job_id}/previews")
def previews(job: JobDep) -> Listing:
    """Pictures of the same inputs through the training."""
    return listing(
        [{"step": step, "href": f"/jobs/{job.id}/previews/{step}"} for step in job.previews()]
    )


@router.get(
    "/{job_id}/previews/{step}",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}},
)
def preview(job: JobDep, step: int | Literal["latest"]) -> FileResponse:
    """One preview picture."""
    found = job.previews()
    wanted = max(found, default=-1) if step == "latest" else step
    if wanted not in found:
        raise Problem("not-found", "there is no preview of this step; see /previews")
    # Looked for here: one that is gone is no bug.
    return FileResponse(found[wanted], media_type="image/png", stat_result=found[wanted].stat())
