"""The HTTP connections of the page, with limits on their number and on clients that send or read nothing."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 256  # further ones are closed at once
REQUEST_SECONDS = 20.0  # from the first byte of a request, or from the connection, to the end of its headers
UNREAD_SECONDS = 30.0  # a connection whose client reads nothing for so long is closed


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol for one connection; it closes a connection that keeps others waiting."""

    request_timer: asyncio.TimerHandle | None = None
    write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport) -> None:
        """Accept a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._watch_request()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        super().data_received(data)
        self._watch_request()

    def pause_writing(self) -> None:
        """Wait for the client to read what was sent; close the connection if it does not."""
        super().pause_writing()
        self.write_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on sending."""
        self._cancel_timer("write_timer")
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_timer("request_timer")
        self._cancel_timer("write_timer")
        super().connection_lost(exc)

    def _watch_request(self):
        """Run a timer while the headers of a request are awaited."""
        is_waiting = self.cycle is None or self.cycle.response_complete
        if not is_waiting:
            self._cancel_timer("request_timer")
        elif self.request_timer is None:
            self.request_timer = self.loop.call_later(REQUEST_SECONDS, self._close_idle)

    def _close_idle(self):
        """Close the connection unless its request is being answered."""
        self.request_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _cancel_timer(self, name):
        timer = getattr(self, name)
        if timer is not None:
            timer.cancel()
        setattr(self, name, None)
