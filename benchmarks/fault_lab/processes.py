"""The living processes below one of ours, by the kernel's own list of who started whom."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.fault_lab.waiting import wait_until


class Process(NamedTuple):
    """A process as the kernel lists it."""

    pid: int
    parent: int
    state: str
    command: str


def tree(root: int) -> dict[int, Process]:
    """The living processes below ``root``, without itself, by id; parents come first."""
    listed = _listed()
    children: dict[int, list[int]] = {}
    for process in listed.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: dict[int, Process] = {}
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(0), []):
            found[pid] = listed[pid]
            waiting.append(pid)
    return found


def children_of(root: int, argument: str) -> list[int]:
    """The direct children of a process whose command line names an argument."""
    return [p.pid for p in tree(root).values() if p.parent == root and argument in p.command]


def slots_below(root: int) -> list[int]:
    """Worker processes that a supervisor keeps."""
    found = _with_slots_command(root)
    return [pid for pid, parent in found.items() if parent not in found]


def trainers_below(root: int) -> list[int]:
    """Processes that train now: forked by a worker process, so their command is the same."""
    found = _with_slots_command(root)
    return [pid for pid, parent in found.items() if parent in found]


def _with_slots_command(root: int) -> dict[int, int]:
    return {p.pid: p.parent for p in tree(root).values() if "-m worker.slot" in p.command}


def is_alive(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not waited for is not."""
    process = _read(pid)
    return process is not None and process.state not in "ZX"


def send(number: int, pids: Iterable[int]) -> None:
    """A signal to each; some may have ended through the death of another."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each, in this order, and wait until the kernel has ended them."""
    listed = list(pids)
    send(signal.SIGKILL, listed)
    wait_until(lambda: not any(map(is_alive, listed)), "the end of what was killed", 30, 0.002)


def resident_bytes(pid: int) -> int:
    """Memory that a process holds now; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _listed() -> dict[int, Process]:
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    found = (_read(pid) for pid in pids)
    return {p.pid: p for p in found if p is not None and p.state not in "ZX"}


def _read(pid: int) -> Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    return Process(pid, int(fields[1]), fields[0], command)


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever held; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
