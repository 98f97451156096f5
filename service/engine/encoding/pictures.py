"""Samples in one picture: PNG, WebP and JPEG, each with the parameters inside."""

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image

from ganmodels.rendering import image
from service.engine.encoding.layout import Pixels, fitted, picture
from service.engine.encoding.metadata import (
    METADATA_KEY,
    MOST_JPEG_EXIF_BYTES,
    as_exif,
    as_text,
    of_one,
)
from service.engine.encoding.png import encode_png
from service.engine.encoding.samples import Look, Samples

JPEG_QUALITY = 90
# The fastest; the default takes thirty times as long without loss and saves a fifth of the bytes.
_WEBP_METHOD = 0


def png(samples: Samples, look: Look) -> Iterator[bytes]:
    """Lossless."""
    text = as_text(samples.parameters)
    yield encode_png(picture(samples, look), METADATA_KEY, text, is_alone=True)


def single_png(item: Pixels, parameters: dict[str, Any], index: int, look: Look) -> bytes:
    """One of several images, with the parameters that make it alone."""
    return encode_png(fitted(item, look), METADATA_KEY, as_text(of_one(parameters, index)))


def webp(samples: Samples, look: Look) -> Iterator[bytes]:
    """Lossless, or of a quality where one is asked for."""
    drawn = image(picture(samples, look))
    chosen: dict[str, Any] = {"lossless": True, "exact": True}
    if look.quality is not None:
        chosen = {"quality": look.quality}
    exif = as_exif(samples.parameters)
    yield _save(drawn, "WEBP", method=_WEBP_METHOD, exif=exif, **chosen)


def jpeg(samples: Samples, look: Look) -> Iterator[bytes]:
    """Of a quality. Where there is alpha, on white; parameters that are too long are left out."""
    drawn = image(picture(samples, look))
    if drawn.mode in ("LA", "RGBA"):
        white = Image.new("RGBA", drawn.size, "white")
        drawn = Image.alpha_composite(white, drawn.convert("RGBA")).convert("RGB")
    exif = as_exif(samples.parameters)
    carried = {"exif": exif} if len(exif) <= MOST_JPEG_EXIF_BYTES else {}
    yield _save(drawn, "JPEG", quality=look.quality or JPEG_QUALITY, **carried)


def _save(drawn: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    drawn.save(buffer, format_, **options)
    return buffer.getvalue()
