"""RFC 9457 problem documents: every error has a stable ``code`` and says the remedy.

They never echo input, paths or tracebacks. A 500 is always a bug.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ganmodels.data.errors import printable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
_MAX_ERRORS, _MAX_SHOWN = 50, 100


class FieldError(BaseModel):
    """One bad field: ``pointer`` into the body, or ``parameter`` of the query or header."""

    code: str
    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Kind(NamedTuple):
    """Status and title of a problem; its code is its key in ``KINDS``."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "malformed": Kind(400, "The request could not be parsed"),
    "cursor-mismatch": Kind(400, "The cursor is of another list"),
    "unauthenticated": Kind(401, "An API key is needed"),
    "forbidden-origin": Kind(403, "Requests from other web origins are refused"),
    "not-found": Kind(404, "There is nothing at this address"),
    "method-not-allowed": Kind(405, "This method is not allowed here"),
    "not-acceptable": Kind(406, "No such format"),
    "too-slow": Kind(408, "The body came too slowly"),
    "conflict": Kind(409, "The present state forbids this"),
    "job-finished": Kind(409, "The job is over"),
    "job-deleted": Kind(409, "The job of this key was deleted"),
    "nothing-to-resume": Kind(409, "There is nothing to go on with"),
    "dataset-in-use": Kind(409, "Jobs use the dataset"),
    "payload-too-large": Kind(413, "The body is too large"),
    "unsupported-media-type": Kind(415, "This kind of body is not understood"),
    "validation": Kind(422, "The request is not valid"),
    "unknown-parameter": Kind(422, "There is no such query parameter"),
    "repeated-parameter": Kind(422, "A query parameter was given twice"),
    "unknown-field": Kind(422, "There is no such form field"),
    "repeated-field": Kind(422, "A form field was given twice"),
    "config-invalid": Kind(422, "This combination of settings would not train"),
    "config-too-large": Kind(422, "The training would be too large"),
    "data-refused": Kind(422, "The data was refused"),
    "start-not-found": Kind(422, "There is no such checkpoint to start from"),
    "start-does-not-fit": Kind(422, "These networks cannot start from that checkpoint"),
    "dataset-not-found": Kind(422, "There is no such dataset"),
    "recipe-not-found": Kind(422, "There is no such recipe"),
    "idempotency-mismatch": Kind(422, "The Idempotency-Key was used for another request"),
    "model-unconditional": Kind(422, "The model takes no labels"),
    "model-names-labels": Kind(422, "The model names labels itself"),
    "model-translates": Kind(422, "The model translates images"),
    "model-draws": Kind(422, "The model translates no images"),
    "direction-unknown": Kind(422, "The model does not translate this way"),
    "label-unknown": Kind(422, "The model knows no such label"),
    "layer-unknown": Kind(422, "The discriminator has no such layer"),
    "codes-unknown": Kind(422, "The model knows no such codes"),
    "sample-too-large": Kind(422, "Too much was asked for at once"),
    "head-too-large": Kind(431, "The head of the request is too large"),
    "too-many-jobs": Kind(429, "Too many jobs are waiting"),
    "evaluation-impossible": Kind(422, "This cannot be measured here"),
    "evaluation-too-large": Kind(422, "The evaluation would be too large"),
    "too-many-evaluations": Kind(503, "Too many evaluations are waiting"),
    "client-gone": Kind(499, "The client closed the connection"),
    "internal": Kind(500, "Something is wrong on our side"),
    "storage-unavailable": Kind(503, "The disk cannot be used"),
    "checkpoint-corrupt": Kind(503, "A checkpoint cannot be read"),
    "job-corrupt": Kind(503, "A job cannot be read"),
    "model-corrupt": Kind(503, "A model cannot be read"),
    "queue-unavailable": Kind(503, "The queue does not answer"),
    "overloaded": Kind(503, "Too many requests are waiting"),
    "out-of-memory": Kind(503, "There is not enough memory"),
    "storage-full": Kind(507, "There is no room"),
    "deadline-exceeded": Kind(504, "The answer took too long"),
}
STATUS_CODES = {
    400: "malformed",
    401: "unauthenticated",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    413: "payload-too-large",
    415: "unsupported-media-type",
    422: "validation",
    429: "too-many-jobs",
    500: "internal",
    503: "overloaded",
}


class Document(BaseModel):
    """The body of every error. Some problems add members, such as ``limit``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] = []


def _schema() -> dict[str, Any]:
    """In one piece: references of a part of an OpenAPI document would lead nowhere."""
    schema = Document.model_json_schema()
    del schema["$defs"]
    schema["properties"]["errors"]["items"] = FieldError.model_json_schema()
    return schema


DOCUMENTED: dict[str, Any] = {
    "description": "What was wrong and what to do",
    "content": {MEDIA_TYPE: {"schema": _schema()}},
}


class Problem(HTTPException):
    """A refusal: ``code`` from ``KINDS`` or a finer one with its status given."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        self.status = status or KINDS[code].status
        super().__init__(self.status, detail, dict(headers or {}))
        self.code, self.errors, self.extra = code, list(errors), extra

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem document."""
        known = self.code if self.code in KINDS else STATUS_CODES.get(self.status, "malformed")
        listed = [error.model_dump(exclude_none=True) for error in self.errors[:_MAX_ERRORS]]
        return {
            "type": f"/problems/{known}",
            "title": KINDS[known].title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.extra,
            **({"errors": listed} if listed else {}),
        }


def parameter_problem(code: str, parameter: str, detail: str, **extra: Any) -> Problem:
    """A refusal of one query parameter."""
    error = FieldError(code=code, detail=detail, parameter=parameter)
    return Problem(code, detail, errors=[error], **extra)


def body_problem(code: str, pointer: str, detail: str, **extra: Any) -> Problem:
    """A refusal of one field of the body."""
    return Problem(
        code, detail, errors=[FieldError(code=code, detail=detail, pointer=pointer)], **extra
    )


def field_problem(code: str, place: str, detail: str, **extra: Any) -> Problem:
    """A refusal of a field of the body where ``place`` is a pointer, else of a query parameter."""
    refuse = body_problem if place.startswith("/") else parameter_problem
    return refuse(code, place, detail, **extra)


def pointer_of(*names: str) -> str:
    """A JSON pointer (RFC 6901); names may be anybody's."""
    shown = (printable(name)[:_MAX_SHOWN] for name in names)
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in shown)


def respond(request: Request, problem: Problem) -> JSONResponse:
    """The response of a problem."""
    body = problem.body(request.scope.get("request_id", ""))
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the nearest of the known names, if one is near."""
    near = difflib.get_close_matches(name[:100], sorted(set(known) - {name}), n=1)
    return f"; did you mean {near[0]}?" if near else ""
