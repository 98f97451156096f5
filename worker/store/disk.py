"""The few operations whose order decides what survives a power cut.

What a directory lists is on disk once that directory was synced; what a file holds, once the file
was. A failed sync is final: the kernel may have dropped the bytes and would report success the
next time, so whoever tries again does so under a new name.

Callers go through the module (``disk.rename``), so that a test can record the order.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make one directory.

    Raises:
        FileExistsError: when the name is taken.
    """
    path.mkdir()


def write(path: Path, parts: Iterable[bytes | memoryview], durable: bool = True) -> None:
    """Write a new file, part by part, and wait until it is on disk if it is to be durable.

    Raises:
        FileExistsError: when the name is taken.
    """
    with path.open("xb") as file:
        file.writelines(parts)
        if durable:
            file.flush()
            # On the descriptor that wrote: an error of writing back is reported there.
            os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until what a directory lists is on disk: names made, renamed and removed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(old: Path, new: Path) -> None:
    """Rename in one step; a file or an empty directory of the new name is replaced."""
    old.rename(new)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there."""
    path.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a directory and all in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
