"""Errors as RFC 9457 problem documents, everywhere, with a stable ``code`` and the remedy.

They never echo input, paths or tracebacks. A 500 is always a bug.
"""

import difflib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from ganmodels.config import TrainConfig
from ganmodels.data.errors import DataError
from ganmodels.validity import InvalidConfig
from worker.store.checkpoints import CheckpointCorrupt
from worker.errors import Conflict, NotFound, StoreError, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5

log = logging.getLogger("ringside.api")


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
    "unauthenticated": Kind(401, "An API key is needed"),
    "forbidden-origin": Kind(403, "Requests from other web origins are refused"),
    "not-found": Kind(404, "There is nothing at this address"),
    "method-not-allowed": Kind(405, "This method is not allowed here"),
    "not-acceptable": Kind(406, "No such format"),
    "too-slow": Kind(408, "The body came too slowly"),
    "conflict": Kind(409, "The present state forbids this"),
    "payload-too-large": Kind(413, "The body is too large"),
    "unsupported-media-type": Kind(415, "This kind of body is not understood"),
    "validation": Kind(422, "The request is not valid"),
    "config-invalid": Kind(422, "This combination of settings would not train"),
    "config-too-large": Kind(422, "The training would be too large"),
    "data-refused": Kind(422, "The data was refused"),
    "dataset-not-found": Kind(422, "There is no such dataset"),
    "recipe-not-found": Kind(422, "There is no such recipe"),
    "idempotency-mismatch": Kind(422, "The Idempotency-Key was used for another request"),
    "model-unconditional": Kind(422, "The model knows no labels"),
    "label-unknown": Kind(422, "The model knows no such label"),
    "sample-too-large": Kind(422, "Too much was asked for at once"),
    "too-many-jobs": Kind(429, "Too many jobs are waiting"),
    "internal": Kind(500, "Something is wrong on our side"),
    "checkpoint-corrupt": Kind(500, "A checkpoint is damaged"),
    "queue-unavailable": Kind(503, "The queue does not answer"),
    "overloaded": Kind(503, "Too many requests are waiting"),
    "deadline-exceeded": Kind(504, "The request waited too long"),
}
_BY_STATUS = {
    400: "malformed", 401: "unauthenticated", 404: "not-found", 405: "method-not-allowed",
    406: "not-acceptable", 409: "conflict", 413: "payload-too-large",
    415: "unsupported-media-type", 422: "validation", 429: "too-many-jobs", 500: "internal",
    503: "overloaded",
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
        kind = KINDS.get(code)
        self.status = status or (kind.status if kind else 400)
        super().__init__(self.status, detail, dict(headers or {}))
        self.code, self.errors, self.extra = code, list(errors), extra

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem document."""
        kind = KINDS.get(self.code) or KINDS[_BY_STATUS.get(self.status, "malformed")]
        listed = [error.model_dump(exclude_none=True) for error in self.errors]
        return {
            "type": f"/problems/{self.code}",
            "title": kind.title,
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


def install(app: FastAPI) -> None:
    """Make every error of an application a problem document."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return respond(request, as_problem(error))

    @app.exception_handler(RequestValidationError)
    async def request_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(request, request_problem(error))

    @app.exception_handler(StoreError)
    async def store_error(request: Request, error: StoreError) -> JSONResponse:
        return respond(request, store_problem(error))

    @app.exception_handler(DataError)
    async def data_error(request: Request, error: DataError) -> JSONResponse:
        return respond(request, data_problem(error))

    @app.exception_handler(InvalidConfig)
    async def config_invalid(request: Request, error: InvalidConfig) -> JSONResponse:
        return respond(request, config_problem(error))

    @app.exception_handler(CheckpointCorrupt)
    async def corrupt(request: Request, error: CheckpointCorrupt) -> JSONResponse:
        log.error("a checkpoint is damaged: %s", error)
        detail = "the checkpoint's bytes are not those that were saved; train or resume the job"
        return respond(request, Problem("checkpoint-corrupt", detail))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", exc_info=error)
        return respond(request, Problem("internal", "this is a bug; the log has the details"))


def respond(request: Request, problem: Problem) -> JSONResponse:
    """The response of a problem."""
    body = problem.body(request.scope.get("request_id", ""))
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


def as_problem(error: HTTPException) -> Problem:
    """Starlette's own errors (404, 405, a body that cannot be parsed) as problems."""
    if isinstance(error, Problem):
        return error
    code = _BY_STATUS.get(error.status_code, "malformed")
    details = {404: "there is nothing at this address; see GET /docs",
               405: "see the Allow header for the methods of this address"}
    detail = details.get(error.status_code, "the request could not be parsed")
    return Problem(code, detail, status=error.status_code, headers=error.headers)


def store_problem(error: StoreError) -> Problem:
    """The store's refusals by kind."""
    if isinstance(error, NotFound):
        return Problem(error.code, error.detail, status=404)
    if isinstance(error, Unavailable):
        return Problem(error.code, error.detail, status=503)
    if isinstance(error, Conflict) and error.code in KINDS:
        return Problem(error.code, error.detail)
    return Problem(error.code, error.detail, status=409)


def data_problem(error: DataError) -> Problem:
    """Refused data; the reader's code is kept."""
    extra = {} if error.limit is None else {"limit": error.limit}
    return Problem(error.code.replace("_", "-"), error.detail, status=422, **extra)


def config_problem(error: InvalidConfig) -> Problem:
    """A configuration that would not train, with every reason."""
    errors = [
        FieldError(code=finding.code, detail=finding.detail, pointer=finding.pointer)
        for finding in error.findings
    ]
    return Problem("config-invalid", errors[0].detail, errors=errors)


def request_problem(error: RequestValidationError) -> Problem:
    """A body, query or header that FastAPI refused."""
    if any(entry["type"] == "json_invalid" for entry in error.errors()):
        return Problem("malformed", "the body is not valid JSON")
    return validation_problem(error.errors())


def invalid_settings(error: ValidationError) -> Problem:
    """A resolved configuration whose fields are out of bounds."""
    return validation_problem([{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()])


def validation_problem(entries: Sequence[Any]) -> Problem:
    """Pydantic's errors, without the input."""
    errors = [_field_error(entry) for entry in entries]
    count = f"{len(errors)} problems: " if len(errors) > 1 else ""
    where = errors[0].pointer or errors[0].parameter or "the request"
    return Problem("validation", f"{count}{where}: {errors[0].detail}", errors=errors[:50])


def _field_error(entry: Any) -> FieldError:
    place, *path = [str(part) for part in entry["loc"]] or ["body"]
    code, detail = entry["type"], entry["msg"]
    if code == "extra_forbidden":
        code, detail = "unknown_field", f"unknown field{_suggestion(path[-1])}"
    if place == "body":
        return FieldError(code=code, detail=detail, pointer=_pointer(path))
    return FieldError(code=code, detail=detail, parameter=path[0] if path else place)


def _pointer(path: Sequence[str]) -> str:
    """A JSON pointer (RFC 6901); the tags that name a union's member are no part of it."""
    kept = [part for index, part in enumerate(path) if not _is_tag(path, index)]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1")[:100] for part in kept)


def _is_tag(path: Sequence[str], index: int) -> bool:
    return path[index] in _UNION_TAGS and index > 0 and path[index - 1] in _UNION_FIELDS | _INDICES


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, _FIELD_NAMES, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _collect_names(schema: Any, names: set[str], tags: set[str]) -> None:
    if isinstance(schema, dict):
        names.update(schema.get("properties", {}))
        tags.update(schema.get("discriminator", {}).get("mapping", {}))
        for value in schema.values():
            _collect_names(value, names, tags)
    elif isinstance(schema, list):
        for value in schema:
            _collect_names(value, names, tags)


_FIELD_NAMES: set[str] = {"steps", "model", "recipe", "label", "truncation"}
_UNION_TAGS: set[str] = set()
_collect_names(TrainConfig.model_json_schema(), _FIELD_NAMES, _UNION_TAGS)
_UNION_FIELDS = {"space", "labels", "network", "conditioning", "objective", "augmentation", "decay"}
_INDICES = {str(number) for number in range(10)}
