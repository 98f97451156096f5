"""Checkpoints: immutable directories of one job at one step, committed whole or not at all.

Files are written into a temporary directory and fsynced, then the manifest with the size and
SHA-256 of each, then the seal with the SHA-256 of the manifest, then the directory is renamed into
place. The seal is as ``sha256sum --check`` reads it. No pickle, no ``torch.load``.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load as parse_tensors
from torch import Tensor

from ganmodels.config import TrainConfig
from worker.store import disk
from worker.store.files import new_directory, read_regular, write_durably
from worker.store.tensorfile import safetensors_parts

FORMAT_VERSION = 3
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
CONFIG = "config.json"
_MAX_MANIFEST_BYTES = 65_536
_PREFIX = "step-"
# A file system that makes no link here: another one, too many of one file, or none at all.
_UNLINKABLE = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP})
# What it means that a file is not there, or is something else than a file.
_DAMAGE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO}
)

FileName = Annotated[str, Field(pattern=r"^[a-z_]+\.(safetensors|json)$")]


class Frozen(BaseModel):
    """A record read from a file that we wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(Frozen):
    """One file of a checkpoint."""

    name: FileName
    size_bytes: int
    sha256: str


class Environment(Frozen):
    """What the bits depend on beside the configuration."""

    torch: str
    device: str
    threads: int
    precision: str
    processor: str = ""
    processes: int = 1


class Manifest(Frozen):
    """What a checkpoint is, and which files with which bytes it is made of."""

    format_version: int = FORMAT_VERSION
    job: str
    epoch: int
    step: int
    images_seen: int
    created_at: str
    environment: Environment
    files: tuple[FileEntry, ...] = ()


class _Format(BaseModel):
    """What a manifest of any version says."""

    format_version: int


def directory_name(step: int) -> str:
    """What a checkpoint's directory is called; names sort by step."""
    return f"{_PREFIX}{step:09d}"


class CheckpointCorrupt(Exception):  # noqa: N818
    """A checkpoint whose files are not those of its manifest."""


