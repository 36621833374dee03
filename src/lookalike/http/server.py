"""The server: uvicorn on a socket, signals, and a graceful end."""

from __future__ import annotations

import gc
import math
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import uvicorn

from lookalike.health import ServiceStatus
from lookalike.http import connections
from lookalike.http.app import create_app
from lookalike.http.context import Context
from lookalike.http.current import Current
from lookalike.http.following import Follower
from lookalike.http.protocol import GuardedProtocol
from lookalike.http.sockets import BACKLOG

KEEP_ALIVE_S = 75
"""An idle connection is kept for longer than a proxy keeps its own (60 s), so that it is never we who hang up on it."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


OnStatus = Callable[[ServiceStatus, str, bool], None]
"""Told how the service is, why its index cannot be searched if that is so, and whether it stops."""


def run(
    context: Context, listener: socket.socket, *, on_status: OnStatus | None = None, follower: Follower | None = None
) -> None:
    """Answer requests until a signal says to stop, and what was accepted is finished; a second signal ends at once.

    Args:
        context: What the routes work with; closed by the caller.
        listener: A socket of `sockets.bind`; closed at the end.
        on_status: Told, within a tenth of a second, that readiness or a reason has changed, or that this stops.
        follower: Puts another context in its place where the index is switched to another space; closed by the caller.
    """
    room = connections.room(connections.raise_limit())
    server = Server(context, on_status=on_status, max_connections=room)
    if follower is not None:
        follower.start(server.current)
    # What is there by now stays, and looking at all of it is most of a collection: for tens of milliseconds nobody
    # would be answered.
    gc.freeze()
    server.run(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn, stopping as a service should; `current` is what requests are lent.

    Args:
        context: What the routes work with.
        on_status: As of `run`.
        max_connections: Over it those make room that wait for a request, or else requests are refused.
    """

    def __init__(
        self,
        context: Context,
        *,
        on_status: OnStatus | None = None,
        max_connections: int = connections.MAX_DESCRIPTORS,
    ) -> None:
        settings = context.settings
        self.current = Current(context)
        super().__init__(
            uvicorn.Config(
                create_app(self.current),
                http=GuardedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(settings.drain_s),
            )
        )
        self._context = context
        self._connections = connections.Connections(max_connections)
        self._on_status = on_status
        self._told: tuple[bool, str, str, bool] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and begin with what was ordered."""
        await super().startup([])
        make = partial(GuardedProtocol, self.config, self.server_state, {}, connections=self._connections)
        self.servers = [connections.Door(listener, make, self._connections) for listener in sockets or ()]  # type: ignore[misc]
        if self._context.feeding is not None:
            self._context.feeding.start(lambda: self.current.context.service)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: tell what is new; whether to stop."""
        self._tell_news()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that this is the end; then finish what was accepted."""
        self._tell_news()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Hear signals while serving. uvicorn would raise them again at the end; but to stop as asked is no failure."""
        try:
            before = {sign: signal.signal(sign, self.handle_exit) for sign in SIGNALS}
        except ValueError:  # in a thread, as in tests: signals are not ours
            before = {}
        try:
            yield
        finally:
            for sign, handler in before.items():
                signal.signal(sign, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Stop; the second time at once. The workers see that this process is gone, and end themselves."""
        if self._context.stopping.is_set():
            os._exit(128 + sig)
        self.stop()

    def _tell_news(self) -> None:
        if self._on_status is None:
            return
        status, mismatch = self.current.context.service.status(), self.current.context.index.mismatch()
        stopping = self._context.stopping.is_set()
        news = (status.ready, status.reason, mismatch, stopping)
        if news != self._told:
            self._told = news
            self._on_status(status, mismatch, stopping)

    def stop(self) -> None:
        """Take no more requests, finish those that are accepted, and return from `run`."""
        self._context.stopping.set()
        self.should_exit = True
