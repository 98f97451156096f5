"""Files that survive a crash: written whole, fsynced, then renamed into place."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ulid import ULID


def new_id(prefix: str) -> str:
    """A new id that sorts by time: the prefix, an underscore and a ULID in lower case."""
    return f"{prefix}_{str(ULID()).lower()}"


def now() -> str:
    """The time in RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fsync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes, durable: bool = True) -> None:
    """Replace a file whole: a reader sees the old or the new bytes, never a mixture."""
    temporary = path.with_name(f".{path.name}.{new_id('tmp')}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        fsync_directory(path.parent)


def replace_json(path: Path, value: Any, durable: bool = True) -> None:
    """Replace a JSON file whole."""
    text = json.dumps(value, indent=1, allow_nan=False)
    replace_file(path, text.encode() + b"\n", durable)


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_bytes())


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory that appears under its name only when the block has ended well.

    The block writes and fsyncs its files in a temporary directory beside it.

    Raises:
        FileExistsError: when the name is taken at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{new_id('tmp')}")
    temporary.mkdir()
    try:
        yield temporary
        fsync_directory(temporary)
        if path.exists():
            raise FileExistsError(path)
        temporary.rename(path)
        fsync_directory(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_directory(path: Path) -> None:
    """Take a directory out of sight in one step, then delete it."""
    hidden = path.with_name(f".{path.name}.{new_id('trash')}")
    path.rename(hidden)
    fsync_directory(path.parent)
    shutil.rmtree(hidden)
