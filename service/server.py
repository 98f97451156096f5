"""The HTTP server around the application: how it listens, and how it ends."""

import socket
import sys
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.heads import BoundedHead

_PATIENCE_SECONDS = 5
_NOT_STARTED_STATUS = 3


def serve(app: FastAPI, host: str, port: int | None, descriptor: int | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; requests at work then have a few seconds to end.

    ``descriptor`` is a listening socket to accept from, in place of host and port.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port or 0,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
        http=BoundedHead,
    )
    server = _Server(config, app)
    with suppress(KeyboardInterrupt):
        server.run(None if descriptor is None else [socket.socket(fileno=descriptor)])
    if not server.started:
        sys.exit(_NOT_STARTED_STATUS)


class _Server(uvicorn.Server):
    """Tells the application at once when it is asked to stop.

    Streams end then, and their readers go on where they ended as soon as it is back; otherwise
    they would be waited for in vain.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.stopping = True
        super().handle_exit(sig, frame)
