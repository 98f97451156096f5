"""``/jobs/{id}/report``."""

from fastapi import APIRouter

router = APIRouter(prefix="/jobs", tags=["plots"])
