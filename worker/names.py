"""What people may call things, and the file names made from it."""

import hashlib
import re
from typing import Annotated

from pydantic import StringConstraints

NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$"
RESERVED_PREFIXES = ("job_", "ds_")

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


def is_name(text: str) -> bool:
    """1 to 64 of a-z, 0-9, - and _, beginning and ending with a letter or digit, no id."""
    return bool(re.fullmatch(NAME_PATTERN[1:-1], text)) and not text.startswith(RESERVED_PREFIXES)


def is_id(prefix: str, text: str) -> bool:
    """Whether this is an id made by us, and so safe in a path."""
    return bool(re.fullmatch(rf"{prefix}_[0-9a-z]{{26,32}}", text))


def file_stem(text: str) -> str:
    """A file name for any text: no path is made of what a user wrote."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]
