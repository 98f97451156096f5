"""Health: is the process alive, can it do its work."""

import os
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest

from service.deps import DispatcherDep, StoreDep
from worker.errors import Unavailable

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(response: Response, dispatcher: DispatcherDep, store: StoreDep) -> dict[str, Any]:
    """Whether jobs can be accepted (503 if not); sampling works without Redis.

    A missing worker is no failure: jobs wait for one.
    """
    checks = {"redis": dispatcher.ping(), "storage": os.access(store.home, os.W_OK)}
    if not all(checks.values()):
        response.status_code = 503
    return {
        "status": "ready" if all(checks.values()) else "unavailable",
        "checks": checks,
        "workers": _workers(dispatcher),
    }


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Measurements for Prometheus. Looking at them changes nothing."""
    text = generate_latest(request.app.state.registry)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _workers(dispatcher: DispatcherDep) -> int | None:
    try:
        return dispatcher.workers()
    except Unavailable:
        return None
