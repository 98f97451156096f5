"""Attempts at a job on disk: each claims an epoch, a directory in which it alone writes.

    epochs/0001/holder        the process that claimed it; removed when it lets go
                lock          locked by that process for as long as it lives
                beat          touched by that process every second
                reserve       room for what must be written when the disk is full
                given-up      present once that process was taken for frozen
                epoch.json    the step it goes on from and what it runs on; absent until the
                              attempt has begun
                loss.json     how the attempt ended, if it did not end well
                progress.json  metrics.jsonl  previews/  checkpoints/

An epoch goes on from a step of an earlier one; what the earlier one wrote beyond that step is void.
"""

import fcntl
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import JobCorrupt
from worker.identity import ProcessIdentity
from worker.store.checkpoints import Checkpoint, directory_name
from worker.store.files import parse_line, read_json, read_model, replace_file, replace_json


class EngineInUse(BaseModel):
    """What an attempt runs on, as it was chosen.

    ``layout`` of images in memory, ``data`` on the device or streamed to it; ``graphs`` says that
    steps are recorded, or why not.
    """

    model_config = ConfigDict(frozen=True)

    device: str
    processes: int
    threads: int
    precision: str
    layout: str
    data: str
    graphs: str
    deterministic: bool


class Loss(BaseModel):
    """How an attempt ended that did not end well."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
    signal: int | None = None
    log_tail: tuple[str, ...] = ()
    needed_bytes: int | None = None


class Epoch:
    """One attempt. ``end`` is the step from which a later attempt went on."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        self.path, self.end = path, end
        self.number = int(path.name)

    @cached_property
    def start(self) -> int | None:
        """The step it goes on from; None when the attempt did not get as far as to begin.

        Raises:
            JobCorrupt: when it cannot be understood.
        """
        try:
            return int(read_json(self.path / "epoch.json")["start_step"])
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError) as error:
            raise JobCorrupt from error

    def engine(self) -> EngineInUse | None:
        """What it runs on; None before it has begun, and of attempts that did not say so."""
        with suppress(FileNotFoundError, ValidationError, LookupError):
            return EngineInUse.model_validate(read_json(self.path / "epoch.json")["engine"])
        return None

    def holds(self, step: int) -> bool:
        """Whether what this attempt wrote at ``step`` counts."""
        return self.end is None or step <= self.end

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step lies; names sort by step."""
        return self.path / "checkpoints" / directory_name(step)

    def preview_path(self, step: int) -> Path:
        """Where the preview of a step lies."""
        return self.path / "previews" / f"{step:09d}.png"

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints of this attempt, by step; those that are void too."""
        return [Checkpoint(path) for path in sorted((self.path / "checkpoints").glob("step-*"))]

    def progress(self) -> dict[str, Any]:
        """Step, rate and the latest metrics; empty before the first reading."""
        # It is not synced: a power cut may leave anything there.
        with suppress(FileNotFoundError, ValueError):
            return dict(read_json(self.path / "progress.json"))
        return {}

    def metrics(self) -> Iterator[dict[str, Any]]:
        """This attempt's rows that count. The file is on disk as far as the last checkpoint.

        What a power cut left beyond that, and a line still being written, is left out.
        """
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                row = parse_line(line)
                if row is None or not self.holds(row["step"]):
                    return
                yield row

    @property
    def holder(self) -> ProcessIdentity | None:
        """The process that claimed it and has not let go."""
        try:
            # It is not synced: a power cut may leave anything there.
            text = (self.path / "holder").read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return None
        return ProcessIdentity.parse(text)

    @property
    def is_alive(self) -> bool:
        """Whether its attempt may still write: its process lives and was not given up."""
        holder = self.holder
        if holder is None or self._given_up.exists():
            return False
        # Opening and closing a file of one's own would let go of a POSIX lock.
        return holder == ProcessIdentity.own() or _is_locked(self.path / "lock")

    @property
    def is_over(self) -> bool:
        """Whether its attempt must stop: given up, taken over by a later one, or deleted."""
        later = self.path.with_name(name(self.number + 1))
        return self._given_up.exists() or later.exists() or not self.path.exists()

    @property
    def beat(self) -> int:
        """Changes every second while the process lives and is not frozen."""
        return (self.path / "beat").stat().st_mtime_ns

    def give_up(self) -> None:
        """Take the attempt for frozen: whatever it does from now on is void."""
        replace_file(self._given_up, b"")

    @property
    def loss(self) -> Loss | None:
        """How the attempt ended, if it did not end well.

        Raises:
            JobCorrupt: when it cannot be understood.
        """
        path = self.path / "loss.json"
        return read_model(path, Loss) if path.exists() else None

    def note_loss(self, loss: Loss) -> None:
        """Record how the attempt ended."""
        replace_json(self.path / "loss.json", loss.model_dump(mode="json"))

    @property
    def was_fruitless(self) -> bool:
        """Whether the attempt ended badly without having saved a checkpoint.

        A disk that was full is nobody's fault, and is waited for.
        """
        loss = self.loss
        return loss is not None and loss.code != "storage-full" and not self.checkpoints()

    @property
    def _given_up(self) -> Path:
        return self.path / "given-up"


def all_epochs(directory: Path) -> list[Epoch]:
    """Every epoch below a directory, oldest first, each with the step where it ended."""
    named = (path for path in directory.glob("[0-9]*") if path.name.isdecimal())
    paths = sorted(named, key=lambda path: int(path.name), reverse=True)
    found: list[Epoch] = []
    end: int | None = None
    for path in paths:
        epoch = Epoch(path, end)
        found.append(epoch)
        # A later attempt may have gone back further than the one after this.
        if epoch.start is not None:
            end = epoch.start if end is None else min(end, epoch.start)
    return found[::-1]


def name(number: int) -> str:
    """What an epoch's directory is called."""
    return f"{number:04d}"


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
