"""Items in a request's body, in any of four kinds of it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile

from ganmodels.spaces import Space
from service.images import MAX_ITEMS, Received, from_images, from_npy, from_zip
from service.problems import FieldError, Problem
from service.refusals import data_problem

Reader = Callable[[Space], list[Received]]

# More than may be sent, so that too many are refused with the limit that counts.
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
        return partial(from_images, await _form_files(request))
    body = await request.body()
    if media_type == "application/zip":
        return partial(from_zip, body)
    if media_type == "application/x-npy":
        return partial(from_npy, body)
    if media_type.startswith("image/"):
        return partial(from_images, [("body", body)])
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
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [(upload.filename or "image", await upload.read()) for upload in uploads]
