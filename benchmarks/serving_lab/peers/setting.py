"""How a peer is set up; also what its script is told, in a variable of the environment."""

import json
import os
from pathlib import Path
from typing import NamedTuple

VARIABLE = "RINGSIDE_SERVING_PEER"


class Setting(NamedTuple):
    """What users tune.

    ``form`` is one of the peer's own ways to be run; each worker has so many threads of PyTorch.
    """

    form: str
    batch: int
    wait_ms: float
    workers: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.form}, batch {self.batch}, wait {self.wait_ms:g} ms, "
            f"workers {self.workers} of {self.threads} threads"
        )


class Task(NamedTuple):
    """What a peer serves: a checkpoint's generator, as its users or as we would prepare it."""

    checkpoint: str
    is_prepared: bool
    port: int
    setting: Setting

    def variables(self) -> dict[str, str]:
        """For the environment of the peer's processes."""
        return {VARIABLE: json.dumps({**self._asdict(), "setting": self.setting._asdict()})}

    @property
    def path(self) -> Path:
        """The checkpoint's directory."""
        return Path(self.checkpoint)


def own_task() -> Task:
    """What this process was told."""
    told = json.loads(os.environ[VARIABLE])
    return Task(**{**told, "setting": Setting(**told["setting"])})
