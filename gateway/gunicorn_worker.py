"""gunicorn's ASGI worker, taught to drain: idle connections close at once, open ones before the kill."""

from asyncio import BaseTransport
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

if TYPE_CHECKING:  # it needs Django set up, which the arbiter is not when it reads this
    from gateway.hot import HotConnection

# The arbiter kills at the graceful limit; handlers are cancelled this long before, so that they settle.
SETTLING_SECONDS = 2.0


class Connection(ASGIProtocol):  # type: ignore[misc]  # gunicorn is not typed
    """A client's connection that its worker knows of.

    As long as it asks for nothing but the hot POSTs, `HotConnection` serves it; the first other request
    starts gunicorn's own protocol, for good.
    """

    hot: "HotConnection | None" = None

    def connection_made(self, transport: BaseTransport) -> None:
        self.worker.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.discard(self)
        if self.hot is not None:
            self.hot.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.hot is not None:
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
        )
        if self.hot is None:
            super()._start_http1(buffered)

    def _hand_over(self, data: bytes) -> None:
        self.hot = None
        super()._start_http1(data)

    def close_if_idle(self) -> None:
        """Close it as its keep-alive limit would, unless a request is being answered or read."""
        if self.hot is not None:
            if self.hot.idle:
                self.transport.close()
        elif self._awaiting_request and not self._finishing_calls and not self._request_ready.is_set():
            self._keepalive_timeout()

    def end(self) -> None:
        """Cancel the handler, as if the client had left."""
        if self.hot is not None:
            self.hot.cancel()
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
