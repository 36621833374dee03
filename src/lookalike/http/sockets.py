"""The socket that the service listens on, and its name. Needs no web framework."""

from __future__ import annotations

import errno
import ipaddress
import socket

from lookalike.errors import ConfigError

BACKLOG = 2_048
"""Connections that the system holds for us while the event loop is busy."""

_REMEDIES = {
    "EADDRINUSE": "something listens there already. Stop it, or choose another --port",
    "EACCES": "that port is reserved. Choose another --port, such as 8000",
    "EADDRNOTAVAIL": "that is no address of this machine. Choose another --host, such as 127.0.0.1",
}


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        ConfigError: The address cannot be had; says why, and what to do.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host!r} is no address of this machine: {error.strerror or error}.") from error
    try:
        # Otherwise the port cannot be had for a minute after a service that was just stopped.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        name = errno.errorcode.get(error.errno or 0, "")
        reason = _REMEDIES.get(name) or error.strerror or str(error)
        raise ConfigError(f"Cannot listen on {host}, port {port}: {reason}.") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a socket is reached from this machine: "http://127.0.0.1:8000"."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def is_unspecified(listener: socket.socket) -> bool:
    """Whether a socket listens on every address of this machine."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_unspecified


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can reach a socket."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback
