"""gunicorn's ASGI worker, taught to drain: idle connections close at once, open ones before the kill."""

import socket
import struct
from asyncio import BaseTransport, Future, TimerHandle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

if TYPE_CHECKING:  # it needs Django set up, which the arbiter is not when it reads this
    from gateway.hot import HotConnection

# The arbiter kills at the graceful limit; handlers are cancelled this long before, so that they settle.
SETTLING_SECONDS = 2.0
# A client that is answered before it has sent all is read for so long, and so many bytes.
_LINGER_SECONDS = 5.0
_LINGER_BYTES = 64 * 1024 * 1024


class Connection(ASGIProtocol):  # type: ignore[misc]  # gunicorn is not typed
    """A client's connection that its worker knows of.

    As long as it asks for nothing but the hot POSTs, `HotConnection` serves it; the first other request
    starts gunicorn's own protocol, for good.
    """

    hot: "HotConnection | None" = None
    # bytes that are still read and thrown away; None: all are for the server
    left_to_drop: int | None = None
    _lingers: TimerHandle | None = None
    _told_to_close = False
    _answering = False
    _refused = False

    def connection_made(self, transport: BaseTransport) -> None:
        self.worker.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.discard(self)
        if self._lingers is not None:
            self._lingers.cancel()
        if self.hot is not None:
            self.hot.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.left_to_drop is not None:
            self.left_to_drop -= len(data)
            if self.left_to_drop < 0:
                self.transport.close()
        elif self.hot is not None:
            self.hot.feed(data)
        else:
            super().data_received(data)

    def _start_http1(self, buffered: bytes = b"") -> None:
        make = getattr(self.app, "hot_connection", None)
        self.hot = make and make(
            self.transport,
            drain=self._flow_control.drain,
            alive=lambda: self.worker.alive,
            hand_over=self._hand_over,
            linger=self._linger,
        )
        if self.hot is None:
            super()._start_http1(buffered)

    def _hand_over(self, data: bytes) -> None:
        self.hot = None
        super()._start_http1(data)

    def _send_response_start(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], request: Any, close: bool = False
    ) -> None:
        self._answering = True
        self._told_to_close = (b"connection", b"close") in headers
        super()._send_response_start(status, headers, request, close)

    def _send_error_response(self, *args: Any, **kwargs: Any) -> None:
        self._refused = True  # as a rule in the middle of what the client sends
        super()._send_error_response(*args, **kwargs)

    async def _serve_http_request(self, request: Any, sockname: Any, peername: Any) -> bool:
        """The server by itself keeps a connection although the answer said that it closes."""
        keeps: bool = await super()._serve_http_request(request, sockname, peername)
        return keeps and not self._told_to_close

    async def _handle_http_request(
        self, request: Any, sockname: Any, peername: Any, complete: "Future[bool]"
    ) -> bool:
        self._answering = False
        keeps: bool = await super()._handle_http_request(request, sockname, peername, complete)
        if self._answering and not complete.done() and request.version < (1, 1):
            self._reset()  # its answer ends with its connection: a close would be a proper end
        return keeps

    def _reset(self) -> None:
        if not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def _close_transport(self) -> None:
        if self._closed or not self._is_sent_more():
            super()._close_transport()
            return
        self._closed: bool = True
        if self._body_receiver is not None:  # somebody may wait for what is dropped now
            self._body_receiver.signal_disconnect()
        self._linger()

    def _linger(self) -> None:
        """While the client still sends, a close at once is a reset, in which it loses its answer."""
        if self.transport.is_closing() or self.left_to_drop is not None:
            return
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.left_to_drop = _LINGER_BYTES
        self.transport.write_eof()
        self._resume_reading()
        self._lingers = self.worker.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _is_sent_more(self) -> bool:
        """Whether a request was answered of which not all has come."""
        body = self._body_receiver
        unread = self._refused if body is None else not body._complete and not body._closed
        return unread and not self.transport.is_closing()

    def close_if_idle(self) -> None:
        """Close it as its keep-alive limit would, unless a request is being answered or read."""
        if self.left_to_drop is not None:
            self.transport.close()
        elif self.hot is not None:
            if self.hot.idle:
                self.transport.close()
        elif self._awaiting_request and not self._finishing_calls and not self._request_ready.is_set():
            self._keepalive_timeout()

    def end(self) -> None:
        """Cancel the handler, as if the client had left."""
        if self.hot is not None:
            self.hot.cancel()
            self.transport.close()
        elif self.left_to_drop is not None:
            self.transport.close()
        self._cancel_task_if_pending()


# The worker looks this name up for every connection; there is no setting for it.
gasgi.ASGIProtocol = Connection


class DrainingWorker(gasgi.ASGIWorker):  # type: ignore[misc]
    """Counts no idle keep-alive connection as work to wait for, which alone would last the whole limit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()

    def handle_exit_signal(self) -> None:
        if self.alive:
            limit = self.cfg.graceful_timeout
            self.loop.call_later(max(limit - SETTLING_SECONDS, limit / 2), self._end_open)
            self._close_idle()
        super().handle_exit_signal()

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            connection.close_if_idle()
        # Again, for connections that were being accepted and answers that were being finished.
        self.loop.call_later(0.2, self._close_idle)

    def _end_open(self) -> None:
        if self.connections:
            self.log.warning("Ending %d requests that are still open", len(self.connections))
        for connection in list(self.connections):
            connection.end()
