"""Jobs on a temporary store, trained in this process."""

import threading
from pathlib import Path
from typing import Any

from ganmodels.config import TrainConfig
from ganmodels.spaces import ImageSpace
from tests.ganmodels.builders import config_for
from worker.jobs import train_job
from worker.settings import Settings
from worker.store import Store
from worker.store.job import Job
from worker.store.records import JobRecord

SCHEDULE = {"steps": 8, "metrics_every": 2, "previews_every": 4, "checkpoints_every": 4}


def settings_for(home: Path) -> Settings:
    return Settings(home=home, train_threads=1)


def make_job(store: Store, recipe: str = "cgan", model: str | None = None, **changes: Any) -> Job:
    """A queued job on digits (points: on ring) with networks of a few channels."""
    dataset = store.datasets.get("ring" if recipe == "points" else "digits")
    space = dataset.manifest.space
    if isinstance(space, ImageSpace):
        # Automatic precision is chosen by timing; equal runs are compared here.
        changes.setdefault("optimisation", {"precision": "float32"})
    schedule = {**SCHEDULE, **changes.pop("schedule", {})}
    config = config_for(recipe, space, schedule=schedule, **changes)
    named = {"dataset": dataset.manifest.id}
    if config.source:
        named["source"] = {"dataset": dataset.manifest.id, "space": space}
    config = TrainConfig.model_validate({**config.model_dump(), **named}, strict=False)
    job = store.jobs.create(config, JobRecord(recipe=recipe, model=model))
    if model:
        store.models.add_job(model, job.id)
    return job


def train(job: Job, home: Path, interrupted: threading.Event | None = None) -> None:
    train_job(settings_for(home), job, interrupted or threading.Event())
