"""From what is raised anywhere below to the problem document that clients see."""

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from ganmodels.config import TrainConfig
from ganmodels.data.errors import DataError, printable
from ganmodels.diskerrors import FAILING, FULL
from ganmodels.validity import InvalidConfig
from service.methods import allowed
from service.problems import (
    KINDS,
    STATUS_CODES,
    FieldError,
    Problem,
    did_you_mean,
    pointer_of,
    respond,
)
from worker.errors import NotFound, StoreError, Unavailable
from worker.store.checkpoints import CheckpointCorrupt

log = logging.getLogger("ringside.api")

_DETAILS = {
    404: "there is nothing at this address; GET / lists what there is",
    405: "the Allow header lists the methods of this address",
}


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Make every error of an application with these routes a problem document."""
    translations: dict[type[Exception], Callable[[Any], Problem]] = {
        StoreError: store_problem,
        DataError: data_problem,
        InvalidConfig: config_problem,
        CheckpointCorrupt: checkpoint_problem,
        FileNotFoundError: vanished_problem,
        OSError: storage_problem,
        Exception: unexpected_problem,
    }
    for kind, translate in translations.items():
        app.add_exception_handler(kind, _handler(translate))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(request, request_problem(error, _body_fields(request)))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        problem = http_problem(error)
        if problem.status == 405:
            problem.headers = {"Allow": ", ".join(allowed(routes, request.url.path))}
        return respond(request, problem)


def _handler(
    translate: Callable[[Any], Problem],
) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    # Starlette would call a plain function in a thread.
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return respond(request, translate(error))

    return handle


def http_problem(error: HTTPException) -> Problem:
    """Starlette's own errors (404, 405, a body that cannot be parsed) as problems."""
    if isinstance(error, Problem):
        return error
    if isinstance(error.__cause__, OSError):
        # FastAPI takes whatever happens while a form is spooled to disk for a bad body.
        return storage_problem(error.__cause__)
    code = STATUS_CODES.get(error.status_code, "malformed")
    detail = _DETAILS.get(error.status_code, "the body could not be parsed; check its syntax")
    return Problem(code, detail, status=error.status_code, headers=error.headers)


def store_problem(error: StoreError) -> Problem:
    """The store's refusals by kind."""
    if isinstance(error, NotFound):
        return Problem(error.code, error.detail, status=404)
    if isinstance(error, Unavailable):
        return Problem(error.code, error.detail, status=503)
    return Problem(error.code, error.detail, status=None if error.code in KINDS else 409)


def data_problem(error: DataError) -> Problem:
    """Refused data; the reader's code is kept."""
    if error.code in _STORAGE_REFUSALS:
        return _STORAGE_REFUSALS[error.code]()
    extra: dict[str, Any] = {} if error.limit is None else {"limit": error.limit}
    return Problem(error.code.replace("_", "-"), error.detail, status=422, **extra)


def config_problem(error: InvalidConfig) -> Problem:
    """A configuration that would not train, with every reason."""
    errors = [
        FieldError(code=finding.code, detail=finding.detail, pointer=finding.pointer)
        for finding in error.findings
    ]
    return Problem("config-invalid", errors[0].detail, errors=errors)


def checkpoint_problem(error: CheckpointCorrupt) -> Problem:
    """Damage looks like a checkpoint that retention deletes while it is read."""
    log.error("a checkpoint cannot be read: %s", error)
    return Problem(
        "checkpoint-corrupt",
        "the checkpoint was replaced by a newer one just now, or is damaged; ask again, and if "
        "that does not help resume the job",
    )


def vanished_problem(error: FileNotFoundError) -> Problem:
    """Something was deleted between being found and being read."""
    log.warning("a file vanished while it was read", exc_info=error)
    return Problem("not-found", "it was deleted while it was read")


def storage_problem(error: OSError) -> Problem:
    """A disk that is full, or cannot be written or read just now; anything else is a bug."""
    if error.errno in FULL:
        log.error("the disk is full", exc_info=error)
        return _storage_full()
    if error.errno in FAILING:
        log.error("the disk fails", exc_info=error)
        return _storage_unavailable()
    return unexpected_problem(error)


def _storage_full() -> Problem:
    return Problem("storage-full", "the disk of the service is full; delete datasets or jobs")


def _storage_unavailable() -> Problem:
    return Problem(
        "storage-unavailable",
        "the disk of the service cannot be used just now; try again, and if that does not help "
        "ask whoever runs the service to look at its log",
    )


# What the process that imports data says about the disk.
_STORAGE_REFUSALS = {
    "import_storage_full": _storage_full,
    "import_storage_unavailable": _storage_unavailable,
}


