"""Rows of metrics, few enough to draw or to send: read one after the other, never all held."""

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Thinned(NamedTuple):
    """Some of ``total`` rows, and the names that any of all the rows knows, as they came."""

    rows: tuple[Row, ...]
    total: int
    names: tuple[str, ...]


def thin(rows: Iterable[Row], most: int) -> Thinned:
    """One of each stretch of rows, evenly, and the last; never more than ``most`` (2 at least).

    Of a stretch the row that says most is taken, of several the latest: where the referee reads
    now and then only, its readings are not left out by chance. All rows where there are no more.
    """
    kept: list[Row] = []
    names: dict[str, None] = {}
    stretch, count, last = 1, 0, None
    for row in rows:
        if count == stretch * most:
            kept, stretch = _in_pairs(kept), 2 * stretch
        place = count // stretch
        if place < len(kept):
            kept[place] = _fuller(kept[place], row)
        else:
            kept.append(row)
        names |= dict.fromkeys(row)
        count, last = count + 1, row
    return Thinned(tuple(_ending_with(last, kept, most)), count, tuple(names))


def _in_pairs(rows: list[Row]) -> list[Row]:
    pairs = zip_longest(rows[::2], rows[1::2])
    return [one if other is None else _fuller(one, other) for one, other in pairs]


def _fuller(earlier: Row, later: Row) -> Row:
    return later if len(later) >= len(earlier) else earlier


def _ending_with(last: Row | None, kept: list[Row], most: int) -> list[Row]:
    if last is None or kept[-1] is last:
        return kept
    return [*kept[: most - 1], last]
