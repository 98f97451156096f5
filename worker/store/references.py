"""What ``model=`` may say: ``name``, ``name:version``, ``name@alias``, a job id, ``job:step``."""

import os
from pathlib import Path
from typing import NamedTuple, Self

from worker.errors import NotFound
from worker.names import is_id
from worker.store import Store
from worker.store.checkpoints import MANIFEST, Checkpoint
from worker.store.models import Model, Version


class Evidence(NamedTuple):
    """A file as it was; ``state`` is None where there was none."""

    path: Path
    state: tuple[int, int, int] | None

    @classmethod
    def of(cls, path: Path) -> Self:
        """The file as it is now: to be asked before it is read, lest it change in between."""
        return cls(path, _state(path))

    def holds(self) -> bool:
        """Whether the file is there and as it was."""
        return self.state is not None and self.state == _state(self.path)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Resolved(NamedTuple):
    """A checkpoint and its name. ``pinned``: the reference will always mean this checkpoint.

    ``evidence``: as long as all of it holds, the reference means this checkpoint; none where that
    cannot be told so simply.
    """

    checkpoint: Checkpoint
    reference: str
    pinned: bool
    evidence: tuple[Evidence, ...] = ()


class Reference(NamedTuple):
    """A reference taken apart: ``base`` is a name or a job id; at most one of the others is set."""

    base: str
    number: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Whatever it says; what means nothing is found out where it is looked up."""
        base, at, alias = text.partition("@")
        if at:
            return cls(base, alias=alias)
        base, colon, number = text.partition(":")
        return cls(base, _number(number) if colon else None)

    def version(self, model: Model) -> Version | None:
        """The version of a model that is meant; None where none was named.

        Raises:
            NotFound: when it has no such version or alias.
        """
        if self.alias is not None:
            if self.alias not in model.aliases:
                known = model.aliases
                raise NotFound.of("alias", self.alias, known, f"/models/{model.name}")
            return model.version(model.aliases[self.alias])
        return None if self.number is None else model.version(self.number)


def resolve(store: Store, reference: str) -> Resolved:
    """The checkpoint that a reference means now.

    A job id means its newest checkpoint, also while it trains. A name means its latest version;
    before there is one, the newest checkpoint of the job that trains for it.

    Raises:
        NotFound: when the reference means nothing, or nothing yet.
    """
    asked = Reference.parse(reference)
    if is_id("job", asked.base):
        if asked.alias is not None:
            raise NotFound.of("alias", asked.alias, (), f"/jobs/{asked.base}/checkpoints")
        return _of_job(store, asked.base, asked.number)
    named = Evidence.of(store.models.path(asked.base))
    model = store.models.get(asked.base)
    version = asked.version(model)
    if version is None and not model.versions:
        return _of_newest_job(store, model)
    pinned = asked.number is not None
    return _of_version(store, model, version or model.version(None), named, pinned)


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


def _of_version(
    store: Store, model: Model, version: Version, named: Evidence, pinned: bool
) -> Resolved:
    job = store.jobs.get(version.job)
    checkpoint = job.checkpoint_by_digest(version.step, version.checkpoint)
    if checkpoint is None:
        raise NotFound("checkpoint-not-found", "the checkpoint of this version was deleted")
    evidence = (named, Evidence.of(checkpoint.path / MANIFEST))
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