class Checkpoint:
    """A committed checkpoint; nothing is read until it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def step(self) -> int:
        """The step, by the directory's name: no file is read for it."""
        return int(self.path.name.removeprefix(_PREFIX))

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, verified: by its seal, and by the step in the directory's name.

        Raises:
            CheckpointCorrupt: when it is not as it was committed, or of another format.
        """
        data = self._manifest_bytes
        try:
            version = _Format.model_validate_json(data).format_version
            if version != FORMAT_VERSION:
                raise self._corrupt(f"is of format {version}; this release reads {FORMAT_VERSION}")
            manifest = Manifest.model_validate_json(data)
        except ValueError as error:
            raise self._corrupt("the manifest cannot be understood") from error
        if self._read(SEAL, len(_seal(data)) + 1) != _seal(data):
            raise self._corrupt("the manifest is not as it was committed")
        if manifest.step != self.step:
            raise self._corrupt(f"the manifest is of step {manifest.step}")
        return manifest

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, which names the hash of every file: the checkpoint's name.

        Raises:
            CheckpointCorrupt: when the manifest cannot be read.
        """
        return hashlib.sha256(self._manifest_bytes).hexdigest()

    @cached_property
    def _manifest_bytes(self) -> bytes:
        return self._read(MANIFEST, _MAX_MANIFEST_BYTES)

    @property
    def size_bytes(self) -> int:
        """Size of all files but the manifest."""
        return sum(entry.size_bytes for entry in self.manifest.files)

    def config(self) -> TrainConfig:
        """The configuration that was trained, verified.

        Raises:
            CheckpointCorrupt: when the bytes are not those that were committed, or say what this
                release does not know.
        """
        data = self._read_verified(self._entry(CONFIG))
        try:
            return TrainConfig.model_validate_json(data)
        except ValueError as error:
            raise self._corrupt(f"{CONFIG} is not one that this release understands") from error

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of one safetensors file, verified.

        Raises:
            CheckpointCorrupt: when the bytes are not those that were committed.
        """
        data = self._read_verified(self._entry(f"{name}.safetensors"))
        tensors: dict[str, Tensor] = parse_tensors(data)
        return tensors

    def keep(self, directory: Path, players: Iterable[str]) -> None:
        """Keep the averaged networks of some players in another place, whatever becomes of this.

        Files are linked, for none of them ever changes; where that is impossible their bytes are
        verified and copied.

        Raises:
            CheckpointCorrupt: when a file is not there any more, or one to copy is damaged.
        """
        place = directory / self.path.name
        place.mkdir(parents=True)
        names = [CONFIG, MANIFEST, SEAL, *(f"{player}.safetensors" for player in players)]
        for name in names:
            self._keep_file(name, place / name)
        disk.sync_directory(place)
        disk.sync_directory(directory)

    def _keep_file(self, name: str, copy: Path) -> None:
        try:
            os.link(self.path / name, copy)
        except OSError as error:
            if error.errno in _DAMAGE:
                raise self._corrupt(f"{name} is not there any more") from error
            if error.errno not in _UNLINKABLE:
                raise
            write_durably(copy, self._sound_bytes(name))

    def _sound_bytes(self, name: str) -> bytes:
        """A file of the checkpoint, which is as the manifest says, or the manifest or its seal."""
        if name in (MANIFEST, SEAL):
            self.manifest  # noqa: B018 - verifies both
            return self._manifest_bytes if name == MANIFEST else _seal(self._manifest_bytes)
        return self._read_verified(self._entry(name))

    def verify(self) -> None:
        """Check the manifest and every file of it.

        Raises:
            CheckpointCorrupt: when any differs or is missing.
        """
        for entry in self.manifest.files:
            self._read_verified(entry)

    def _entry(self, name: str) -> FileEntry:
        for entry in self.manifest.files:
            if entry.name == name:
                return entry
        raise self._corrupt(f"{name} is not in the manifest")

    def _read_verified(self, entry: FileEntry) -> bytes:
        data = self._read(entry.name, entry.size_bytes + 1)
        if len(data) != entry.size_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise self._corrupt(f"{entry.name} is not as it was committed")
        return data

    def _read(self, name: str, most_bytes: int) -> bytes:
        try:
            if self.path.is_symlink():
                raise OSError(errno.ELOOP, "the directory is a link")
            return read_regular(self.path / name, most_bytes)
        except OSError as error:
            # A disk that fails to read says nothing about what is on it.
            if error.errno not in _DAMAGE:
                raise
            raise self._corrupt(f"{name} cannot be read") from error

    def _corrupt(self, finding: str) -> CheckpointCorrupt:
        return CheckpointCorrupt(f"{self.path.name}: {finding}")


def commit(
    path: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    config: TrainConfig,
    manifest: Manifest,
    confirm: Callable[[], None] = lambda: None,
) -> Checkpoint:
    """Write a checkpoint under ``path``; it is on disk when this returns.

    ``tensors`` maps file names without suffix to what they hold. ``manifest.files`` is filled in
    here. ``confirm`` is called when all is on disk and nothing visible yet: what it raises keeps
    it so.

    Raises:
        FileExistsError: when there is a checkpoint under ``path``.
    """
    with new_directory(path, confirm) as directory:
        entries = [_write(directory / CONFIG, [config.model_dump_json(indent=1).encode()])]
        for name, content in tensors.items():
            parts = safetensors_parts(content)
            entries.append(_write(directory / f"{name}.safetensors", parts))
        complete = {"format_version": FORMAT_VERSION, "files": tuple(entries)}
        data = manifest.model_copy(update=complete).model_dump_json(indent=1).encode()
        write_durably(directory / MANIFEST, data)
        write_durably(directory / SEAL, _seal(data))
    return Checkpoint(path)


def _write(path: Path, parts: Iterable[bytes | memoryview]) -> FileEntry:
    digest, size_bytes = hashlib.sha256(), 0

    def hashed() -> Iterator[bytes | memoryview]:
        nonlocal size_bytes
        for part in parts:
            digest.update(part)
            size_bytes += len(part)
            yield part

    disk.write(path, hashed())
    return FileEntry(name=path.name, size_bytes=size_bytes, sha256=digest.hexdigest())


def _seal(manifest: bytes) -> bytes:
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()
