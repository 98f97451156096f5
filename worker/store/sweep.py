"""Removes what dead processes left half done."""

import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from worker.store.files import maker_of

# Whether a process of another machine lives cannot be seen; nothing is under way for this long.
_FOREIGN_SECONDS = 3600
# Where temporary names are made. What lies inside checkpoints is never looked at.
_PLACES = tuple(
    Path(place)
    for place in (
        ".",
        "uploads",
        "datasets",
        "datasets/*",
        "datasets/names",
        "models",
        "idempotency",
        "tensorboard",
        "pending-evaluations",
        "jobs",
        "jobs/*",
        "jobs/*/evaluations",
        "jobs/*/evaluations/*",
        "jobs/*/epochs",
        "jobs/*/epochs/*",
        "jobs/*/epochs/*/previews",
        "jobs/*/epochs/*/checkpoints",
    )
)


def sweep(home: Path) -> int:
    """Remove temporary files and directories whose makers are dead. Returns how many.

    What cannot be removed is left for the next time.
    """
    count = 0
    for path in _temporaries(home.resolve()):
        if _is_left_over(path):
            with suppress(OSError):
                _remove(path)
                count += 1
    return count


def _temporaries(home: Path) -> Iterator[Path]:
    for place in _PLACES:
        for directory in _directories(home, place.parts):
            yield from [path for path in _entries(directory) if maker_of(path.name)]


def _directories(parent: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Those that a pattern names, one part after the other; others may be removing them."""
    if not parts:
        yield parent
        return
    children = _entries(parent) if parts[0] == "*" else [parent / parts[0]]
    for child in children:
        # A link may lead anywhere, so nothing behind one is ours to remove.
        if _is_plain_directory(child):
            yield from _directories(child, parts[1:])


def _is_plain_directory(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def _entries(directory: Path) -> list[Path]:
    with suppress(OSError):
        return list(directory.iterdir())
    return []


def _is_left_over(path: Path) -> bool:
    maker = maker_of(path.name)
    if maker is None:
        return False
    if maker.is_here:
        return maker.is_gone
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _FOREIGN_SECONDS
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
