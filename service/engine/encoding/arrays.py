"""Samples as numbers: NPY, NPZ and CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganmodels.spaces import ImageSpace
from service.engine.encoding.layout import Pixels, fitted, resized
from service.engine.encoding.samples import Look, Samples


def npy(samples: Samples, look: Look) -> Iterator[bytes]:
    """Images as uint8 [n, height, width, channels], points as float32 [n, dimensions]."""
    yield encode_array(_items(samples, look))


def stream_array(
    images: Iterable[Pixels],
    labels: Sequence[str | None],
    parameters: dict[str, Any],
    look: Look,
) -> Iterator[bytes]:
    """The bytes of ``npy`` for one image for each of the labels, one after the other."""
    for index, image in enumerate(images):
        sent = fitted(image, look)
        if index == 0:
            yield _array_header((len(labels), *sent.shape), sent.dtype)
        yield sent.tobytes()


def npz(samples: Samples, look: Look) -> Iterator[bytes]:
    """``images`` or ``points``, ``indices``, and where there are any ``seed``, ``latents``,
    ``labels`` as numbers and their names, ``classes``.

    A dataset can be imported from it.
    """
    name = "images" if isinstance(samples.space, ImageSpace) else "points"
    arrays: dict[str, Any] = {name: _items(samples, look), **_origin(samples)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    yield buffer.getvalue()


def _origin(samples: Samples) -> dict[str, Any]:
    """What made each of the samples, as arrays."""
    parameters, names = samples.parameters, samples.space.classes
    found: dict[str, Any] = {"indices": parameters["offset"] + np.arange(len(samples.items))}
    if parameters.get("seed") is not None:
        found["seed"] = np.int64(parameters["seed"])
    if samples.latents is not None:
        found["latents"] = samples.latents
    if labels := [names.index(label) for label in samples.labels if label is not None]:
        found |= {"labels": np.array(labels, dtype=np.int64), "classes": np.array(names)}
    return found


def points_csv(samples: Samples, look: Look) -> Iterator[bytes]:
    """A row for each point, under a row of names."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([f"x{dimension}" for dimension in range(samples.items.shape[1])])
    writer.writerows(samples.items.tolist())
    yield buffer.getvalue().encode()


def encode_array(array: NDArray[np.generic]) -> bytes:
    """An array as NPY."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _array_header(shape: tuple[int, ...], kind: np.dtype[np.generic]) -> bytes:
    buffer = io.BytesIO()
    described = np.lib.format.dtype_to_descr(kind)
    header = {"descr": described, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def _items(samples: Samples, look: Look) -> NDArray[np.generic]:
    images = isinstance(samples.space, ImageSpace)
    return resized(samples.items, look) if images else samples.items
