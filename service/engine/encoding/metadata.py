"""The parameters that made samples, inside the files that show them, and read out of them again."""

import io
import json
from typing import Any

from PIL import Image

METADATA_KEY = "ringside"
_IMAGE_DESCRIPTION = 0x010E
# A JPEG holds EXIF in one segment, whose length, its own two bytes with it, has 16 bits.
MOST_JPEG_EXIF_BYTES = 0xFFFF - 2
_ENCODER = json.JSONEncoder(sort_keys=True)


def as_text(parameters: dict[str, Any]) -> str:
    """Parameters as ASCII; equal ones give equal text."""
    return _ENCODER.encode(parameters)


def as_exif(parameters: dict[str, Any]) -> bytes:
    """Parameters as the description of an image in EXIF, where WebP and JPEG carry them."""
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = as_text({METADATA_KEY: parameters})
    return exif.tobytes()


def read_parameters(picture: bytes) -> dict[str, Any] | None:
    """What made a PNG, WebP or JPEG of ours; None where the file does not say.

    Raises:
        PIL.UnidentifiedImageError: when these bytes are no image.
    """
    with Image.open(io.BytesIO(picture), formats=("PNG", "WEBP", "JPEG")) as opened:
        if (text := opened.info.get(METADATA_KEY)) is not None:
            return _object(text)
        description = opened.getexif().get(_IMAGE_DESCRIPTION, "")
    return (_object(description) or {}).get(METADATA_KEY)


def _object(text: str) -> dict[str, Any] | None:
    """The object that a text holds in JSON, if it does: anybody may describe an image."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def of_one(parameters: dict[str, Any], index: int) -> dict[str, Any]:
    """The parameters that make one of the samples alone."""
    place, labels = parameters["offset"] + index, parameters["labels"]
    return {
        **parameters,
        "n": 1,
        "offset": place,
        "labels": labels and [labels[place % len(labels)]],
    }
