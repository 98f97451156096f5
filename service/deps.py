"""What routes ask for: the parts of the application, and the things named in a path."""

from typing import Annotated, cast

from fastapi import Depends, Request

from service.engine.engine import Engine
from service.problems import Problem
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store
from worker.store.jobs import Job


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def _dispatcher(request: Request) -> Dispatcher:
    return cast(Dispatcher, request.app.state.dispatcher)


def _engine(request: Request) -> Engine:
    return cast(Engine, request.app.state.engine)


StoreDep = Annotated[Store, Depends(_store)]
SettingsDep = Annotated[Settings, Depends(_settings)]
DispatcherDep = Annotated[Dispatcher, Depends(_dispatcher)]
EngineDep = Annotated[Engine, Depends(_engine)]


def _job(job_id: str, store: StoreDep) -> Job:
    return store.jobs.get(job_id)


JobDep = Annotated[Job, Depends(_job)]


def require_queue(dispatcher: Dispatcher) -> None:
    """Refuse before anything is changed.

    Raises:
        Problem: when Redis does not answer.
    """
    if not dispatcher.ping():
        raise Problem("queue-unavailable", "Redis does not answer; try again later")
