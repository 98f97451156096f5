"""HTTP methods beyond what routes declare: HEAD for every GET, and a complete ``Allow``."""

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Answers HEAD as GET without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server leaves out the body by the method in its own scope.
        as_get = {**scope, "method": "GET"}
        await self._app(as_get, receive, _without_body(send))
        scope["route"] = as_get.get("route")


def _without_body(send: Send) -> Send:
    ended = False

    async def send_head(message: Message) -> None:
        nonlocal ended
        if message["type"] == "http.response.start":
            await send(message)
        elif not ended:
            # The first piece ends the answer, so that a stream is not read for nothing.
            ended = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


def allowed(routes: Iterable[APIRoute], path: str) -> list[str]:
    """The methods of an address; a router knows only those of its first route that fits."""
    found = set[str]().union(
        *(route.methods or () for route in routes if route.path_regex.match(path))
    )
    return sorted(found | {"HEAD"} if "GET" in found else found)
