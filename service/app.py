"""The application: routes, what surrounds them, and what they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from threading import BoundedSemaphore

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan, Receive, Scope, Send

from service import refusals
from service.engine.engine import Engine
from service.guard import Guard
from service.methods import HeadAsGet
from service.patterns import Patterns
from service.problems import DOCUMENTED
from service.routes import (
    datasets,
    docs,
    evaluations,
    events,
    features,
    health,
    interpolate,
    jobs,
    latents,
    models,
    plane,
    plots,
    recipes,
    report,
    sample,
    score,
    train,
    translate,
)
from service.shortcut import Shortcut
from service.strict import refuse_undeclared
from service.telemetry import JobsCollector, RequestTimes, Telemetry
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store
from worker.store.sweep import sweep

ROUTERS: tuple[APIRouter, ...] = (
    datasets.router,
    train.router,
    events.router,
    jobs.router,
    plots.router,
    report.router,
    evaluations.router,
    models.router,
    sample.router,
    latents.router,
    plane.router,
    interpolate.router,
    score.router,
    features.router,
    translate.router,
    recipes.router,
    health.router,
    docs.router,
)


class Application(FastAPI):
    """Routes and what surrounds them, behind the short way to a sample."""

    entrance: Shortcut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        await self.entrance(scope, receive, send)

    async def long_way(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request for which there is no short way."""
        await super().__call__(scope, receive, send)


def create_app(settings: Settings, redis_url: str) -> FastAPI:
    """The application over one home and one Redis; nothing happens before it starts."""
    store, registry = Store(settings.home), CollectorRegistry()
    app = Application(
        title="Ringside",
        version=version("ringside"),
        description="Trains generative adversarial networks and serves them.",
        lifespan=_lifespan(settings, redis_url, store, registry),
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_undeclared)],
        responses={"default": DOCUMENTED},
        generate_unique_id_function=_operation_id,
    )
    _add_routes(app)
    registry.register(JobsCollector(store))
    times, patterns = RequestTimes(registry), Patterns()
    # The last one added is the first to see a request.
    app.add_middleware(HeadAsGet)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Telemetry, times=times)
    app.state.patterns = patterns
    app.entrance = Shortcut(app.long_way, patterns, lambda: app.state.engine, times)
    return app


def _lifespan(
    settings: Settings, redis_url: str, store: Store, registry: CollectorRegistry
) -> Lifespan[FastAPI]:
    """From start to end: what the routes share is made, and its threads are waited for."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settings.home.mkdir(parents=True, exist_ok=True)
        # What processes that were killed left half done; with many jobs this takes its time.
        sweeping = asyncio.create_task(asyncio.to_thread(sweep, settings.home))
        app.state.settings = settings
        app.state.store = store
        app.state.registry = registry
        app.state.dispatcher = Dispatcher(redis_url)
        app.state.engine = Engine(settings, registry)
        app.state.imports = BoundedSemaphore(datasets.MAX_IMPORTS)
        app.state.streams = set()
        app.state.stopping = False
        yield
        app.state.engine.close()
        await sweeping

    return lifespan


def _add_routes(app: FastAPI) -> None:
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/docs/assets", StaticFiles(directory=docs.ASSETS), "docs-assets")
    routes = [route for router in ROUTERS for route in router.routes]
    refusals.install(app, [route for route in routes if isinstance(route, APIRoute)])


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}"
