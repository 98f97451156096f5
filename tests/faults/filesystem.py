"""A file system that promises no more than POSIX: what may be on disk after a power cut.

An entry of a directory (made, renamed, removed) is on disk for certain once the directory was
synced, the bytes of a file once the file was. Until then each entry and each file has its own
fate, in any combination; only a rename is whole or not at all. This is the model of "All File
Systems Are Not Created Equal" (OSDI 2014).
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

Change = Mapping[str, "File | Directory | None"]
Tree = dict[PurePath, bytes | None]


@dataclass(eq=False)
class File:
    """A file's bytes, on disk for certain or not."""

    data: bytes
    synced: bool = False

    @property
    def is_settled(self) -> bool:
        return self.synced


@dataclass(eq=False)
class Directory:
    """What a directory lists: on disk for certain, and the changes since, oldest first."""

    settled: dict[str, "File | Directory"] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        return not self.changes

    @property
    def entries(self) -> dict[str, "File | Directory"]:
        return self.after(self.changes)

    def after(self, changes: Iterable[Change]) -> dict[str, "File | Directory"]:
        found: dict[str, File | Directory | None] = dict(self.settled)
        for change in changes:
            found.update(change)
        return {name: node for name, node in found.items() if node is not None}

    def sync(self) -> None:
        self.settled, self.changes = self.entries, []


class Fate:
    """Which unsynced things reached the disk: here everything did."""

    def changes(self, directory: Directory) -> Iterable[Change]:
        return directory.changes

    def data(self, file: File) -> bytes:
        return file.data


class Nothing(Fate):
    """Nothing did, though the names of files may be there."""

    def changes(self, directory: Directory) -> Iterable[Change]:
        return ()

    def data(self, file: File) -> bytes:
        return file.data if file.synced else b""


class Oldest(Fate):
    """All did but, of one directory, only so many of the oldest changes."""

    def __init__(self, node: Directory, count: int) -> None:
        self._node, self._count = node, count

    def changes(self, directory: Directory) -> Iterable[Change]:
        return directory.changes[: self._count] if directory is self._node else directory.changes


class OnlyOrAllBut(Fate):
    """Only what concerns one file or directory did, or all but that."""

    def __init__(self, node: File | Directory, only: bool) -> None:
        self._node, self._only = node, only

    def changes(self, directory: Directory) -> Iterable[Change]:
        return directory.changes if (directory is self._node) == self._only else ()

    def data(self, file: File) -> bytes:
        return file.data if file.synced or (file is self._node) == self._only else b""


class Chance(Fate):
    """Any subset of changes; unsynced files whole, cut anywhere, or with zeros from anywhere."""

    def __init__(self, source: random.Random) -> None:
        self._random, self._odds = source, source.choice((0.1, 0.5, 0.9))

    def changes(self, directory: Directory) -> Iterable[Change]:
        return [change for change in directory.changes if self._random.random() < self._odds]

    def data(self, file: File) -> bytes:
        if file.synced or self._random.random() < self._odds:
            return file.data
        end = self._random.randint(0, len(file.data))
        zeros = len(file.data) - end if self._random.random() < 0.5 else 0
        return file.data[:end] + bytes(zeros)


class FileSystem:
    """Replays operations; paths are relative to the root, which is on disk from the start."""

    def __init__(self) -> None:
        self._root = Directory()

    def make_directory(self, path: PurePath) -> None:
        self._parent(path).changes.append({path.name: Directory()})

    def write(self, path: PurePath, data: bytes) -> None:
        self._parent(path).changes.append({path.name: File(data)})

    def sync(self, path: PurePath) -> None:
        node = self._node(path)
        if isinstance(node, File):
            node.synced = True
        else:
            node.sync()

    def rename(self, old: PurePath, new: PurePath) -> None:
        assert old.parent == new.parent, "the model knows renames within a directory"
        change = {old.name: None, new.name: self._node(old)}
        self._parent(old).changes.append(change)

    def remove(self, path: PurePath) -> None:
        """Remove a file, or a directory after what it lists."""
        node = self._node(path)
        for name in node.entries if isinstance(node, Directory) else ():
            self.remove(path / name)
        self._parent(path).changes.append({path.name: None})

    def has_news(self, path: PurePath) -> bool:
        """Whether syncing this saves more than hidden names, on which nothing relies."""
        node = self._node(path)
        if isinstance(node, File):
            return not node.synced
        return any(not name.startswith(".") for change in node.changes for name in change)

    def unsettled(self) -> list[File | Directory]:
        """Everything that a power cut may change."""
        return [node for node in _nodes(self._root) if not node.is_settled]

    def after_power_cut(self, fate: Fate) -> Tree:
        """The files, with their bytes, and the directories (None) that are there afterwards."""
        return dict(_survivors(self._root, PurePath(), fate))

    def _node(self, path: PurePath) -> File | Directory:
        node: File | Directory = self._root
        for name in path.parts:
            assert isinstance(node, Directory)
            node = node.entries[name]
        return node

    def _parent(self, path: PurePath) -> Directory:
        node = self._node(path.parent)
        assert isinstance(node, Directory)
        return node


def _nodes(node: File | Directory) -> Iterator[File | Directory]:
    """A node and all that can be reached from it, by settled entries or unsettled ones."""
    yield node
    if isinstance(node, Directory):
        children = [*node.settled.values(), *(n for c in node.changes for n in c.values() if n)]
        for child in {id(child): child for child in children}.values():
            yield from _nodes(child)


def _survivors(
    node: File | Directory, path: PurePath, fate: Fate
) -> Iterator[tuple[PurePath, bytes | None]]:
    if isinstance(node, File):
        yield path, fate.data(node)
        return
    yield path, None
    for name, child in node.after(fate.changes(node)).items():
        yield from _survivors(child, path / name, fate)
