"""Pages of lists: opaque cursors over ids."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from service.problems import parameter_problem
from service.schemas import Listing

Limit = Annotated[int, Query(ge=1, le=200, description="entries per page")]
Cursor = Annotated[str | None, Query(max_length=200, description="next_cursor of a page before")]


def page(ids: Sequence[str], limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    """The ids of one page in the given order, and the cursor of the next page."""
    start = 0
    if cursor is not None:
        last = _decode(cursor)
        if last not in ids:
            raise parameter_problem("cursor-mismatch", "cursor", _STALE)
        start = ids.index(last) + 1
    chosen = list(ids[start : start + limit])
    more = start + limit < len(ids)
    return chosen, base64.urlsafe_b64encode(chosen[-1].encode()).decode() if more else None


def listing(data: list[Any], next_cursor: str | None = None) -> Listing:
    """A list body."""
    return Listing(data=data, has_more=next_cursor is not None, next_cursor=next_cursor)


def _decode(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, ValueError):
        raise parameter_problem("cursor-mismatch", "cursor", _STALE) from None


_STALE = "this cursor belongs to no entry of the list; start again without it"
