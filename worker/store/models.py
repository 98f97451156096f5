"""Models: names with versions; a version points at a checkpoint, an alias at a version."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from worker.errors import ModelCorrupt, NotFound, Unavailable
from worker.names import file_stem
from worker.store import disk
from worker.store.files import ensure_directory, now, read_model, replace_json
from worker.store.locks import locked

log = logging.getLogger("ringside.store")


class Version(BaseModel):
    """One version of a model; it never changes."""

    model_config = ConfigDict(frozen=True)

    version: int
    job: str
    step: int
    checkpoint: str
    created_at: str


class Model(BaseModel):
    """A name, its versions (oldest first), its aliases and the jobs that train for it.

    What a version's reference means never changes, so numbers are not given again: ``forgotten`` is
    how many versions models of this name had that were deleted, and one that ``is_deleted`` stays
    for that alone.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    created_at: str
    versions: tuple[Version, ...] = ()
    aliases: dict[str, int] = {}
    jobs: tuple[str, ...] = ()
    forgotten: int = 0
    is_deleted: bool = False

    @property
    def last_number(self) -> int:
        """The highest number of a version that there was under this name; 0 for none."""
        return self.forgotten + len(self.versions)

    def version(self, number: int | None) -> Version:
        """The version of a number, or the latest.

        Raises:
            NotFound: when there is none.
        """
        found = [v for v in self.versions if number in (None, v.version)]
        if not found:
            raise NotFound(
                "version-not-found",
                f"model {self.name} has versions {self.forgotten + 1} to {self.last_number}"
                if self.versions
                else f"model {self.name} has no version yet; one is made when a training ends",
            )
        return found[-1]


class Models:
    """All models."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def all(self) -> list[Model]:
        """All models that can be read, by name."""
        found = []
        for path in self._paths():
            try:
                found.append(_parsed(path))
            except (OSError, ModelCorrupt) as error:
                # One that is damaged must not hide the others.
                log.error("%s cannot be read; it is left out: %s", path, error)
        return sorted((one for one in found if not one.is_deleted), key=lambda model: model.name)

    def get(self, name: str) -> Model:
        """The model of a name.

        Raises:
            NotFound: when there is none.
        """
        found = self._read(name)
        if found is None or found.is_deleted:
            raise NotFound.of("model", name, [model.name for model in self.all()], "/models")
        return found

    def add_job(self, name: str, job_id: str) -> None:
        """Note that a job trains for a model; the model is made if it is new."""
        with self._locked(name) as model:
            if job_id not in model.jobs:
                self._save(model.model_copy(update={"jobs": (*model.jobs, job_id)}))

    def add_version(self, name: str, job_id: str, step: int, checkpoint: str) -> Version:
        """A new version that points at a checkpoint, named by its digest.

        Where the job's newest version points at it already, that one is returned.
        """
        with self._locked(name) as model:
            newest = [version for version in model.versions if version.job == job_id][-1:]
            for version in newest:
                if version.checkpoint == checkpoint:
                    # Who added it may have died before it was on disk.
                    disk.sync_directory(self._directory)
                    return version
            version = Version(
                version=model.last_number + 1,
                job=job_id,
                step=step,
                checkpoint=checkpoint,
                created_at=now(),
            )
            self._save(model.model_copy(update={"versions": (*model.versions, version)}))
            return version

    def set_alias(self, name: str, alias: str, version: int | None) -> Model:
        """Point an alias at a version, or remove it (None).

        Raises:
            NotFound: when the model, the version or the alias to remove does not exist.
        """
        self.get(name)
        with self._locked(name) as model:
            aliases = dict(model.aliases)
            if version is not None:
                aliases[alias] = model.version(version).version
            elif aliases.pop(alias, None) is None:
                raise NotFound("alias-not-found", f"model {name} has no such alias")
            changed = model.model_copy(update={"aliases": aliases})
            self._save(changed)
            return changed

    def delete(self, name: str) -> None:
        """Forget a model, its versions and aliases; the jobs and their checkpoints stay.

        Raises:
            NotFound: when there is none.
        """
        self.get(name)
        with self._locked(name) as model:
            self._save(_deleted(model))

    def checkpoints_in_use(self, job_id: str) -> set[str]:
        """Digests of a job's checkpoints that versions point at: they must not be pruned.

        Raises:
            ModelCorrupt: when that of one model is not known.
            OSError: likewise.
        """
        versions = [version for path in self._paths() for version in _parsed(path).versions]
        return {version.checkpoint for version in versions if version.job == job_id}

    @contextmanager
    def _locked(self, name: str) -> Iterator[Model]:
        ensure_directory(self._directory)
        busy = Unavailable("model-busy", "the model is being changed; try again")
        with locked(self.path(name).with_suffix(".lock"), busy):
            found = self._read(name)
            if found and not found.is_deleted:
                yield found
            else:
                forgotten = found.forgotten if found else 0
                yield Model(name=name, created_at=now(), forgotten=forgotten)

    def _read(self, name: str) -> Model | None:
        path = self.path(name)
        return _parsed(path) if path.exists() else None

    def _save(self, model: Model) -> None:
        replace_json(self.path(model.name), model.model_dump(mode="json"))

    def _paths(self) -> list[Path]:
        return sorted(self._directory.glob("*.json"))

    def path(self, name: str) -> Path:
        """Where a model is written down; the file is replaced, never changed."""
        return self._directory / f"{file_stem(name)}.json"


def _parsed(path: Path) -> Model:
    return read_model(path, Model, ModelCorrupt)


def _deleted(model: Model) -> Model:
    """What stays of a model."""
    return Model(
        name=model.name,
        created_at=model.created_at,
        forgotten=model.last_number,
        is_deleted=True,
    )
