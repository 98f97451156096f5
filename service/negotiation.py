"""Which format an answer has: ``format=`` first, then the Accept header."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.problems import Problem, field_problem

_MAX_RANGES = 50


def choose_format(
    wanted: str | None, accept: str | None, offered: Mapping[str, str], place: str = "format"
) -> str:
    """The key of ``offered`` (name to media type) that suits best; the first is the default.

    ``place``: the parameter, or pointer into the body, where ``wanted`` stood.

    Raises:
        Problem: when nothing suits; the offer is listed.
    """
    names = sorted(offered)
    if wanted is not None:
        if wanted not in offered:
            detail = f"format must be one of {', '.join(names)} here"
            raise field_problem("not-acceptable", place, detail, supported=names)
        return wanted
    ranges = _ranges(accept or "*/*")
    preferences = {name: _preference(media_type, ranges) for name, media_type in offered.items()}
    chosen = max(preferences, key=lambda name: preferences[name])
    if preferences[chosen].weight > 0:
        return chosen
    raise Problem(
        "not-acceptable",
        f"Accept names no format on offer; ask for one of {', '.join(offered.values())}",
        supported=list(offered.values()),
    )


class _Preference(NamedTuple):
    """How welcome a media type is; ``earliness`` decides between equal weights."""

    weight: float
    earliness: int


def _preference(media_type: str, ranges: Sequence[tuple[str, float]]) -> _Preference:
    """By the most exact range that matches, as RFC 9110 says: ``*/*`` is the least."""
    kind = media_type.partition("/")[0]
    for exact in (media_type, f"{kind}/*", "*/*"):
        for place, (media_range, weight) in enumerate(ranges):
            if media_range == exact:
                return _Preference(weight, -place)
    return _Preference(0.0, 0)


def _ranges(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(",")[:_MAX_RANGES]:
        media_range, *parameters = [piece.strip().lower() for piece in part.split(";")]
        weights = [p.removeprefix("q=") for p in parameters if p.startswith("q=")]
        ranges.append((media_range, _weight(weights[0]) if weights else 1.0))
    return ranges


def _weight(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 0.0
