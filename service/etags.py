"""Whether a client has the answer already."""


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the header names this ETag; the comparison is weak, as RFC 9110 says."""
    if if_none_match is None:
        return False
    listed = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in listed or etag in listed
