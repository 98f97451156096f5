"""The artifact store: datasets, jobs, checkpoints, evaluations and models as directories.

All lies under one home. The directories are the truth; nothing here needs Redis.
"""

from pathlib import Path

from worker.store.datasets import Datasets
from worker.store.evaluations import Evaluations
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
        self.evaluations = Evaluations(self.home)
        self.idempotency = IdempotencyKeys(self.home / "idempotency")


__all__ = ["Store"]
