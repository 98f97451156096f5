"""Health: is the process alive, can it do its work."""

import os
from typing import Any

from fastapi import APIRouter, Response

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


def _workers(dispatcher: DispatcherDep) -> int | None:
    try:
        return dispatcher.workers()
    except Unavailable:
        return None
