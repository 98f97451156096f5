"""Encodings: sampled items to bytes of one media type, with the parameters that made them."""

import base64
import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganmodels.rendering import picture
from ganmodels.spaces import ImageSpace, Space

ENCODER_VERSION = 1
METADATA_KEY = "ringside"
# Most pixels a side: 14 bits in WebP; 16 in JPEG, of which libjpeg writes a little less.
_WEBP_PIXELS, _JPEG_PIXELS = 16_383, 65_500
# A fixed time stamp, so that the same samples give the same archive.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Samples(NamedTuple):
    """Items with what made them: ``parameters`` holds model, seed, offset and the rest."""

    items: NDArray[np.generic]
    labels: tuple[str | None, ...]
    space: Space
    parameters: dict[str, Any]


class Encoding(NamedTuple):
    """A format. ``single`` holds one picture, of ``most_pixels`` a side where there is a limit;
    ``images_only`` does not fit points.
    """

    media_type: str
    encode: Callable[[Samples, int], bytes]
    single: bool = False
    images_only: bool = False
    points_only: bool = False
    most_pixels: int | None = None


def _png(samples: Samples, columns: int) -> bytes:
    metadata = PngInfo()
    metadata.add_itxt(METADATA_KEY, json.dumps(samples.parameters, sort_keys=True))
    return _save(_picture(samples, columns), "PNG", pnginfo=metadata)


def _single_png(samples: Samples, index: int) -> bytes:
    """One of the images, with the parameters that make it alone."""
    chosen, labels = slice(index, index + 1), samples.parameters["labels"]
    place = samples.parameters["offset"] + index
    parameters = {
        **samples.parameters,
        "n": 1,
        "offset": place,
        "labels": labels and [labels[place % len(labels)]],
    }
    one = Samples(samples.items[chosen], samples.labels[chosen], samples.space, parameters)
    return _png(one, columns=1)


def _webp(samples: Samples, columns: int) -> bytes:
    return _save(_picture(samples, columns), "WEBP", lossless=True, exact=True)


def _jpeg(samples: Samples, columns: int) -> bytes:
    drawn = _picture(samples, columns)
    if drawn.mode in ("LA", "RGBA"):
        white = Image.new("RGBA", drawn.size, "white")
        drawn = Image.alpha_composite(white, drawn.convert("RGBA")).convert("RGB")
    return _save(drawn, "JPEG", quality=90)


def _npy(samples: Samples, columns: int) -> bytes:
    return encode_array(samples.items)


def _json(samples: Samples, columns: int) -> bytes:
    first = samples.parameters["offset"]
    data = []
    for index, (item, label) in enumerate(zip(samples.items, samples.labels, strict=True)):
        entry: dict[str, Any] = {"index": first + index, "label": label}
        if isinstance(samples.space, ImageSpace):
            encoded = base64.b64encode(_single_png(samples, index)).decode()
            entry["image"] = f"data:image/png;base64,{encoded}"
        else:
            entry["point"] = [float(value) for value in item]
        data.append(entry)
    body = {"object": "samples", **samples.parameters, "data": data}
    return json.dumps(body, allow_nan=False).encode()


def _csv(samples: Samples, columns: int) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([f"x{dimension}" for dimension in range(samples.items.shape[1])])
    writer.writerows(samples.items.tolist())
    return buffer.getvalue().encode()


def _zip(samples: Samples, columns: int) -> bytes:
    buffer = io.BytesIO()
    first = samples.parameters["offset"]
    names = [f"{first + index:06d}.png" for index in range(len(samples.items))]
    manifest = {
        **samples.parameters,
        "data": [
            {"name": name, "index": first + index, "label": label}
            for index, (name, label) in enumerate(zip(names, samples.labels, strict=True))
        ],
    }
    # Stored: PNG does not shrink again.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        entries = {"manifest.json": json.dumps(manifest, indent=1).encode()}
        entries |= {name: _single_png(samples, index) for index, name in enumerate(names)}
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)
    return buffer.getvalue()


def encode_array(array: NDArray[np.generic]) -> bytes:
    """An array as NPY."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


FORMATS: Mapping[str, Encoding] = {
    "png": Encoding("image/png", _png, single=True),
    "webp": Encoding("image/webp", _webp, single=True, most_pixels=_WEBP_PIXELS),
    "jpeg": Encoding("image/jpeg", _jpeg, single=True, most_pixels=_JPEG_PIXELS),
    "zip": Encoding("application/zip", _zip, images_only=True),
    "npy": Encoding("application/x-npy", _npy),
    "json": Encoding("application/json", _json),
    "csv": Encoding("text/csv", _csv, points_only=True),
}


def _picture(samples: Samples, columns: int) -> Image.Image:
    return picture(samples.items, samples.space, columns)


def _save(drawn: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    drawn.save(buffer, format_, **options)
    return buffer.getvalue()
