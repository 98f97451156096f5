"""The processes of a job that several play: this one leads, the others follow.

They meet at a store on the loopback, and are told their places by the variables that torchrun sets.
"""

import os
import socket
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ganmodels.config import TrainConfig
from ganmodels.games.gan import Gan
from ganmodels.several import ALONE, Group, Order, Several
from worker.endings import FollowerLost
from worker.losses import LOG, count_oom_kills, loss_of
from worker.processes import start, stop
from worker.roll_call import RollCall
from worker.settings import available_cores
from worker.store.checkpoints import Environment
from worker.store.epochs import Loss
from worker.store.job import Job

LOOPBACK = "127.0.0.1"
# What a follower ends with that ran out of memory.
OUT_OF_MEMORY_STATUS = 12
_LOOPBACK_INTERFACE = {"linux": "lo", "darwin": "lo0"}.get(sys.platform, "lo")
START_SECONDS = 300.0
_LOOK_SECONDS, _LEAVE_SECONDS = 0.05, 5.0
# From the first sign of a broken group until whoever has died is known to.
_BLAME_SECONDS = 2.0


class Task(BaseModel):
    """What a follower is told of the job that it plays; all else it reads where the leader does."""

    model_config = ConfigDict(frozen=True)

    home: Path
    job: str
    checkpoint: Path | None
    rollbacks: int
    cuda: bool
    environment: Environment


def count_processes(config: TrainConfig, device: torch.device, slots: int) -> int:
    """How many processes play: as many as asked for, or as there are devices to divide a part by.

    On a CPU each takes a core at least, of those that a slot has. A device with a number is the
    only one to be used.
    """
    game, optimisation = config.game, config.optimisation
    packs = game.pack if isinstance(game, Gan) else 1
    whole = optimisation.batch_size // (optimisation.accumulate * packs)
    available = 1 if device.index is not None else torch.cuda.device_count()
    if device.type == "cpu":
        available = available_cores() // slots
    most = max(1, min(config.engine.gpus, available))
    return max(count for count in range(1, most + 1) if whole % count == 0)


class Crew:
    """This process and those that follow it, which live as long as the ``with`` block."""

    def __init__(self, job: Job, size: int) -> None:
        self.size, self._job = size, job
        self._followers: list[Popen[bytes]] = []
        self._store: TCPStore | None = None
        self._group: Several | None = None
        self._roll_call: RollCall | None = None
        self._cuda = False
        self._oom_kills = count_oom_kills()

    def __enter__(self) -> Self:
        return self

    def begin(self, task: Task) -> None:
        """Start the followers; they get ready while this process does."""
        if self.size == 1:
            return
        os.environ["GLOO_SOCKET_IFNAME"] = _LOOPBACK_INTERFACE
        listener = socket.create_server((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        self._store = TCPStore(
            LOOPBACK,
            port,
            self.size,
            is_master=True,
            timeout=timedelta(seconds=START_SECONDS),
            wait_for_workers=False,
            # A store that listens by itself does so on all addresses of the machine.
            master_listen_fd=listener.detach(),
        )
        for place in range(1, self.size):
            variables = _variables(place, self.size, port, task.environment.threads)
            command = [sys.executable, "-m", "worker.follower", task.model_dump_json()]
            self._followers.append(start(command, variables, self._job.path / LOG))
        self._cuda = task.cuda
        self._roll_call = RollCall(self._followers, self._store, self._job.id)

    def join(self, device: torch.device) -> Group:
        """The group, once all are there.

        Raises:
            FollowerLost: when one of them has died, or is not there in time.
        """
        if self._store is None or self._roll_call is None:
            return ALONE
        deadline = time.monotonic() + START_SECONDS
        while not self._store.check([ready(place) for place in range(1, self.size)]):
            self.check()
            if time.monotonic() > deadline:
                detail = "the other processes of the job were not ready in time"
                raise FollowerLost(Loss(code="process-lost", detail=detail))
            time.sleep(_LOOK_SECONDS)
        self._roll_call.expected = self._roll_call.can_hang = True
        self._group = Several.join(self._store, 0, self.size, device)
        # From here on gloo tells at once that another process is gone; GPUs wait for ever.
        self._roll_call.can_hang = self._cuda
        return self._group

    def check(self) -> None:
        """Make sure that all followers live.

        Raises:
            FollowerLost: when one has died.
            MemoryError: when one has run out of memory.
        """
        for follower in self._followers:
            status = follower.poll()
            if status == OUT_OF_MEMORY_STATUS:
                raise MemoryError("a process of the job ran out of memory")
            if status is not None:
                waited = -status if status < 0 else status << 8
                raise FollowerLost(loss_of(self._job.path, waited, self._oom_kills))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # What fails because another process is gone is not what the job has failed of.
            if isinstance(error, RuntimeError):
                self._blame()
        finally:
            self._disband(is_clean=error is None)

    def _blame(self) -> None:
        deadline = time.monotonic() + _BLAME_SECONDS
        while self._followers and time.monotonic() < deadline:
            self.check()
            time.sleep(_LOOK_SECONDS)

    def _disband(self, is_clean: bool) -> None:
        if self._roll_call:
            self._roll_call.end()
        if self._group and is_clean:
            with suppress(RuntimeError):
                self._group.tell(Order.STOP)
        stop(self._followers, _LEAVE_SECONDS if is_clean else 0)
        # A GPU may still wait for one that is gone; it is let go with this process.
        if self._group and (is_clean or not self._cuda):
            self._group.leave()
        self._store = None


def ready(place: int) -> str:
    """The key in the store by which a follower says that it is ready to join."""
    return f"ready/{place}"


def _variables(place: int, size: int, port: int, threads: int) -> dict[str, str]:
    return {
        "RANK": str(place),
        "LOCAL_RANK": str(place),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": _LOOPBACK_INTERFACE,
    }
