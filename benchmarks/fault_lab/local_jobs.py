"""Jobs in a store of one's own, trained by forked processes without queue or API.

The parent imports torch and never computes with it: a fork after that would hang.
"""

import os
import threading
import traceback
from collections.abc import Callable
from typing import Any

from ganmodels.config import TrainConfig
from ganmodels.merging import settings
from worker.jobs import train_job
from worker.settings import Settings
from worker.store import Store
from worker.store.job import Job
from worker.store.records import JobRecord


def new_job(store: Store, body: dict[str, Any]) -> Job:
    """A queued job of a request as ``POST /train`` takes it, recipe included."""
    dataset = store.datasets.get(body["dataset"])
    changes = {key: value for key, value in body.items() if key not in ("dataset", "recipe")}
    resolved = {
        **settings(body["recipe"], changes, len(dataset.training_indices)),
        "dataset": dataset.manifest.id,
        "space": dataset.manifest.space,
    }
    config = TrainConfig.model_validate(resolved, strict=False)
    return store.jobs.create(config, JobRecord(recipe=body["recipe"]))


def train_here(store: Store, job: Job) -> None:
    """Train a job in this process, as a worker does."""
    chosen = Settings(home=store.home, train_threads=1, device="cpu")
    # Locks must not come through a fork, so the job is looked up again.
    train_job(chosen, Store(store.home).jobs.get(job.id), threading.Event())


def fork(work: Callable[[], None]) -> int:
    """A child that does this and ends, with status 1 if it could not: its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def succeeded(child: int) -> bool:
    """Wait for a child: whether its work was done."""
    return os.waitpid(child, 0)[1] == 0
