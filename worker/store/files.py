"""Files and directories that survive a crash: written whole, synced, then renamed into place.

What is under way has a name that says who makes it, so that ``sweep`` can tell what a dead
process left behind.
"""

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError
from ulid import ULID

from worker.errors import Corrupt, JobCorrupt
from worker.identity import ProcessIdentity
from worker.store import disk

Record = TypeVar("Record", bound=BaseModel)

_TEMPORARY = re.compile(r"\..+\.tmp_[0-9a-z]{26}~(?P<maker>[^~]+)")


def new_id(prefix: str) -> str:
    """A new id that sorts by time: the prefix, an underscore and a ULID in lower case."""
    return f"{prefix}_{str(ULID()).lower()}"


def now() -> str:
    """The time in RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def temporary_name(name: str) -> str:
    """A new hidden name, made of another, that says which process made it."""
    return f".{name}.{new_id('tmp')}~{ProcessIdentity.own()}"


def maker_of(name: str) -> ProcessIdentity | None:
    """Who made a temporary name; None for any other name."""
    match = _TEMPORARY.fullmatch(name)
    return ProcessIdentity.parse(match["maker"]) if match else None


def ensure_directory(path: Path) -> None:
    """Make a directory and those above it, if need be; they are on disk when this returns."""
    if not path.is_dir():
        ensure_directory(path.parent)
    _ensure_one(path)


def _ensure_one(path: Path) -> None:
    if not path.is_dir():
        with suppress(FileExistsError):
            disk.make_directory(path)
    # Also when it was there: the process that made it may have died before it did this.
    disk.sync_directory(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and wait until its bytes are on disk; its name is the caller's to sync."""
    disk.write(path, [data])


def replace_file(path: Path, data: bytes, durable: bool = True) -> None:
    """Replace a file whole: a reader sees the old or the new bytes, never a mixture."""
    temporary = path.with_name(temporary_name(path.name))
    try:
        disk.write(temporary, [data], durable)
        disk.rename(temporary, path)
    except BaseException:
        disk.remove_file(temporary)
        raise
    if durable:
        disk.sync_directory(path.parent)


def replace_json(path: Path, value: Any, durable: bool = True) -> None:
    """Replace a JSON file whole."""
    text = json.dumps(value, indent=1, allow_nan=False)
    replace_file(path, text.encode() + b"\n", durable)


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_bytes())


def read_model(
    path: Path, model: type[Record], corrupt: Callable[[], Corrupt] = JobCorrupt
) -> Record:
    """The record in a JSON file.

    Raises:
        Corrupt: of the kind given, when it cannot be understood.
        FileNotFoundError: when there is none.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise corrupt() from error


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The object on a line; None for a line that a crash cut off or spoiled."""
    with suppress(ValueError):
        value = json.loads(line)
        if line.endswith(b"\n") and isinstance(value, dict):
            return value
    return None


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The first bytes of a regular file; no link is followed and no pipe waited for.

    Raises:
        OSError: when it cannot be read or is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most_bytes)
    finally:
        os.close(descriptor)


@contextmanager
def new_directory(path: Path, confirm: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A directory that appears under its name only when the block has ended well.

    The block writes its files durably, at least one, in a temporary directory beside it.
    ``confirm`` is called last, when all is on disk; what it raises keeps the name from appearing.

    Raises:
        FileExistsError: when the name is taken at the end, by something that is on disk.
        FileNotFoundError: when there is no place for it: at most the directory that it lies in is
            made, so that nothing which was deleted comes back as an empty shell.
    """
    _ensure_one(path.parent)
    temporary = path.with_name(temporary_name(path.name))
    disk.make_directory(temporary)
    try:
        yield temporary
        disk.sync_directory(temporary)
        confirm()
        _rename_to_new(temporary, path)
    except BaseException:
        disk.remove_tree(temporary)
        raise
    disk.sync_directory(path.parent)


def _rename_to_new(old: Path, new: Path) -> None:
    try:
        disk.rename(old, new)
    except OSError as error:
        # The kernel decides, not a look beforehand: of two at the same time, one wins.
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            # Who is told so may rely on it, and who took the name may have died before this.
            disk.sync_directory(new.parent)
            raise FileExistsError(errno.EEXIST, "the name is taken", str(new)) from error
        raise


def remove_directory(path: Path) -> None:
    """Take a directory out of sight in one step, then delete it; it may be gone already."""
    hidden = path.with_name(temporary_name(path.name))
    try:
        disk.rename(path, hidden)
    except FileNotFoundError:
        return
    # Before anything in it goes: half a directory must not come back under its name.
    disk.sync_directory(path.parent)
    disk.remove_tree(hidden)


@contextmanager
def temporary_file(directory: Path) -> Iterator[BinaryIO]:
    """An open file to write and read, which is gone after the block; ``name`` is its path.

    Raises:
        FileNotFoundError: when there is no such directory.
    """
    path = directory / temporary_name("file")
    try:
        with path.open("x+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)