def unexpected_problem(error: Exception) -> Problem:
    """A bug of ours."""
    log.error("unexpected error", exc_info=error)
    return Problem("internal", "this is a bug; the log has the details")


def request_problem(error: RequestValidationError, body_fields: Collection[str] = ()) -> Problem:
    """A body, query or header that FastAPI refused; ``body_fields`` are those of such a body."""
    if any(entry["type"] == "json_invalid" for entry in error.errors()):
        return Problem("malformed", "the body is not valid JSON")
    return validation_problem(error.errors(), body_fields)


def _body_fields(request: Request) -> Collection[str]:
    """Names of the fields of the body that a route takes."""
    route = request.scope.get("route")
    taken = route.dependant.body_params if isinstance(route, APIRoute) else []
    kinds = [one.field_info.annotation for one in taken]
    kinds = [part for kind in kinds for part in (get_args(kind) or (kind,))]
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return {name for model in models for name in model.model_fields}


def settings_problem(error: ValidationError) -> Problem:
    """A resolved configuration whose fields are out of bounds."""
    return validation_problem(
        [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()]
    )


def validation_problem(entries: Sequence[Any], body_fields: Collection[str] = ()) -> Problem:
    """Pydantic's errors, without the input."""
    errors = [_field_error(entry, body_fields) for entry in entries]
    count = f"{len(errors)} problems: " if len(errors) > 1 else ""
    where = errors[0].pointer or errors[0].parameter or "the request"
    return Problem("validation", f"{count}{where}: {errors[0].detail}", errors=errors)


def _field_error(entry: Any, body_fields: Collection[str]) -> FieldError:
    place, *path = [str(part) for part in entry["loc"]] or ["body"]
    code, detail = _explain(entry, path or [place], body_fields)
    if place == "body":
        return FieldError(code=code, detail=detail, pointer=_pointer(path))
    return FieldError(code=code, detail=detail, parameter=printable(path[0] if path else place))


def _explain(entry: Any, path: Sequence[str], body_fields: Collection[str]) -> tuple[str, str]:
    """Code and text; where Pydantic's text quotes the input, another one."""
    if entry["type"] == "extra_forbidden":
        known = _names_within(path[-2]) if len(path) > 1 else body_fields
        return "unknown_field", f"unknown field{did_you_mean(path[-1], known)}"
    if "UploadFile" in entry["msg"]:
        return entry["type"], "send it as a file, with a name"
    if entry["type"] == "union_tag_invalid":
        return entry["type"], f"kind must be one of {entry['ctx']['expected_tags']}"
    return entry["type"], re.sub("^Value error, ", "", entry["msg"])


def _pointer(path: Sequence[str]) -> str:
    """A JSON pointer (RFC 6901); the tags that name a union's member are no part of it."""
    kept = [part for index, part in enumerate(path) if not _is_tag(path, index)]
    return pointer_of(*kept)


def _is_tag(path: Sequence[str], index: int) -> bool:
    if path[index] in _JSON_TAGS:
        return True
    if path[index] not in _UNION_TAGS or index == 0:
        return False
    # A tag follows the union's field, or the index in a list of unions.
    return path[index - 1] in _UNION_FIELDS or path[index - 1].isdigit()


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every object within a JSON schema, itself first."""
    if isinstance(schema, dict):
        yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _parts(part)


def _tags(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    tags: Mapping[str, Any] = schema.get("discriminator", {}).get("mapping", {})
    return tags


def _names_within(name: str) -> Collection[str]:
    """Names of the fields of what is called so in a configuration: a field, or a kind of one."""
    field: Any = next((field for known, field in _FIELDS if known == name), {})
    referred = [part["$ref"].rpartition("/")[2] for part in _parts(field) if "$ref" in part]
    known = [_DEFINITIONS[one] for one in referred] if not _tags(field) else []
    known += [one for one in _SCHEMAS if _kind(one) == name]
    return {found for schema in known for found in schema.get("properties", {})}


def _kind(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("properties", {}).get("kind", {})
    return kind.get("const") if isinstance(kind, dict) else None


_SCHEMA = TrainConfig.model_json_schema()
_DEFINITIONS: Mapping[str, Any] = _SCHEMA["$defs"]
_SCHEMAS = list(_parts(_SCHEMA))
_FIELDS = [field for schema in _SCHEMAS for field in schema.get("properties", {}).items()]
_UNION_TAGS = {tag for schema in _SCHEMAS for tag in _tags(schema)}
# What Pydantic calls the kinds of values within a merge patch; no field is named so.
_JSON_TAGS = {"dict", "list", "str", "int", "float", "bool", "nullable"}
_UNION_FIELDS = {name for name, schema in _FIELDS if _tags(schema)}
