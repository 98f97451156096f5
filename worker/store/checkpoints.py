"""Checkpoints: immutable directories of one job at one step, committed whole or not at all.

Files are written into a temporary directory and fsynced, then the manifest with the size and
SHA-256 of each, then the directory is renamed into place. No pickle, no ``torch.load``.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from ganmodels.config import TrainConfig
from worker.store.files import new_directory, write_durably

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
CONFIG = "config.json"
_MAX_MANIFEST_BYTES = 65_536
_PREFIX = "step-"

FileName = Annotated[str, Field(pattern=r"^[a-z]+\.(safetensors|json)$")]


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


class Manifest(Frozen):
    """What a checkpoint is; written last, so that a directory with one is complete."""

    format_version: int
    job: str
    epoch: int
    step: int
    images_seen: int
    created_at: str
    environment: Environment
    files: tuple[FileEntry, ...]


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
        """The manifest, unverified.

        Raises:
            CheckpointCorrupt: when it cannot be read.
        """
        try:
            return Manifest.model_validate_json(self._manifest_bytes)
        except (OSError, ValueError) as error:
            raise CheckpointCorrupt(f"{self.path.name}: the manifest cannot be read") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, which names the hash of every file: the checkpoint's name."""
        try:
            return hashlib.sha256(self._manifest_bytes).hexdigest()
        except OSError as error:
            raise CheckpointCorrupt(f"{self.path.name}: the manifest cannot be read") from error

    @cached_property
    def _manifest_bytes(self) -> bytes:
        with (self.path / MANIFEST).open("rb") as file:
            return file.read(_MAX_MANIFEST_BYTES)

    @property
    def size_bytes(self) -> int:
        """Size of all files but the manifest."""
        return sum(entry.size_bytes for entry in self.manifest.files)

    def config(self) -> TrainConfig:
        """The configuration that was trained."""
        return TrainConfig.model_validate_json(self._read(CONFIG))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of one safetensors file, verified.

        Raises:
            CheckpointCorrupt: when the bytes are not those that were committed.
        """
        tensors: dict[str, Tensor] = parse_tensors(self._read(f"{name}.safetensors"))
        return tensors

    def verify(self) -> None:
        """Check every file against the manifest.

        Raises:
            CheckpointCorrupt: when any differs or is missing.
        """
        for entry in self.manifest.files:
            self._read(entry.name)

    def _read(self, name: str) -> bytes:
        entry = next((entry for entry in self.manifest.files if entry.name == name), None)
        if entry is None:
            raise CheckpointCorrupt(f"{self.path.name}: {name} is not in the manifest")
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise CheckpointCorrupt(f"{self.path.name}: {name} cannot be read") from error
        if len(data) != entry.size_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise CheckpointCorrupt(f"{self.path.name}: {name} is not as it was committed")
        return data


def commit(
    path: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    config: TrainConfig,
    manifest: Manifest,
) -> Checkpoint:
    """Write a checkpoint under ``path``. ``manifest.files`` is filled in here.

    ``tensors`` maps file names without suffix to what they hold.
    """
    files = {CONFIG: config.model_dump_json(indent=1).encode()}
    for name, content in tensors.items():
        plain = {key: tensor.detach().cpu().contiguous() for key, tensor in content.items()}
        files[f"{name}.safetensors"] = serialise_tensors(plain)
    entries = []
    with new_directory(path) as directory:
        for name, data in files.items():
            write_durably(directory / name, data)
            digest = hashlib.sha256(data).hexdigest()
            entries.append(FileEntry(name=name, size_bytes=len(data), sha256=digest))
        complete = manifest.model_copy(update={"files": tuple(entries)})
        write_durably(directory / MANIFEST, complete.model_dump_json(indent=1).encode())
    return Checkpoint(path)
