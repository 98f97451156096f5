"""Health: is the process alive, can it do its work."""

import os
from typing import Any

from fastapi import APIRouter, Request, Response

from service.deps import DispatcherDep, StoreDep
from service.telemetry import exposition
from worker.errors import Unavailable

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(response: Response, dispatcher: DispatcherDep, store: StoreDep) -> dict[str, Any]:
    """Whether jobs can be accepted (503 if not), which needs storage that can be written.

    Without Redis it is degraded: all works, but jobs wait until Redis is back. A missing worker
    is no failure either: jobs wait for one.
    """
    workers, storage = _workers(dispatcher), os.access(store.home, os.W_OK)
    redis = workers is not None
    if not storage:
        response.status_code = 503
    return {
        "status": "unavailable" if not storage else "ready" if redis else "degraded",
        "checks": {"redis": redis, "storage": storage},
        "workers": workers,
    }


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, store: StoreDep) -> Response:
    """Measurements for Prometheus. Looking at them changes nothing."""
    text = exposition(request.app.state.registry, store)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _workers(dispatcher: DispatcherDep) -> int | None:
    """How many workers listen; None while Redis is away."""
    try:
        return dispatcher.workers()
    except Unavailable:
        return None
