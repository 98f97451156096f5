"""Records what real code asks of the disk, and can kill it before any operation."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from unittest import mock

from tests.faults.filesystem import FileSystem
from worker.store import disk


class Operation(NamedTuple):
    """One call of a method of ``FileSystem``."""

    name: str
    arguments: tuple[Any, ...]

    def apply(self, system: FileSystem) -> None:
        getattr(system, self.name)(*self.arguments)


class Killed(BaseException):
    """The process is no more: nothing after this reaches the disk."""


class Recorder:
    """The operations below a root, in order.

    Everything written outside ``disk`` is seen when it is synced; what never is (events, locks)
    is left out, as if the power cut took it.
    """

    def __init__(self, root: Path) -> None:
        self.operations: list[Operation] = []
        self._root, self._kill_at = root, -1
        self._known: set[PurePath] = set()

    @contextmanager
    def recording(self, kill_at: int | None = None) -> Iterator[None]:
        """Record inside the block; raises Killed before the operation of a number, and on."""
        self._kill_at = -1 if kill_at is None else kill_at
        doubles = {
            "make_directory": self._make_directory(disk.make_directory),
            "write": self._write(disk.write),
            "rename": self._rename(disk.rename),
            "remove_file": self._remove(disk.remove_file),
            "remove_tree": self._remove(disk.remove_tree),
        }
        with mock.patch.multiple(disk, **doubles), mock.patch("os.fsync", self._sync(os.fsync)):
            yield

    def _add(self, name: str, *arguments: Any) -> None:
        if 0 <= self._kill_at <= len(self.operations):
            raise Killed
        self.operations.append(Operation(name, arguments))

    def _relative(self, path: Path) -> PurePath:
        return PurePath(path.relative_to(self._root))

    def _make_directory(self, real: Callable[..., None]) -> Callable[..., None]:
        def make_directory(path: Path) -> None:
            self._add("make_directory", self._relative(path))
            real(path)

        return make_directory

    def _write(self, real: Callable[..., None]) -> Callable[..., None]:
        def write(path: Path, parts: Any, durable: bool = True) -> None:
            data = b"".join(parts)
            self._add("write", self._relative(path), data)
            self._known.add(self._relative(path))
            real(path, [data], durable)

        return write

    def _rename(self, real: Callable[..., None]) -> Callable[..., None]:
        def rename(old: Path, new: Path) -> None:
            # One that fails changes nothing, so it is recorded when it has not failed.
            if 0 <= self._kill_at <= len(self.operations):
                raise Killed
            real(old, new)
            self._add("rename", self._relative(old), self._relative(new))

        return rename

    def _remove(self, real: Callable[..., None]) -> Callable[..., None]:
        def remove(path: Path) -> None:
            if path.exists():
                self._add("remove", self._relative(path))
            real(path)

        return remove

    def _sync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if not path.is_relative_to(self._root):
                return
            relative = self._relative(path)
            if path.is_file() and relative not in self._known:
                self._known.add(relative)
                self._add("write", relative, path.read_bytes())
            self._add("sync", relative)
            # The real disk need not be waited for.

        return sync
