"""Messages between a child process and its parent: a header of JSON and a body of raw bytes, over a socket.

Nothing is pickled: the child reads files that strangers made, and what it says is data, never code.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

Header = Mapping[str, Any]

MAX_BYTES = 1 << 30
"""A longer message is none: the other side has lost its mind."""

_LENGTHS = struct.Struct(">II")


class Channel:
    """One end of the line.

    Args:
        connection: A connected stream socket. If it has a timeout ...
        on_wait: ... this is called each time that it has passed without a byte; it raises to give up.
        max_bytes: What the header or the body of a message that is received may have.
    """

    def __init__(
        self, connection: socket.socket, *, on_wait: Callable[[], None] = lambda: None, max_bytes: int = MAX_BYTES
    ) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._on_wait = on_wait

    def send(self, header: Header, body: bytes = b"") -> None:
        """Send a message; returns when the system has all of it.

        Raises:
            ConnectionError: The other side is gone.
        """
        encoded = json.dumps(header).encode()
        self._send(memoryview(_LENGTHS.pack(len(encoded), len(body)) + encoded))
        self._send(memoryview(body))

    def receive(self) -> tuple[Header, memoryview]:
        """The next message.

        Raises:
            ConnectionError: The other side is gone, perhaps in the middle of a message.
            ValueError: This is no message.
        """
        n_header, n_body = _LENGTHS.unpack(self._receive(_LENGTHS.size))
        if max(n_header, n_body) > self._max_bytes:
            raise ValueError(f"a message of {n_header} and {n_body} bytes")
        try:
            header = json.loads(bytes(self._receive(n_header)))
        except RecursionError as error:
            raise ValueError("a message of brackets within brackets") from error
        if not isinstance(header, dict):
            raise ValueError("a message without a header")
        return header, self._receive(n_body)

    def close(self) -> None:
        """Close this end; whoever waits at the other one wakes up."""
        self._connection.close()

    def _send(self, data: memoryview) -> None:
        while data:
            try:
                data = data[self._connection.send(data) :]
            except TimeoutError:
                self._on_wait()

    def _receive(self, n_bytes: int) -> memoryview:
        data = memoryview(bytearray(n_bytes))
        left = data
        while left:
            try:
                n_read = self._connection.recv_into(left)
            except TimeoutError:
                self._on_wait()
                continue
            if not n_read:
                raise ConnectionResetError("the other side is gone")
            left = left[n_read:]
        return data
