"""What a route does not declare is refused: query parameters, form fields, kinds of body.

A typing error in ``?trunctaion=0.7`` must not quietly give other samples.
"""

from collections import Counter
from collections.abc import Iterable

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute

from service.problems import (
    Problem,
    body_problem,
    did_you_mean,
    parameter_problem,
    pointer_of,
)

_MAX_SHOWN = 100


async def refuse_undeclared(request: Request) -> None:
    """A dependency of every route.

    Raises:
        Problem: when the request carries something that its route does not declare.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    _check_query(request, query_names(route.dependant))
    if route.body_field is None:
        return
    if isinstance(route.body_field.field_info, Form):
        _check_media_type(request, "multipart/form-data", "multipart/form-data")
        # FastAPI has parsed the form already; this is the same one.
        _check_form((await request.form()).multi_items(), body_names(route.dependant))
    elif await request.body():
        _check_media_type(request, "application/json", "application/json", "+json")


def query_names(dependant: Dependant) -> set[str]:
    """Query parameters of a route and of what it depends on."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*(query_names(child) for child in dependant.dependencies))


def body_names(dependant: Dependant) -> set[str]:
    """Form fields of a route and of what it depends on."""
    names = {field.alias for field in dependant.body_params}
    return names.union(*(body_names(child) for child in dependant.dependencies))


def _check_query(request: Request, known: set[str]) -> None:
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            detail = f"there is no such query parameter here{_offer(name, known)}"
            raise parameter_problem("unknown-parameter", name[:_MAX_SHOWN], detail)
        if count > 1:
            raise parameter_problem("repeated-parameter", name, f"{name} may be given once")


def _check_form(items: Iterable[tuple[str, object]], known: set[str]) -> None:
    for name, count in Counter(name for name, _ in items).items():
        if name not in known:
            detail = f"there is no such form field here{_offer(name, known)}"
            raise body_problem("unknown-field", pointer_of(name), detail)
        if count > 1:
            raise body_problem("repeated-field", pointer_of(name), f"{name} may be given once")


def _check_media_type(request: Request, wanted: str, *endings: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not given.endswith(endings):
        raise Problem(
            "unsupported-media-type", f"send the body as Content-Type: {wanted}", supported=[wanted]
        )


def _offer(name: str, known: set[str]) -> str:
    near = did_you_mean(name, known)
    return near or (f"; known are {', '.join(sorted(known))}" if known else "; there are none")
