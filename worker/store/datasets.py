"""Datasets on disk: packed directories named by their content, and the names people gave them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from ganmodels.data.builtin import BUILTIN
from ganmodels.data.errors import DataError
from ganmodels.data.importer import import_file
from ganmodels.data.packed import Manifest, PackedDataset, open_packed, pack
from worker.errors import Conflict, NotFound, Unavailable
from worker.names import file_stem, is_id, is_name
from worker.store import disk
from worker.store.files import (
    ensure_directory,
    read_json,
    remove_directory,
    replace_json,
    temporary_name,
)
from worker.store.locks import locked

log = logging.getLogger("ringside.store")


class Datasets:
    """All datasets. The same content is stored once, under as many names as people like."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names = directory / "names"

    def all(self) -> list[Manifest]:
        """All datasets, by id; the built-in ones are made at the first call."""
        for name in BUILTIN:
            # One that is damaged, or that a full disk has no room for, must not hide the others.
            with suppress(DataError, OSError):
                self.get(name)
        found = []
        for path in sorted(self._directory.glob("ds_*")):
            # One that is damaged or being deleted must not hide the others.
            with suppress(DataError, OSError):
                found.append(open_packed(path).manifest)
        return found

    def names(self) -> dict[str, str]:
        """What each name stands for, built-in names first."""
        given = [_read_name(path) for path in sorted(self._names.glob("*.json"))]
        found = {entry["name"]: entry["dataset"] for entry in given if entry}
        builtin = {name: found.pop(name) for name in BUILTIN if name in found}
        return {**builtin, **dict(sorted(found.items()))}

    def get(self, reference: str) -> PackedDataset:
        """The dataset of a name or an id.

        Raises:
            NotFound: when there is none.
        """
        dataset_id = self.id_of(reference)
        try:
            return open_packed(self._directory / dataset_id)
        except DataError:
            # One that was deleted just now looks damaged.
            self.id_of(dataset_id)
            raise

    def id_of(self, reference: str) -> str:
        """The id of the dataset of a name or an id; the dataset itself may be damaged.

        Raises:
            NotFound: when there is none.
        """
        dataset_id = reference if is_id("ds", reference) else self._named(reference)
        if dataset_id is None or not (self._directory / dataset_id).is_dir():
            raise NotFound.of("dataset", reference, [*BUILTIN, *self.names()], "/datasets")
        return dataset_id

    def import_upload(
        self,
        upload: Path,
        labels: Path | None,
        size: tuple[int, int] | None,
        name: str | None,
        timeout_seconds: float,
    ) -> tuple[Manifest, bool]:
        """Pack an uploaded file in a limited child process. Returns whether it is new.

        Raises:
            DataError: when the file is refused.
            Conflict: when the name stands for another dataset.
        """

        def fill(directory: Path) -> Manifest:
            return import_file(upload, labels, directory, size, timeout_seconds=timeout_seconds)

        manifest, new = self._add(fill)
        if name is not None:
            self._give_name(name, manifest.id)
        return manifest, new

    def delete(self, dataset_id: str) -> None:
        """Remove a dataset and its names.

        Raises:
            Conflict: when it is built in.
        """
        self.check_deletable(dataset_id)
        names = self._names_of(dataset_id)
        for name in names:
            disk.remove_file(self._names / f"{file_stem(name)}.json")
        if names:
            disk.sync_directory(self._names)
        remove_directory(self._directory / dataset_id)

    def check_deletable(self, dataset_id: str) -> None:
        """Make sure that it is not built in.

        Raises:
            Conflict: when it is.
        """
        if set(self._names_of(dataset_id)) & set(BUILTIN):
            raise Conflict("dataset-built-in", "built-in datasets cannot be deleted")

    def _names_of(self, dataset_id: str) -> list[str]:
        return [name for name, named in self.names().items() if named == dataset_id]

    def _named(self, name: str) -> str | None:
        if entry := _read_name(self._names / f"{file_stem(name)}.json"):
            return entry["dataset"]
        if name not in BUILTIN:
            return None
        manifest, _ = self._add(lambda directory: pack(BUILTIN[name](), directory))
        self._give_name(name, manifest.id)
        return manifest.id

    def _add(self, fill: Callable[[Path], Manifest]) -> tuple[Manifest, bool]:
        """Keep what ``fill`` writes, and syncs, into a directory. Returns whether it is new."""
        ensure_directory(self._directory)
        temporary = self._directory / temporary_name("import")
        disk.make_directory(temporary)
        try:
            manifest = fill(temporary)
            return manifest, self._keep(temporary, self._directory / manifest.id)
        finally:
            disk.remove_tree(temporary)

    def _keep(self, temporary: Path, target: Path) -> bool:
        """Put a directory in its place, unless a sound one is there. Returns whether it was put.

        Everybody who trains waits for the lock, so what is there is hashed before, and looked at
        again if it has changed since.
        """
        while True:
            seen = _signature(target)
            is_new = seen is None or not _is_sound(target)
            with self._locked():
                if _signature(target) != seen:
                    continue
                if is_new:
                    remove_directory(target)
                    disk.rename(temporary, target)
                # Also for one that was there: who put it there may have died before this.
                disk.sync_directory(self._directory)
                return is_new

    def _give_name(self, name: str, dataset_id: str) -> None:
        assert is_name(name), "names are validated at the border"
        ensure_directory(self._names)
        path = self._names / f"{file_stem(name)}.json"
        with self._locked():
            if not (self._directory / dataset_id).is_dir():
                detail = "the dataset was deleted just now; import it again"
                raise NotFound("dataset-not-found", detail)
            entry = _read_name(path)
            known = entry and entry["dataset"]
            # The name of one that is gone is free.
            if known and known != dataset_id and (self._directory / known).is_dir():
                raise Conflict(
                    "name-taken",
                    f"{name} stands for another dataset; choose another name or delete that one",
                )
            replace_json(path, {"name": name, "dataset": dataset_id})

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside the block no dataset is removed but by the block itself.

        Nothing may be added or named inside: that takes the same lock. Nothing slow may be done
        inside: everybody who trains waits for it.
        """
        ensure_directory(self._directory)
        with self._locked():
            yield

    def _locked(self) -> AbstractContextManager[None]:
        busy = Unavailable("datasets-busy", "datasets are being changed; try again")
        return locked(self._directory / ".lock", busy)


def _signature(directory: Path) -> tuple[int, ...] | None:
    """Changes when a file is written, replaced or removed; None where there is no directory."""
    try:
        paths = sorted(directory.iterdir())
        stats = [path.stat() for path in paths]
    except FileNotFoundError:
        return None
    return tuple(number for s in stats for number in (s.st_ino, s.st_size, s.st_mtime_ns))


def _is_sound(directory: Path) -> bool:
    try:
        open_packed(directory).verify()
    except DataError:
        return False
    return True


def _read_name(path: Path) -> dict[str, str] | None:
    """A name and its dataset; None for one that can be given: none is there, or it is damaged."""
    try:
        entry = read_json(path)
        return {"name": str(entry["name"]), "dataset": str(entry["dataset"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        log.error("%s is damaged; the name is left out", path)
        return None
