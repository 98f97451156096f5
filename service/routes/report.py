"""``GET /jobs/{id}/report``: all about a training in one file."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from service.deps import JobDep, StoreDep
from service.report.page import render_report

router = APIRouter(prefix="/jobs", tags=["plots"])

# The page holds all it shows: it runs nothing and loads nothing.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)


@router.get("/{job_id}/report", response_class=HTMLResponse)
def get_report(job: JobDep, store: StoreDep) -> HTMLResponse:
    """One HTML file to keep, send or print: verdict, plots, evaluations, checkpoints, history.

    It needs no other file and no host, and says how to train the same again.
    """
    return HTMLResponse(render_report(job, store), headers={"Content-Security-Policy": _POLICY})
