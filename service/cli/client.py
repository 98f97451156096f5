"""The connection to a running Ringside: its address, its key, and its refusals."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import httpx2
import typer
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.cli.exits import ExitStatus, fail
from service.cli.setup import address, read, read_settings
from worker.settings import SendableSecret

# An import of a large dataset answers when it is done.
_TIMEOUT = httpx2.Timeout(30, read=900, write=900)
_STATUSES = {401: ExitStatus.AUTH, 403: ExitStatus.AUTH, 404: ExitStatus.NOT_FOUND}
_UNAVAILABLE = frozenset({429, 502, 503, 504})

# In every answer of Ringside's.
_REQUEST_ID = "X-Request-ID"

Json = Annotated[bool, typer.Option("--json", help="Print the API's JSON on standard output.")]


class ClientSettings(BaseSettings):
    """Where the API is and the key to send; ``RINGSIDE_URL`` and ``RINGSIDE_API_KEY``."""

    model_config = SettingsConfigDict(env_prefix="RINGSIDE_", frozen=True, extra="ignore")

    url: str | None = None
    api_key: SendableSecret | None = None


@contextmanager
def connect() -> Iterator[httpx2.Client]:
    """A client of the API that the environment names; inside, its errors end the command."""
    url, key = _target()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with (
        reporting(url),
        httpx2.Client(base_url=url, headers=headers, timeout=_TIMEOUT) as client,
    ):
        yield client


@contextmanager
def reporting(url: str) -> Iterator[None]:
    """A refusal or a broken connection inside the block ends the command with its exit status."""
    try:
        yield
    except httpx2.HTTPStatusError as error:
        refuse(error.response)
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        fail(f"RINGSIDE_URL is no http address: {url}", ExitStatus.USAGE)
    except httpx2.TransportError as error:
        fail(
            f"no answer from {url} ({type(error).__name__}); start Ringside with "
            "`ringside up`, or set RINGSIDE_URL",
            ExitStatus.UNAVAILABLE,
        )


def checked(response: httpx2.Response) -> httpx2.Response:
    """The response, if it is no error. A page of somebody else, as of a proxy, ends the command.

    Raises:
        httpx2.HTTPStatusError: when it is one; ``connect`` turns it into an exit status.
    """
    if response.is_error:
        response.read()
        raise httpx2.HTTPStatusError("refused", request=response.request, response=response)
    if response.is_success and _REQUEST_ID in response.headers:
        return response
    elsewhere = response.headers.get("Location")
    said = f"HTTP {response.status_code}" + (f", see {elsewhere}" if elsewhere else "")
    fail(
        f"what answers at {response.request.url} is no Ringside ({said}); set RINGSIDE_URL",
        ExitStatus.UNAVAILABLE,
    )


def refuse(response: httpx2.Response) -> NoReturn:
    """Print a problem document on standard error and leave with the status it stands for."""
    problem = _problem(response)
    title = problem.get("title", f"HTTP {response.status_code}")
    detail = problem.get("detail", "no details")
    typer.echo(f"ringside: {title}: {detail}", err=True)
    for error in problem.get("errors", []):
        place = error.get("pointer") or error.get("parameter") or "request"
        reason = error.get("detail", "")
        # A problem with a single bad field often says all in its own detail.
        typer.echo(f"  {place}" + ("" if reason in detail else f": {reason}"), err=True)
    if response.status_code >= 500 and "request_id" in problem:
        typer.echo(f"  request {problem['request_id']}", err=True)
    raise typer.Exit(exit_status(response.status_code, str(problem.get("code", ""))))


def exit_status(http_status: int, code: str) -> ExitStatus:
    """The exit status of a refusal, by HTTP status and problem code."""
    if code.endswith("-not-found"):
        return ExitStatus.NOT_FOUND
    if http_status in _UNAVAILABLE:
        return ExitStatus.UNAVAILABLE
    return _STATUSES.get(http_status, ExitStatus.API_ERROR)


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"detail": "the answer is no problem document"}


def _target() -> tuple[str, str | None]:
    chosen = read(ClientSettings)
    key = chosen.api_key.get_secret_value() if chosen.api_key else None
    if chosen.url and key:
        return chosen.url.rstrip("/"), key
    settings = read_settings()
    return (chosen.url or address(settings)).rstrip("/"), key or next(iter(settings.keys), None)
