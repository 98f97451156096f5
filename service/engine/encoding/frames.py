"""Frames: a strip of them, animated pictures, and what holds each by itself.

To add a format: write its encoder and add its line to the table at the end.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganmodels.rendering import image
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.metadata import METADATA_KEY, as_exif, as_text
from service.engine.encoding.samples import Look, Samples

# The quickest, which animations of many frames need most.
_WEBP_METHOD = 0


class Pace(NamedTuple):
    """How frames follow each other; ``endless`` ones begin again after the last.

    GIF holds hundredths of a second, so durations are rounded down to them.
    """

    duration_ms: int
    endless: bool


class FrameEncoding(NamedTuple):
    """A format for frames. ``images_only`` does not fit points."""

    media_type: str
    encode: Callable[[Samples, Pace], bytes]
    images_only: bool = False
    keeps_latents: bool = False


def _strip(samples: Samples, pace: Pace) -> bytes:
    """All frames beside each other."""
    return FORMATS["png"].encode(samples, Look(len(samples.items)))


def _webp(samples: Samples, pace: Pace) -> bytes:
    """Lossless."""
    return _animated(
        samples,
        pace,
        "WEBP",
        lossless=True,
        exact=True,
        method=_WEBP_METHOD,
        loop=0 if pace.endless else 1,
        exif=as_exif(samples.parameters),
    )


def _gif(samples: Samples, pace: Pace) -> bytes:
    """At most 256 colours a frame, so grey images lose nothing. Where there is alpha, on white."""
    # GIF cannot say once: a file that does not say how often means it.
    times = {"loop": 0} if pace.endless else {}
    comment = as_text({METADATA_KEY: samples.parameters}).encode()
    return _animated(samples, pace, "GIF", opaque=True, comment=comment, **times)


def _apng(samples: Samples, pace: Pace) -> bytes:
    """Lossless."""
    metadata = PngInfo()
    metadata.add_itxt(METADATA_KEY, as_text(samples.parameters))
    return _animated(samples, pace, "PNG", pnginfo=metadata, loop=0 if pace.endless else 1)


def _animated(
    samples: Samples, pace: Pace, format_: str, opaque: bool = False, **options: Any
) -> bytes:
    frames = [image(item) for item in samples.items]
    first, *others = [_on_white(frame) for frame in frames] if opaque else frames
    buffer = io.BytesIO()
    first.save(
        buffer,
        format_,
        save_all=True,
        append_images=others,
        duration=pace.duration_ms,
        **options,
    )
    return buffer.getvalue()


def _on_white(frame: Image.Image) -> Image.Image:
    if frame.mode not in ("LA", "RGBA"):
        return frame
    white = Image.new("RGBA", frame.size, "white")
    return Image.alpha_composite(white, frame.convert("RGBA")).convert("RGB")


def _separate(name: str) -> FrameEncoding:
    """A format of samples, as it is."""
    encoding = FORMATS[name]
    return FrameEncoding(
        encoding.media_type,
        lambda samples, pace: encoding.encode(samples, Look()),
        encoding.images_only,
        encoding.keeps_latents,
    )


FRAME_FORMATS: Mapping[str, FrameEncoding] = {
    "png": FrameEncoding("image/png", _strip, images_only=True),
    "webp": FrameEncoding("image/webp", _webp, images_only=True),
    "gif": FrameEncoding("image/gif", _gif, images_only=True),
    "apng": FrameEncoding("image/apng", _apng, images_only=True),
    "zip": _separate("zip"),
    "npy": _separate("npy"),
    "npz": _separate("npz"),
    "json": _separate("json"),
}
