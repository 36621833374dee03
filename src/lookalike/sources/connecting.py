"""Connections to addresses that were checked, within a deadline.

A name is looked up once, every address that it has is checked, and those very addresses are connected to: a second
look-up may have another answer ("DNS rebinding"). TLS and the Host header still see the name.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from ipaddress import ip_address

import httpcore2

from lookalike.sources.addresses import Address, address_of

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host at a port; OSError if it has none."""

IsAllowed = Callable[[Address], bool]


class Forbidden(Exception):
    """A host that must not be connected to. It says nothing more, since who asked must not learn what is there."""


def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedBackend(httpcore2.NetworkBackend):
    """Connects to allowed addresses only, and ends whatever has not ended by the deadline."""

    def __init__(self, *, resolve: Resolve, is_allowed: IsAllowed, deadline: float) -> None:
        """Make one for one request.

        Args:
            resolve: Looks a name up.
            is_allowed: Whether an address may be connected to.
            deadline: On time.monotonic(), in seconds.
        """
        self._resolve = resolve
        self._is_allowed = is_allowed
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  # the deadline counts instead
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        """A connection to the first address of the host that answers.

        Raises:
            Forbidden: One of its addresses is not allowed.
            httpcore2.ConnectError: It has none, or none answers.
            httpcore2.ConnectTimeout: The deadline passed.
        """
        addresses = self._checked(host, port)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            # An address that is silent must leave time for the next.
            share_s = _remaining_s(self._deadline, httpcore2.ConnectTimeout) / left
            try:
                stream = httpcore2.SyncBackend().connect_tcp(address, port, timeout=share_s)
                return _DeadlineStream(stream, self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
        raise httpcore2.ConnectError("the host has no address")

    def _checked(self, host: str, port: int) -> list[str]:
        try:
            literal = address_of(host)
            found = [literal] if literal else [ip_address(text) for text in self._looked_up(host, port)]
        except ValueError as error:
            raise Forbidden from error
        if not all(self._is_allowed(address) for address in found):
            raise Forbidden
        return [str(address) for address in found]

    def _looked_up(self, host: str, port: int) -> Sequence[str]:
        # The system's resolver takes no timeout, so it is left behind in a thread when it is too slow.
        answer: Future[Sequence[str]] = Future()

        def look_up() -> None:
            try:
                answer.set_result(self._resolve(host, port))
            except (OSError, UnicodeError) as error:  # UnicodeError: the system finds a label too long
                answer.set_exception(error)

        threading.Thread(target=look_up, name="look-up", daemon=True).start()
        try:
            return answer.result(timeout=_remaining_s(self._deadline, httpcore2.ConnectTimeout))
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("the look-up of the host took too long") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("the host has no address") from error


class _DeadlineStream(httpcore2.NetworkStream):
    """A connection on which nothing takes longer than until the deadline, however little comes at a time."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _remaining_s(self._deadline, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _remaining_s(self._deadline, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        left_s = _remaining_s(self._deadline, httpcore2.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _remaining_s(deadline: float, timeout: type[httpcore2.TimeoutException]) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise timeout("the deadline has passed")
    return left_s
