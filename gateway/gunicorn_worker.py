"""gunicorn's ASGI worker, taught to drain: idle connections close at once, open ones before the kill."""

from asyncio import BaseTransport
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

# The arbiter kills at the graceful limit; handlers are cancelled this long before, so that they settle.
SETTLING_SECONDS = 2.0


class Connection(ASGIProtocol):  # type: ignore[misc]  # gunicorn is not typed
    """A client's connection that its worker knows of."""

    def connection_made(self, transport: BaseTransport) -> None:
        self.worker.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.discard(self)
        super().connection_lost(exc)

    def close_if_idle(self) -> None:
        """Close it as its keep-alive limit would, unless a request is being answered or read."""
        if self._awaiting_request and not self._finishing_calls and not self._request_ready.is_set():
            self._keepalive_timeout()

    def end(self) -> None:
        """Cancel the handler, as if the client had left."""
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
