"""Cuts the power at every point of a life of the store and looks at what is left."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path, PurePath
from typing import NamedTuple

from tests.faults.filesystem import (
    Chance,
    Directory,
    Fate,
    FileSystem,
    Nothing,
    Oldest,
    OnlyOrAllBut,
    Tree,
)
from tests.faults.ledger import Ledger
from tests.faults.recorder import Killed, Operation, Recorder
from tests.faults.scenario import live, observe

_MEMORY = Path("/dev/shm")
HOME = "home"


class Trace(NamedTuple):
    """What was asked of the disk and what was promised in the course of it."""

    operations: list[Operation]
    ledger: Ledger


class Report:
    """How many different states after a power cut were looked at, and what was wrong in them."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self._seen: set[bytes] = set()

    @property
    def states(self) -> int:
        return len(self._seen)

    def look_at(
        self, trace: Trace, per_cut: int, chance: random.Random, first_cut: int = 0
    ) -> None:
        """The simple states (``per_cut`` is 0) or that many by chance at each cut.

        Ends with the first violation.
        """
        with _scratch() as root:
            for cut, tree in _states(trace, per_cut, chance, first_cut):
                if self.violations:
                    return
                name = sha256(repr((id(trace), cut, sorted(tree.items(), key=str))).encode())
                if name.digest() not in self._seen:
                    self._seen.add(name.digest())
                    _write(tree, root)
                    self.violations += _violations(root / HOME, cut, trace.ledger)
                    shutil.rmtree(root / HOME, ignore_errors=True)


class MutationReport(NamedTuple):
    """Syncs that were left out, one at a time, and those of which nothing noticed it."""

    syncs: int
    unnoticed: list[str]


def record(*kill_at: int) -> Trace:
    """A life of the store; before it, one for each number that is killed at that operation."""
    with _scratch() as root:
        recorder = Recorder(root)
        ledger = Ledger(lambda: len(recorder.operations))
        for number in kill_at:
            with suppress(Killed), recorder.recording(number):
                live(root / HOME, ledger)
        with recorder.recording():
            live(root / HOME, ledger)
    return Trace(recorder.operations, ledger)


def explore(states: int, seed: int, killed_lives: int = 3) -> Report:
    """Look at this many different states at least, all simple ones of an undisturbed life first.

    The others are of that life, and of lives that follow one which was killed; ``seed`` decides.
    """
    chance, report = random.Random(seed), Report()
    plain = record()
    report.look_at(plain, 0, chance)
    kills = [chance.randrange(len(plain.operations)) for _ in range(killed_lives)]
    traces = [plain, *(record(kill) for kill in kills)]
    seen_before = -1
    while seen_before < report.states < states and not report.violations:
        seen_before = report.states
        for trace in traces:
            wanted = max(0, states - report.states) // len(traces)
            report.look_at(trace, 1 + wanted // (1 + len(trace.operations)), chance)
    return report


def leave_out_each_sync(seed: int, at_most: int | None = None) -> MutationReport:
    """Whether the looks notice each sync that is left out, one at a time; or a sample of them.

    One that has nothing to do, since all is on disk already, is no sync to leave out.
    """
    trace = record()
    syncs = effective_syncs(trace)
    if at_most is not None:
        syncs = random.Random(seed).sample(syncs, at_most)
    return MutationReport(len(syncs), [str(i) for i in syncs if not _noticed(trace, i, seed)])


def leave_out_syncs_after_a_kill(seed: int) -> MutationReport:
    """The same for what a second life syncs because the first was killed before it did so."""
    plain = record()
    count, unnoticed = 0, []
    for kill in effective_syncs(plain):
        path, trace = plain.operations[kill].arguments, record(kill)
        later = [i for i in effective_syncs(trace) if trace.operations[i].arguments == path]
        count += bool(later)
        if later and not _noticed(trace, later[0], seed):
            unnoticed.append(f"killed before {kill}, {later[0]}: {path}")
    return MutationReport(count, unnoticed)


def effective_syncs(trace: Trace) -> list[int]:
    """The syncs that had something to write that was kept, by the number of their operation."""
    system, found = FileSystem(), []
    worthless = _worthless(trace.operations)
    for index, operation in enumerate(trace.operations):
        path = operation.arguments[0]
        if operation.name == "sync" and not any(path.is_relative_to(each) for each in worthless):
            found += [index] if system.has_news(path) else []
        operation.apply(system)
    return found


def _worthless(operations: list[Operation]) -> list[PurePath]:
    """What was removed under the name it was made with, or holds files that were never synced."""
    removed = [each.arguments[0] for each in operations if each.name == "remove"]
    synced = {each.arguments[0] for each in operations if each.name == "sync"}
    written = [each.arguments[0] for each in operations if each.name == "write"]
    kept = {path.parent for path in written if path in synced}
    return removed + [path.parent for path in written if path.parent not in kept]


def _noticed(trace: Trace, index: int, seed: int) -> bool:
    operations = list(trace.operations)
    # Replaced by what changes nothing, so that the ledger's numbers stay right.
    operations[index] = Operation("has_news", operations[index].arguments)
    report = Report()
    report.look_at(Trace(operations, trace.ledger), 0, random.Random(seed), first_cut=index)
    return bool(report.violations)


def _states(
    trace: Trace, per_cut: int, chance: random.Random, first_cut: int
) -> Iterator[tuple[int, Tree]]:
    """States after a power cut, each with the number of operations before it."""
    system = FileSystem()
    for cut, operation in enumerate([*trace.operations, None]):
        if cut >= first_cut:
            fates = [Chance(chance) for _ in range(per_cut)] if per_cut else _simple_fates(system)
            for fate in fates:
                yield cut, system.after_power_cut(fate)
        if operation is not None:
            operation.apply(system)


def _simple_fates(system: FileSystem) -> list[Fate]:
    fates: list[Fate] = [Fate(), Nothing()]
    for node in system.unsettled():
        fates += [OnlyOrAllBut(node, True), OnlyOrAllBut(node, False)]
        if isinstance(node, Directory):
            fates += [Oldest(node, count) for count in range(1, len(node.changes))]
    return fates


def _violations(home: Path, cut: int, ledger: Ledger) -> list[str]:
    try:
        found = observe(home)
    except Exception as error:
        return [f"cut {cut}: {type(error).__name__}: {error}"]
    return [
        f"cut {cut}: {subject} is {found[subject]}, not one of {ledger.allowed(subject, cut)}"
        for subject in sorted(ledger.subjects)
        if found[subject] not in ledger.allowed(subject, cut)
    ]


def _write(tree: Tree, root: Path) -> None:
    for path, data in tree.items():
        if data is None:
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).write_bytes(data)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory in memory, if there is such a place."""
    parent = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="rs-", dir=parent) as directory:
        yield Path(directory).resolve()
