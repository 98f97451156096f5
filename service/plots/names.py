"""What the plots are called and which formats they come in."""

from collections.abc import Mapping
from typing import Literal

Name = Literal["losses", "balance", "diversity", "quality", "scores"]
Format = Literal["png", "svg"]

MEDIA_TYPES: Mapping[Format, str] = {"png": "image/png", "svg": "image/svg+xml"}
