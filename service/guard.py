"""The guard: what is decided from a request's headers, before any of its body is read.

A pure ASGI middleware, because FastAPI reads the whole body before it asks a dependency.
"""

import asyncio
import hmac
import itertools
import re
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Problem, respond
from worker.settings import LOOPBACK_HOSTS, Settings
from worker.store.files import new_id

RawHeader = tuple[bytes, bytes]

_SANE_ID, _LENGTH = re.compile(r"[A-Za-z0-9_-]{1,64}"), re.compile(r"[0-9]{1,18}")
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_JSON_SECONDS, _UPLOAD_SECONDS = 15.0, 900.0
# Latents of as many points as are drawn at once, in decimal digits, take more than other JSON.
_LATENTS_SHARE = 4
# What every answer says that says nothing else of it; as they are sent, which saves time.
_USUAL_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# Requests of this process are numbered: chance for each would have to be asked of the system.
_PROCESS, _numbers = new_id("req"), itertools.count(1)


class Guard:
    """Names the request, checks its key and origin, and bounds size and time of its body."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._limits = {
            "/datasets": (settings.max_upload_bytes, _UPLOAD_SECONDS),
            "/sample": (_LATENTS_SHARE * settings.max_json_bytes, _JSON_SECONDS),
            "/score": (settings.max_score_bytes, _UPLOAD_SECONDS),
            "/features": (settings.max_score_bytes, _UPLOAD_SECONDS),
            "/translate": (settings.max_score_bytes, _UPLOAD_SECONDS),
        }
        self._room = _Room(max(settings.max_held_bytes, settings.max_score_bytes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope["request_id"] = request_id(headers.get("x-request-id", ""))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += usual_headers(message["headers"])
                message["headers"].append((b"x-request-id", scope["request_id"].encode()))
            await send(message)

        limit, seconds = self._limits.get(
            scope["path"].rstrip("/"), (self._settings.max_json_bytes, _JSON_SECONDS)
        )
        # Uploads of data go to disk.
        room = None if scope["path"].startswith("/datasets") else self._room
        body = _Body(receive, limit, seconds, room)
        try:
            self._check(scope, headers, limit)
            body.hold(_announced_bytes(headers))
        except Problem as problem:
            # Whatever of the body is on its way is not waited for.
            problem.headers = {**(problem.headers or {}), "Connection": "close"}
            response = respond(Request(scope), problem)
            await response(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, body.receive, send_with_headers)
        finally:
            body.let_go()

    def _check(self, scope: Scope, headers: Headers, limit_bytes: int) -> None:
        if self._settings.keys:
            if scope["path"] not in OPEN_PATHS:
                _check_key(headers, self._settings.keys)
        else:
            _check_local(headers)
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            _check_origin(headers)
        if _announced_bytes(headers) > limit_bytes:
            raise _too_large(limit_bytes)


class _Room:
    """Memory for the bodies of all requests at once."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._taken_bytes = limit_bytes, 0

    def take(self, size_bytes: int) -> None:
        """Take some of it, or give some back.

        Raises:
            Problem: when there is not so much left.
        """
        if size_bytes > self._limit_bytes - self._taken_bytes:
            raise Problem("overloaded", "too many large bodies are being received; try again later")
        self._taken_bytes += size_bytes


class _Body:
    """A request's body, counted and timed as it arrives.

    It holds its place in a room until it is let go; without one it is not kept in memory.
    """

    def __init__(
        self, receive: Receive, limit_bytes: int, seconds: float, room: _Room | None
    ) -> None:
        self._receive, self._limit_bytes, self._room = receive, limit_bytes, room
        self._deadline, self._bytes, self._whole = time.monotonic() + seconds, 0, False
        self._held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Take room for so many bytes in all.

        Raises:
            Problem: when there is not so much left.
        """
        if self._room and size_bytes > self._held_bytes:
            self._room.take(size_bytes - self._held_bytes)
            self._held_bytes = size_bytes

    def let_go(self) -> None:
        """The request has ended."""
        if self._room:
            self._room.take(-self._held_bytes)
        self._held_bytes = 0

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise Problem(
                "too-slow",
                "the body did not arrive in time; send it faster",
                headers={"Connection": "close"},
            ) from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit_bytes:
            raise _too_large(self._limit_bytes)
        # One that did not say how long it is takes room as it comes.
        self.hold(self._bytes)
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message


def _announced_bytes(headers: Headers) -> int:
    announced = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(announced):
        raise Problem("malformed", "Content-Length must be a number of bytes")
    return int(announced)


def _check_key(headers: Headers, keys: tuple[str, ...]) -> None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    # Every key is compared, so the time taken does not tell which came close.
    matches = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
    if not any(matches):
        raise Problem(
            "unauthenticated",
            "send a key as Authorization: Bearer <key> or X-API-Key: <key>",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _check_local(headers: Headers) -> None:
    """Without keys only this machine is served, also when a DNS name is made to point here."""
    if _host(f"//{headers.get('host', '')}") not in LOOPBACK_HOSTS:
        raise Problem("forbidden-origin", "without API keys the Host must be a loopback address")


def _check_origin(headers: Headers) -> None:
    """Any web page can make a browser post to a loopback address; that is refused."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise Problem("forbidden-origin", "the Origin header names another site than this one")


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def request_id(given: str) -> str:
    """The client's name for its request, if that is a sane one; else one of ours."""
    return given if _SANE_ID.fullmatch(given) else f"{_PROCESS}-{next(_numbers)}"


def _too_large(limit_bytes: int) -> Problem:
    return Problem(
        "payload-too-large",
        f"the body may hold at most {limit_bytes} bytes here",
        limit_bytes=limit_bytes,
        headers={"Connection": "close"},
    )


def usual_headers(said: Iterable[RawHeader]) -> list[RawHeader]:
    """What an answer says beside its own headers and the name of the request."""
    known = {name.lower() for name, _ in said}
    return [usual for usual in _USUAL_HEADERS if usual[0] not in known]
