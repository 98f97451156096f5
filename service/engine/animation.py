"""Frames to bytes: a strip, animated pictures, and what holds separate items."""

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganmodels.rendering import image
from service.engine.encode import FORMATS, METADATA_KEY, Samples

_IMAGE_DESCRIPTION = 0x010E


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
    images_only: bool = True


def _strip(samples: Samples, pace: Pace) -> bytes:
    """All frames beside each other."""
    return FORMATS["png"].encode(samples, len(samples.items))


def _webp(samples: Samples, pace: Pace) -> bytes:
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = _described(samples)
    times = 0 if pace.endless else 1
    return _save(samples, pace, "WEBP", lossless=True, exact=True, loop=times, exif=exif)


def _gif(samples: Samples, pace: Pace) -> bytes:
    """At most 256 colours a frame; grey images lose nothing, what lets light through gets white."""
    # GIF has no way to say once: it is what a file means that does not say how often.
    times = {"loop": 0} if pace.endless else {}
    return _save(samples, pace, "GIF", flat=True, comment=_described(samples).encode(), **times)


def _apng(samples: Samples, pace: Pace) -> bytes:
    metadata = PngInfo()
    metadata.add_itxt(METADATA_KEY, json.dumps(samples.parameters, sort_keys=True))
    return _save(samples, pace, "PNG", pnginfo=metadata, loop=0 if pace.endless else 1)


def _separate(name: str, samples: Samples, pace: Pace) -> bytes:
    """The same as of samples."""
    return FORMATS[name].encode(samples, 1)


FRAME_FORMATS: Mapping[str, FrameEncoding] = {
    "png": FrameEncoding("image/png", _strip),
    "webp": FrameEncoding("image/webp", _webp),
    "gif": FrameEncoding("image/gif", _gif),
    "apng": FrameEncoding("image/apng", _apng),
    "zip": FrameEncoding("application/zip", partial(_separate, "zip")),
    "npy": FrameEncoding("application/x-npy", partial(_separate, "npy"), images_only=False),
    "json": FrameEncoding("application/json", partial(_separate, "json"), images_only=False),
}


def _described(samples: Samples) -> str:
    return json.dumps({METADATA_KEY: samples.parameters}, sort_keys=True)


def _save(samples: Samples, pace: Pace, format_: str, flat: bool = False, **options: Any) -> bytes:
    frames = [image(item) for item in samples.items]
    first, *others = [_flat(frame) for frame in frames] if flat else frames
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


def _flat(frame: Image.Image) -> Image.Image:
    """What shines through, before white."""
    if frame.mode not in ("LA", "RGBA"):
        return frame
    white = Image.new("RGBA", frame.size, "white")
    return Image.alpha_composite(white, frame.convert("RGBA")).convert("RGB")
