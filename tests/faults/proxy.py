"""A proxy in front of a server, for tests of what happens when the network fails between."""

import contextlib
import select
import socket
import threading
import time
from pathlib import Path
from typing import Literal

Mode = Literal["pass", "drop", "hang"]
_LOOK_SECONDS, _CHUNK_BYTES = 0.02, 65_536


class Proxy:
    """Listens on a free port of this machine and leads to a unix socket or a TCP address.

    ``mode`` may be changed at any time and holds for open connections too: ``drop`` closes them
    and every new one, ``hang`` accepts them and never answers. ``delay_seconds`` is how much later
    each piece of data arrives.
    """

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self.mode: Mode = "pass"
        self.delay_seconds = 0.0
        self._target, self._closing = target, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listener.getsockname()
        return host, port

    def close(self) -> None:
        """Close every connection and wait for the threads."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            if select.select([self._listener], [], [], _LOOK_SECONDS)[0]:
                thread = threading.Thread(target=self._serve, args=(self._listener.accept()[0],))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._wait_while_hung()
            if self._is_open():
                with self._connect() as server:
                    self._pump(client, server)

    def _connect(self) -> socket.socket:
        if not isinstance(self._target, Path):
            return socket.create_connection(self._target)
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._target))
        return server

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        """Carry data both ways until one side closes or the connection is dropped."""
        other = {client: server, server: client}
        while self._is_open():
            for source in select.select(list(other), [], [], _LOOK_SECONDS)[0]:
                data = source.recv(_CHUNK_BYTES)
                self._wait_while_hung()
                time.sleep(self.delay_seconds)
                if not data or not self._is_open():
                    return
                other[source].sendall(data)

    def _wait_while_hung(self) -> None:
        while self.mode == "hang" and not self._closing.is_set():
            self._closing.wait(_LOOK_SECONDS)

    def _is_open(self) -> bool:
        return self.mode != "drop" and not self._closing.is_set()
