"""The table of formats. To add one: write its encoder and add its line here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import isal
import PIL

from service.engine.encoding.arrays import npy, npz, points_csv, stream_array
from service.engine.encoding.layout import Pixels
from service.engine.encoding.parts import (
    BOUNDARY,
    archive,
    as_json,
    multipart,
    stream_archive,
    stream_multipart,
)
from service.engine.encoding.pictures import jpeg, png, webp
from service.engine.encoding.samples import Look, Samples

# Other versions of the libraries may write other bytes for the same pixels.
ENCODER_VERSION = f"3/isal {isal.__version__}/pillow {PIL.__version__}"
# Most pixels a side: 14 bits in WebP; 16 in JPEG, of which libjpeg writes a little less.
_WEBP_PIXELS, _JPEG_PIXELS = 16_383, 65_500


# Of images that are made when they are asked for, a label for each, and the parameters of all.
Stream = Callable[[Iterable[Pixels], Sequence[str | None], dict[str, Any], Look], Iterator[bytes]]


class Encoding(NamedTuple):
    """A format. ``single`` holds one picture, of ``most_pixels`` a side where there is a limit;
    ``images_only`` does not fit points; ``keeps_latents`` writes down what items were made of.

    ``chunks`` gives the bytes piece by piece, each made when it is asked for: one piece where a
    format is made as a whole. Equal samples with equal looks give equal bytes. ``stream`` gives
    the same bytes for images that do not exist all at once.
    """

    media_type: str
    chunks: Callable[[Samples, Look], Iterator[bytes]]
    single: bool = False
    images_only: bool = False
    points_only: bool = False
    most_pixels: int | None = None
    boundary: str | None = None
    keeps_latents: bool = False
    stream: Stream | None = None

    @property
    def content_type(self) -> str:
        """The media type with what its readers need to know."""
        return f"{self.media_type}; boundary={self.boundary}" if self.boundary else self.media_type

    def encode(self, samples: Samples, look: Look) -> bytes:
        """All bytes at once."""
        return b"".join(self.chunks(samples, look))


FORMATS: Mapping[str, Encoding] = {
    "png": Encoding("image/png", png, single=True),
    "webp": Encoding("image/webp", webp, single=True, most_pixels=_WEBP_PIXELS),
    "jpeg": Encoding("image/jpeg", jpeg, single=True, most_pixels=_JPEG_PIXELS),
    "zip": Encoding("application/zip", archive, images_only=True, stream=stream_archive),
    "npy": Encoding("application/x-npy", npy, stream=stream_array),
    "npz": Encoding("application/x-npz", npz, keeps_latents=True),
    "json": Encoding("application/json", as_json),
    "csv": Encoding("text/csv", points_csv, points_only=True),
    "multipart": Encoding(
        "multipart/mixed", multipart, images_only=True, boundary=BOUNDARY, stream=stream_multipart
    ),
}
