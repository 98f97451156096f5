"""Heads of requests: read by httptools, up to a bounded length."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.problems import MEDIA_TYPE, Problem

MAX_HEAD_BYTES = 65_536
# A connection closed while more comes is reset, and the client may lose what it was told.
_LINGER_SECONDS = 2.0
_REFUSAL = Problem(
    "head-too-large", f"a request's address and headers may have {MAX_HEAD_BYTES} bytes in all"
)


class BoundedHead(HttpToolsProtocol):
    """Uvicorn's faster protocol, which itself would take a head of any length into memory.

    A longer one than ``MAX_HEAD_BYTES`` is refused as soon as so much of it has come. That ends the
    connection; what the client still sends is let go, for a moment.
    """

    # Of the present request; what came of the head counts while it has not ended.
    _in_head, _head_bytes, _too_long = True, 0, False
    # The present piece, and the one in which the present head may have begun.
    _piece_bytes, _begun_bytes = 0, 0

    def data_received(self, data: bytes) -> None:
        """Parse a piece, unless the head was refused."""
        if self._too_long:
            return
        self._piece_bytes = len(data)
        self._head_bytes += self._piece_bytes if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self._too_long:
            self._too_long = True
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """The head has ended: it may have come in one long piece.

        Raises:
            ValueError: when it is too long, which makes the parser stop.
        """
        # Nearly always all pieces that may hold any of it are short enough together.
        if self._head_bytes + self._begun_bytes > MAX_HEAD_BYTES:
            lengths = (len(name) + len(value) for name, value in self.headers)
            self._too_long = len(self.url) + sum(lengths) > MAX_HEAD_BYTES
        if self._too_long:
            raise ValueError("a head too long")
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has ended: the next head begins."""
        self._in_head, self._head_bytes, self._begun_bytes = True, 0, self._piece_bytes
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, and what is too long."""
        if not self._too_long:
            super().send_400_response(msg)
            return
        if self.cycle and not self.cycle.response_complete:
            # An earlier request of this connection is being answered: ours would come in between.
            self.transport.close()
            return
        body = json.dumps(_REFUSAL.body("")).encode()
        head = (
            "HTTP/1.1 431 Request Header Fields Too Large\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
