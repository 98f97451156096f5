"""Pages of the list of jobs: opaque cursors over ids, which sort by time."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from service.problems import parameter_problem
from service.schemas import Listing
from worker.names import is_id

Limit = Annotated[int, Query(ge=1, le=200, description="entries per page")]
Cursor = Annotated[str | None, Query(max_length=200, description="next_cursor of a page before")]


def page(ids: Sequence[str], limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    """Of ids, newest first, those of one page, and the cursor of the next page."""
    if cursor is not None:
        # Compared, not looked up: the job may have left the list since.
        last = _decode(cursor)
        ids = [job_id for job_id in ids if job_id < last]
    chosen, more = list(ids[:limit]), limit < len(ids)
    return chosen, base64.urlsafe_b64encode(chosen[-1].encode()).decode() if more else None


def listing(data: list[Any], next_cursor: str | None = None) -> Listing:
    """A list body."""
    return Listing(data=data, has_more=next_cursor is not None, next_cursor=next_cursor)


def _decode(cursor: str) -> str:
    try:
        last = base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, ValueError):
        last = ""
    if not is_id("job", last):
        raise parameter_problem(
            "cursor-mismatch", "cursor", "this cursor is of another list; start again without it"
        )
    return last
