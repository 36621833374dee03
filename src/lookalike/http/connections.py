"""How many connections may be open, which of them make room for new ones, and taking those.

Without a bound a client that opens connections and says nothing takes every file descriptor, and new connections are
then closed unheard (by libuv, which uvloop is made of). Here those wait for which there is no room.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

MAX_DESCRIPTORS = 16_384
"""As many as are asked of the system. A connection takes about 10 KB."""

RESERVE_SHARE, MIN_RESERVE = 1 / 8, 80
"""Descriptors that are kept for all else: workers, the index, pictures."""

GRACE_S = 0.25
"""So long a connection may be idle whatever happens: the request of one that was just made is on its way."""

REFUSED_AT_ONCE = 16
"""Connections beyond the room that are taken where all others are at work, so that their requests can be refused."""

LOOK_AGAIN_S = 0.02
"""How soon it is looked whether there is room now."""


class Connection(Protocol):
    """What is known of a connection."""

    def make_room(self) -> bool:
        """Close, and say that it does; False if its client has not taken all of an answer."""
        ...


class Connections:
    """The open connections. Used from the event loop alone.

    Args:
        room: How many there may be; for one more the one goes that has waited longest for a request.

    Attributes:
        is_closing: Set when no more are taken; one that was being taken at that moment is still made.
    """

    def __init__(self, room: int) -> None:
        self.is_closing = False
        self._room = room
        self._open: set[Connection] = set()
        self._idle_since: OrderedDict[Connection, float] = OrderedDict()

    @property
    def is_crowded(self) -> bool:
        """Whether those at work alone are too many."""
        return self._n_busy > self._room

    def admit(self) -> bool:
        """Whether one more can be taken now; who has been idle for longest goes for it."""
        while len(self._open) >= self._room and self._make_room():
            pass
        more = REFUSED_AT_ONCE if self._n_busy >= self._room else 0
        return len(self._open) < self._room + more

    def made(self, connection: Connection) -> None:
        """It is open, and waits for the head of a request."""
        self._open.add(connection)
        self.idle(connection)

    def idle(self, connection: Connection) -> None:
        """It waits for the head of a request again, or has got the first bytes of one."""
        if connection in self._open:
            self._idle_since[connection] = time.monotonic()
            self._idle_since.move_to_end(connection)

    def busy(self, connection: Connection) -> None:
        """A request of it is being read or answered: it is closed for nobody."""
        self._idle_since.pop(connection, None)

    def lost(self, connection: Connection) -> None:
        """It is closed, or about to be."""
        self._open.discard(connection)
        self._idle_since.pop(connection, None)

    @property
    def _n_busy(self) -> int:
        return len(self._open) - len(self._idle_since)

    def _make_room(self) -> bool:
        latest = time.monotonic() - GRACE_S
        for connection, since in self._idle_since.items():
            if since > latest:
                return False
            if connection.make_room():
                self.lost(connection)
                return True
        return False


class Door:
    """Takes connections while there is room; the others wait in the system's queue. In the place of asyncio's Server.

    Args:
        listener: Where they come; closed by the caller, after this.
        make: Makes the protocol of one.
        connections: Says whether there is room.
    """

    def __init__(
        self, listener: socket.socket, make: Callable[[], asyncio.BaseProtocol], connections: Connections
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make = make
        self._connections = connections
        self._tasks: set[asyncio.Task[object]] = set()
        self._shut: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._open()

    def close(self) -> None:
        """Take no more."""
        self._connections.is_closing = True
        if self._shut is not None:
            self._shut.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Nothing: `close` leaves nothing undone."""

    def _open(self) -> None:
        self._shut = None
        self._loop.add_reader(self._listener, self._take)

    def _take(self) -> None:
        if not self._connections.admit():
            self._wait()
            return
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no descriptor or no memory: what waits is not lost
            self._wait()
            return
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wait(self) -> None:
        self._loop.remove_reader(self._listener)
        self._shut = self._loop.call_later(LOOK_AGAIN_S, self._open)


def raise_limit() -> int:
    """Let this process have as many descriptors as it may, up to `MAX_DESCRIPTORS`; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)


def room(descriptors: int) -> int:
    """How many connections so many descriptors are enough for."""
    return max(1, descriptors - max(MIN_RESERVE, int(descriptors * RESERVE_SHARE)))
