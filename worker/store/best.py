"""The best checkpoint of a job, as far as its evaluations tell: ``jobs/<id>/best.json``."""

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.store import disk
from worker.store.files import replace_json
from worker.store.job import Job

_FILE = "best.json"


class Best(BaseModel):
    """Which checkpoint it is, by what, and how sure that is.

    ``among`` counts the checkpoints that were compared, those since pruned included, unless one
    of those would be the best.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    digest: str
    measure: str
    value: float
    standard_error: float | None
    confidence: str
    among: int


def read_best(job: Job) -> Best | None:
    """The best checkpoint known; None before there is one."""
    try:
        return Best.model_validate_json((job.path / _FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        # What is damaged is found anew at the end of the next evaluation.
        return None


def write_best(job: Job, best: Best | None) -> None:
    """Replace it, inside the job's lock."""
    if best is None:
        disk.remove_file(job.path / _FILE)
    else:
        replace_json(job.path / _FILE, best.model_dump(mode="json"))
