"""What routes ask for: the parts of the application, and the things named in a path."""

from contextlib import suppress
from threading import BoundedSemaphore
from typing import Annotated, NamedTuple, cast

from fastapi import Depends, Query, Request

from ganmodels.config import TrainConfig
from service.engine.engine import Engine
from worker.errors import Unavailable
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store
from worker.store.job import Job
from worker.store.references import Resolved, resolve


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def _dispatcher(request: Request) -> Dispatcher:
    return cast(Dispatcher, request.app.state.dispatcher)


def _engine(request: Request) -> Engine:
    return cast(Engine, request.app.state.engine)


def _imports(request: Request) -> BoundedSemaphore:
    return cast(BoundedSemaphore, request.app.state.imports)


StoreDep = Annotated[Store, Depends(_store)]
SettingsDep = Annotated[Settings, Depends(_settings)]
DispatcherDep = Annotated[Dispatcher, Depends(_dispatcher)]
EngineDep = Annotated[Engine, Depends(_engine)]
ImportsDep = Annotated[BoundedSemaphore, Depends(_imports)]


def _job(job_id: str, store: StoreDep) -> Job:
    return store.jobs.get(job_id)


JobDep = Annotated[Job, Depends(_job)]


class ChosenModel(NamedTuple):
    """The checkpoint that a reference means now, and how it was trained."""

    resolved: Resolved
    config: TrainConfig


def choose_model(store: Store, reference: str) -> ChosenModel:
    """Look a model up. This reads files: not to be called in the event loop.

    Raises:
        NotFound: when the reference means nothing, or nothing yet.
    """
    resolved = resolve(store, reference)
    return ChosenModel(resolved, resolved.checkpoint.config())


ModelReference = Annotated[
    str,
    Query(max_length=200, description="name, name:version, name@alias, job id or job:step"),
]


def _model(model: ModelReference, store: StoreDep) -> ChosenModel:
    return choose_model(store, model)


ModelDep = Annotated[ChosenModel, Depends(_model)]


def enqueue(dispatcher: Dispatcher, job: Job) -> None:
    """Hand an accepted job to the workers.

    Where Redis is away the job stays accepted, with a warning in its history: it is on disk,
    where it is found and queued later.
    """
    try:
        dispatcher.enqueue(job)
    except Unavailable:
        # The job was accepted; a disk that is full by now makes no difference to that.
        with suppress(OSError):
            job.events.append("job.warning", {"code": "queue-unavailable"})
