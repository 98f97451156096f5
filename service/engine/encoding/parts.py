"""Images one by one: JSON, a streamed ZIP and multipart/mixed.

The streams ask for each image when its bytes are due, so that the images may come from a generator
and never all exist at once.
"""

import base64
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ganmodels.spaces import ImageSpace
from service.engine.encoding.layout import Pixels
from service.engine.encoding.pictures import single_png
from service.engine.encoding.samples import Look, Samples

# No file of ours holds it: in JSON and in PNG's text a line's end is escaped, and the pixels would
# have to hit 256 random bits.
BOUNDARY = "ringside-b4f16d0c7a3e58912f6ac0d39be47185c21e9d60f7384ab5e1096cd2f8b37a4e"
# A fixed time stamp, so that the same samples give the same archive.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def as_json(samples: Samples, look: Look) -> Iterator[bytes]:
    """The parameters, and an image as a data URL or a point for each item."""
    parameters = samples.parameters
    data: list[dict[str, Any]] = []
    for index, (item, entry) in enumerate(
        zip(samples.items, _entries(parameters, samples.labels), strict=True)
    ):
        if isinstance(samples.space, ImageSpace):
            encoded = base64.b64encode(single_png(item, parameters, index, look)).decode()
            data.append({**entry, "image": f"data:image/png;base64,{encoded}"})
        else:
            data.append({**entry, "point": [float(value) for value in item]})
    body = {"object": "samples", **parameters, "data": data}
    yield json.dumps(body, allow_nan=False).encode()


def archive(samples: Samples, look: Look) -> Iterator[bytes]:
    """A ZIP of PNGs behind a manifest."""
    return stream_archive(samples.items, samples.labels, samples.parameters, look)


def multipart(samples: Samples, look: Look) -> Iterator[bytes]:
    """A manifest in JSON, then a PNG for each image (RFC 2046)."""
    return stream_multipart(samples.items, samples.labels, samples.parameters, look)


def stream_archive(
    images: Iterable[Pixels],
    labels: Sequence[str | None],
    parameters: dict[str, Any],
    look: Look,
) -> Iterator[bytes]:
    """A stored ZIP, whose readers need not see its end first: sizes stand before the bytes.

    ``labels`` has one entry for each image.
    """
    outlet = _Outlet()
    names = _names(parameters, labels)
    entries = _entries(parameters, labels)
    listed = [{"name": name, **entry} for name, entry in zip(names, entries, strict=True)]
    manifest = json.dumps({**parameters, "data": listed}, indent=1).encode()
    # Stored: PNG does not shrink again.
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr(zipfile.ZipInfo("manifest.json", _ZIP_TIME), manifest)
        yield outlet.take()
        for index, (item, name) in enumerate(zip(images, names, strict=True)):
            data = single_png(item, parameters, index, look)
            packed.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)
            yield outlet.take()
    yield outlet.take()


def stream_multipart(
    images: Iterable[Pixels],
    labels: Sequence[str | None],
    parameters: dict[str, Any],
    look: Look,
) -> Iterator[bytes]:
    """Parts between ``BOUNDARY``; the manifest names the ``Content-ID`` of each image.

    ``labels`` has one entry for each image.
    """
    identities = [f"{name}@ringside" for name in _names(parameters, labels)]
    entries = _entries(parameters, labels)
    listed = [{"content_id": own, **entry} for own, entry in zip(identities, entries, strict=True)]
    manifest = json.dumps({**parameters, "data": listed}).encode()
    yield _part({"Content-Type": "application/json"}, manifest)
    for index, (item, identity) in enumerate(zip(images, identities, strict=True)):
        data = single_png(item, parameters, index, look)
        yield _part({"Content-Type": "image/png", "Content-ID": f"<{identity}>"}, data)
    yield f"--{BOUNDARY}--\r\n".encode()


def _part(headers: dict[str, str], data: bytes) -> bytes:
    fields = {**headers, "Content-Length": str(len(data))}
    lines = [f"--{BOUNDARY}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + data + b"\r\n"


def _entries(parameters: dict[str, Any], labels: Sequence[str | None]) -> list[dict[str, Any]]:
    """What a manifest says of each item."""
    first = parameters["offset"]
    return [{"index": first + index, "label": label} for index, label in enumerate(labels)]


def _names(parameters: dict[str, Any], labels: Sequence[str | None]) -> list[str]:
    first = parameters["offset"]
    return [f"{first + index:06d}.png" for index in range(len(labels))]


class _Outlet:
    """A file that is taken away piece by piece; what was not taken yet can be written again.

    ``zipfile`` goes back to an entry's header when the entry is complete, and no further.
    """

    def __init__(self) -> None:
        self._taken, self._pending = 0, io.BytesIO()

    def write(self, data: bytes) -> int:
        return self._pending.write(data)

    def tell(self) -> int:
        return self._taken + self._pending.tell()

    def seek(self, position: int) -> int:
        return self._taken + self._pending.seek(position - self._taken)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        """Everything since the last time."""
        data, self._pending = self._pending.getvalue(), io.BytesIO()
        self._taken += len(data)
        return data
