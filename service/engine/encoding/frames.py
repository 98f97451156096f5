"""Frames: a strip of them, animated pictures, and what holds each by itself.

To add a format: write its encoder and add its line to the table at the end.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganmodels.rendering import image
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.metadata import METADATA_KEY, as_exif, as_text
from service.engine.encoding.samples import Look, Samples

# The quickest, which animations of many frames need most.
_WEBP_METHOD = 0
# 16 bits of hundredths of a second.
_GIF_MS = 655_350


class Pace(NamedTuple):
    """How frames follow each other; ``endless`` ones begin again after the last.

    GIF holds hundredths of a second, so durations are rounded down to them.
    """

    duration_ms: int
    endless: bool


class FrameEncoding(NamedTuple):
    """A format for frames, which last ``most_ms`` in all where there is a limit.

    ``images_only`` does not fit points.
    """

    media_type: str
    encode: Callable[[Samples, Pace], bytes]
    images_only: bool = False
    keeps_latents: bool = False
    most_ms: int | None = None


def _strip(samples: Samples, pace: Pace) -> bytes:
    """All frames beside each other."""
    return FORMATS["png"].encode(samples, Look(len(samples.items)))


def _webp(samples: Samples, pace: Pace) -> bytes:
    """Lossless."""
    return _animated(
        _images(samples),
        pace,
        "WEBP",
        lossless=True,
        exact=True,
        method=_WEBP_METHOD,
        loop=0 if pace.endless else 1,
        exif=as_exif(samples.parameters),
    )


def _gif(samples: Samples, pace: Pace) -> bytes:
    """The same 256 colours for all frames, so grey images lose nothing; alpha is put on white."""
    # GIF cannot say once: a file that does not say how often means it.
    times = {"loop": 0} if pace.endless else {}
    comment = as_text({METADATA_KEY: samples.parameters}).encode()
    frames = _with_palette([_on_white(frame) for frame in _images(samples)])
    # Optimised, frames of few grey levels come out black from Pillow 12.
    return _animated(frames, pace, "GIF", optimize=False, comment=comment, **times)


def _apng(samples: Samples, pace: Pace) -> bytes:
    """Lossless."""
    metadata = PngInfo()
    metadata.add_itxt(METADATA_KEY, as_text(samples.parameters))
    return _animated(_images(samples), pace, "PNG", pnginfo=metadata, loop=0 if pace.endless else 1)


def _images(samples: Samples) -> list[Image.Image]:
    return [image(item) for item in samples.items]


def _animated(frames: Sequence[Image.Image], pace: Pace, format_: str, **options: Any) -> bytes:
    first, *others = frames
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


def _with_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """Colour frames in the 256 colours that suit all of them; grey ones as they are.

    A palette for each frame would take thirty times as long, and colours would flicker.
    """
    if frames[0].mode == "L":
        return frames
    together = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames]))
    colours = together.quantize(256, method=Image.Quantize.FASTOCTREE)
    return [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]


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
    "gif": FrameEncoding("image/gif", _gif, images_only=True, most_ms=_GIF_MS),
    "apng": FrameEncoding("image/apng", _apng, images_only=True),
    "zip": _separate("zip"),
    "npy": _separate("npy"),
    "npz": _separate("npz"),
    "json": _separate("json"),
}
