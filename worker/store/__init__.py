"""The artifact store: datasets, jobs, checkpoints and models as directories under one home.

The directories are the truth; nothing here needs Redis.
"""

from pathlib import Path

from worker.store.datasets import Datasets
from worker.store.idempotency import IdempotencyKeys
from worker.store.jobs import Jobs
from worker.store.models import Models


class Store:
    """All that Ringside keeps, under ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.datasets = Datasets(self.home / "datasets")
        self.jobs = Jobs(self.home / "jobs")
        self.models = Models(self.home / "models")
        self.idempotency = IdempotencyKeys(self.home / "idempotency")


__all__ = ["Store"]
