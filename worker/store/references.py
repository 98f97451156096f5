"""What ``model=`` may say: ``name``, ``name:version``, ``name@alias``, a job id, ``job:step``."""

from pathlib import Path
from typing import NamedTuple

from worker.errors import NotFound
from worker.names import is_id
from worker.store import Store
from worker.store.checkpoints import MANIFEST, Checkpoint
from worker.store.models import Model


class Resolved(NamedTuple):
    """A checkpoint and its name. ``pinned``: the reference will always mean this checkpoint.

    ``evidence``: as long as these files are as they are, the reference means this checkpoint; none
    where that cannot be told so simply.
    """

    checkpoint: Checkpoint
    reference: str
    pinned: bool
    evidence: tuple[Path, ...] = ()


def resolve(store: Store, reference: str) -> Resolved:
    """The checkpoint that a reference means now.

    A job id means its newest checkpoint, also while it trains. A name means its latest version;
    before there is one, the newest checkpoint of the job that trains for it.

    Raises:
        NotFound: when the reference means nothing, or nothing yet.
    """
    base, colon, number = reference.partition(":")
    if is_id("job", base):
        return _of_job(store, base, _number(number) if colon else None)
    base, at, alias = base.partition("@")
    model = store.models.get(base)
    if at:
        return _of_alias(store, model, alias)
    if colon:
        return _of_version(store, model, _number(number), pinned=True)
    if model.versions:
        return _of_version(store, model, None, pinned=False)
    return _of_newest_job(store, model)


def _of_job(store: Store, job_id: str, step: int | None) -> Resolved:
    checkpoint = store.jobs.get(job_id).checkpoint(step)
    if checkpoint is None:
        raise NotFound(
            "checkpoint-not-found",
            "the job has no checkpoint yet; the first is saved after checkpoints_every steps"
            if step is None
            else "the job keeps no checkpoint of this step; see its /checkpoints",
        )
    # Never pinned: an attempt that starts from an earlier step makes later steps again.
    return Resolved(checkpoint, f"{job_id}:{checkpoint.step}", pinned=False)


def _of_alias(store: Store, model: Model, alias: str) -> Resolved:
    if alias not in model.aliases:
        raise NotFound.of("alias", alias, model.aliases, f"/models/{model.name}")
    return _of_version(store, model, model.aliases[alias], pinned=False)


def _of_version(store: Store, model: Model, number: int | None, pinned: bool) -> Resolved:
    version = model.version(number)
    job = store.jobs.get(version.job)
    checkpoint = job.checkpoint_by_digest(version.step, version.checkpoint)
    if checkpoint is None:
        raise NotFound("checkpoint-not-found", "the checkpoint of this version was deleted")
    evidence = (store.models.path(model.name), checkpoint.path / MANIFEST)
    return Resolved(checkpoint, f"{model.name}:{version.version}", pinned, evidence)


def _of_newest_job(store: Store, model: Model) -> Resolved:
    for job_id in reversed(model.jobs):
        checkpoint = store.jobs.get(job_id).checkpoint() if store.jobs.exists(job_id) else None
        if checkpoint:
            return Resolved(checkpoint, f"{job_id}:{checkpoint.step}", pinned=False)
    raise NotFound("checkpoint-not-found", f"model {model.name} has no checkpoint yet")


def _number(text: str) -> int:
    # Unbounded digits would make a slow int(); nothing has a number that long.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
