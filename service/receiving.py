"""Items in a request's body, in any of four kinds of it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile

from ganmodels.spaces import Space
from service.images import MAX_ITEMS, Received, from_images, from_npy, from_zip
from service.problems import FieldError, Problem, body_problem, pointer_of
from service.refusals import data_problem


class Reader(NamedTuple):
    """Reads the items of a body once it is called; ``is_large`` tells that this may take long."""

    decode: Callable[[Space], list[Received]]
    is_large: bool

    def __call__(self, space: Space) -> list[Received]:
        """The items, fitted to a space."""
        return self.decode(space)


# Images of so many compressed bytes take about a tenth of a second.
_LARGE_BYTES = 2**20
# More than may be sent, so that too many are refused with the limit that counts.
_FIELD = "images"
_MAX_FILES = 16 * MAX_ITEMS
BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            **{
                media_type: {"schema": {"type": "string", "format": "binary"}}
                for media_type in ("application/zip", "application/x-npy", "image/*")
            },
        },
    }
}


async def receive_items(request: Request) -> Reader:
    """What reads the items of the body, once it is called.

    Raises:
        Problem: when the body is of no kind that is understood.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        files = await _form_files(request)
        size_bytes = sum(len(content) for _, content in files)
        return Reader(partial(from_images, files), size_bytes > _LARGE_BYTES)
    body = await request.body()
    is_large = len(body) > _LARGE_BYTES
    if media_type == "application/zip":
        return Reader(partial(from_zip, body), is_large)
    if media_type == "application/x-npy":
        return Reader(partial(from_npy, body), is_large)
    if media_type.startswith("image/"):
        return Reader(partial(from_images, [("body", body)]), is_large)
    raise Problem(
        "unsupported-media-type",
        "send multipart/form-data with images, application/zip, application/x-npy or one image",
    )


def whole(received: Sequence[Received]) -> NDArray[np.generic]:
    """The items [n, ...] of a body.

    Raises:
        DataError: of the only item, where it cannot be read.
        Problem: naming all that cannot be read.
    """
    bad = [(place, one.error) for place, one in enumerate(received) if one.error is not None]
    if bad and len(received) == 1:
        raise bad[0][1]
    if bad:
        errors = []
        for place, error in bad:
            problem = data_problem(error)
            pointer = f"/images/{place}"
            errors.append(FieldError(code=problem.code, detail=problem.detail, pointer=pointer))
        detail = f"{len(bad)} of {len(received)} images cannot be read: {errors[0].detail}"
        raise Problem("data-refused", detail, errors=errors)
    return np.stack([one.item for one in received if one.item is not None])


async def _form_files(request: Request) -> list[tuple[str, bytes]]:
    async with request.form(max_files=_MAX_FILES, max_fields=10) as form:
        _check_fields(form.multi_items())
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [(upload.filename or "image", await upload.read()) for upload in uploads]


def _check_fields(items: Sequence[tuple[str, UploadFile | str]]) -> None:
    """Refuse what would not be looked at: a label in the form judges nothing.

    Raises:
        Problem: naming the first such field.
    """
    for name, value in items:
        if name != _FIELD or not isinstance(value, UploadFile):
            detail = (
                f"all fields of the form are files named {_FIELD}; settings belong in the query"
            )
            raise body_problem("unknown-field", pointer_of(name), detail)
