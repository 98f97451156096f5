"""Where everything is, and documentation that works without any outside host."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

router = APIRouter(tags=["reference"])

ASSETS = Path(fastapi_offline.__file__).parent / "static"
_PARTS = (
    "datasets",
    "train",
    "jobs",
    "models",
    "sample",
    "latents",
    "interpolate",
    "score",
    "features",
    "translate",
    "recipes",
)
_PAGES = ("docs", "openapi.json", "healthz", "readyz", "metrics")
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@router.get("/")
async def discover(request: Request) -> dict[str, object]:
    """Where everything is."""
    links = {name: f"/{name}" for name in (*_PARTS, *_PAGES)}
    return {"name": "ringside", "version": request.app.version, "links": links}


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Interactive documentation, from files of our own."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Ringside",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon.png",
    )
    page.headers["Content-Security-Policy"] = _POLICY
    return page
