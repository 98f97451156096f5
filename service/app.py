"""The application: routes, the guard before them, and what they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.staticfiles import StaticFiles

from service import problems
from service.engine.engine import Engine
from service.guard import Guard
from service.routes import datasets, events, health, jobs, models, recipes, sample, score, train
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store

ROUTERS: tuple[APIRouter, ...] = (
    datasets.router, train.router, events.router, jobs.router, models.router, sample.router,
    score.router, recipes.router, health.router,
)
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def create_app(settings: Settings, redis_url: str) -> FastAPI:
    """The application over one home and one Redis; nothing happens before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settings.home.mkdir(parents=True, exist_ok=True)
        app.state.settings = settings
        app.state.store = Store(settings.home)
        app.state.dispatcher = Dispatcher(redis_url)
        app.state.engine = Engine(settings)
        yield
        app.state.engine.close()

    app = FastAPI(
        title="Ringside",
        version=version("ringside"),
        description="Trains generative adversarial networks and serves them.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    _add_root(app)
    _add_docs(app)
    app.add_middleware(Guard, settings=settings)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name


def _add_root(app: FastAPI) -> None:
    @app.get("/", tags=["reference"])
    async def discover() -> dict[str, object]:
        """Where everything is."""
        paths = ("/datasets", "/train", "/jobs", "/models", "/sample", "/score", "/recipes")
        return {
            "name": "ringside",
            "version": app.version,
            "links": {path.strip("/"): path for path in (*paths, "/docs", "/healthz", "/readyz")},
        }


def _add_docs(app: FastAPI) -> None:
    """Interactive documentation from files of our own: it works without any outside host."""
    assets = Path(fastapi_offline.__file__).parent / "static"
    app.mount("/docs/assets", StaticFiles(directory=assets), "docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Ringside",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
        )
        page.headers["Content-Security-Policy"] = _DOCS_POLICY
        return page
