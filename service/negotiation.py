"""Which format an answer has: ``format=`` first, then the Accept header."""

from collections.abc import Mapping, Sequence

from service.problems import Problem, parameter_problem


def choose_format(
    wanted: str | None, accept: str | None, offered: Mapping[str, str]
) -> str:
    """The key of ``offered`` (name to media type) that suits best; the first is the default.

    Raises:
        Problem: when nothing suits; the offer is listed.
    """
    names = sorted(offered)
    if wanted is not None:
        if wanted not in offered:
            detail = f"format must be one of {', '.join(names)} here"
            raise parameter_problem("not-acceptable", "format", detail, supported=names)
        return wanted
    for media_range in _by_preference(accept or "*/*"):
        for name, media_type in offered.items():
            if _matches(media_range, media_type):
                return name
    raise Problem(
        "not-acceptable",
        f"Accept names no format on offer; ask for one of {', '.join(offered.values())}",
        supported=list(offered.values()),
    )


def _by_preference(accept: str) -> Sequence[str]:
    """Media ranges by falling q, those with q=0 left out; at equal q as written."""
    weighted = []
    for part in accept.split(",")[:50]:
        media_range, *parameters = [piece.strip().lower() for piece in part.split(";")]
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                weight = _weight(value)
        if weight > 0:
            weighted.append((weight, media_range))
    return [media_range for _, media_range in sorted(weighted, key=lambda pair: -pair[0])]


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def _matches(media_range: str, media_type: str) -> bool:
    kind, _, subtype = media_range.partition("/")
    return media_range in ("*/*", media_type) or (
        subtype == "*" and media_type.startswith(f"{kind}/")
    )
