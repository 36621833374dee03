"""HTTP with a deadline: a call is over when its time is, whatever the other side does.

The timeouts of HTTP libraries bound one read, so that a peer that sends a byte a second keeps a call alive for ever.
Here a timeout runs: each connect, read and write is given what is left of it. Name look-ups are the exception: the
system's resolver has its own patience.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore2

from lookalike.errors import ConfigError, DeadlineExceeded, ProviderError, Refused, Unavailable
from lookalike.forks import InEachProcess
from lookalike.messages import Answer, Request

MAX_ANSWER_BYTES = 256 * 2**20
"""More than any answer of the service has; a picture has at most 64 MiB."""

KEEP_ALIVE_S = 4.0
"""An idle connection is not used again after this: a proxy in between may close its end after 5 s, as uvicorn does."""

PIECE_BYTES = 64 * 2**10
"""Bytes written between two looks at the clock."""

LONGEST_S = 86_400.0
"""Seconds that one connect, read or write may take, however much is left: a socket knows no infinity."""

LOOK_S = 0.25
"""Seconds of silence between two looks at the clock: whoever asked may have given up before the time was over."""


class Wire:
    """Connections to one service, kept for the next call; safe to use from several threads. Redirects are not followed.

    Args:
        base_url: Where the service is, without a slash at the end.
        host: What to call it in errors.
        headers: Sent with every request.
        proxy: The address of a proxy ("http://proxy.example:3128", a user and password before the host if it wants
            them); empty for none.

    Raises:
        ConfigError: The proxy is no such address.
    """

    def __init__(self, base_url: str, *, host: str, headers: Mapping[str, str], proxy: str = "") -> None:
        self._base_url = base_url
        self._host = host
        # "identity": what arrives is as long as it says, and no small answer unpacks into a large one.
        self._headers = {"User-Agent": "lookalike", "Accept-Encoding": "identity", **headers}
        through = _proxy(proxy) if proxy else None
        self._pool = InEachProcess(lambda: _pool(through))

    def ask(self, request: Request, left_s: Callable[[], float]) -> Answer:
        """Send a request and read the whole answer.

        Args:
            request: What to ask.
            left_s: The seconds that are left for it, whenever it is called.

        Raises:
            DeadlineExceeded: The time was up first.
            Unavailable: The service cannot be reached, or the connection broke.
            Refused: Its certificate is not trusted.
            ProviderError: The answer has no end.
        """
        deadline = _Deadline.of(left_s)
        if deadline <= 0:
            raise self._too_late()
        try:
            return self._exchange(request, deadline)
        except httpcore2.TimeoutException as error:
            raise self._too_late() from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError) as error:
            if any(isinstance(reason, ssl.SSLCertVerificationError) for reason in error.args):
                raise Refused(
                    f"The certificate of {self._host} is not trusted ({error}): set SSL_CERT_FILE to its issuer's.",
                    provider=self._host,
                ) from error
            raise Unavailable(
                f"{self._host} cannot be reached or broke off ({error or type(error).__name__}): check the address and "
                "that the service runs.",
                provider=self._host,
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool().close()

    def _exchange(self, request: Request, deadline: _Deadline) -> Answer:
        headers = {**self._headers, **request.headers}
        if request.body:
            headers.setdefault("Content-Type", "application/json")
        with self._pool().stream(
            request.method,
            self._base_url + request.path,
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=request.body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), deadline)},
        ) as response:
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise ProviderError(
                        f"{self._host} sent more than {MAX_ANSWER_BYTES:,} bytes for {request.path}: that is "
                        "no answer to this question.",
                        provider=self._host,
                        status=response.status,
                    )
            named = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}
            return Answer(status=response.status, headers=named, body=bytes(body))

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"{self._host} did not answer in time: give the call more seconds (timeout_s) or less to do."
        )


def _pool(proxy: httpcore2.Proxy | None) -> httpcore2.ConnectionPool:
    return httpcore2.ConnectionPool(
        max_connections=None,
        max_keepalive_connections=20,
        keepalive_expiry=KEEP_ALIVE_S,
        proxy=proxy,
        network_backend=_Network(),
    )


def _proxy(address: str) -> httpcore2.Proxy:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and address.isascii()
        parts.port  # noqa: B018  # raises if it is none
    except ValueError:
        is_usable = False
    if not is_usable:  # not repeated: there may be a password in it
        raise ConfigError("HTTPS_PROXY must be the address of an HTTP proxy, such as http://proxy.example:3128.")
    host = parts.netloc.rpartition("@")[2]
    user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore2.Proxy(f"{parts.scheme}://{host}", auth=user)


class _Deadline(float):
    """A timeout in seconds that runs: as a number it is what was left when the call began."""

    left_s: Callable[[], float]

    @classmethod
    def of(cls, left_s: Callable[[], float]) -> _Deadline:
        deadline = cls(min(left_s(), LONGEST_S))
        deadline.left_s = left_s
        return deadline


def _left(timeout: float | None, error: type[httpcore2.TimeoutException]) -> float | None:
    """The seconds that are left of a timeout; raises `error` if none are, since a socket reads 0 as "do not wait"."""
    return _require_left(timeout, error) if isinstance(timeout, _Deadline) else timeout


def _require_left(deadline: _Deadline, error: type[httpcore2.TimeoutException]) -> float:
    left_s = deadline.left_s()
    if left_s <= 0:
        raise error("the time is up")
    return min(left_s, LONGEST_S)


class _Stream(httpcore2.NetworkStream):
    """A connection whose timeouts run."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while isinstance(timeout, _Deadline):
            try:
                return self._stream.read(max_bytes, min(LOOK_S, _require_left(timeout, httpcore2.ReadTimeout)))
            except httpcore2.ReadTimeout:
                _require_left(timeout, httpcore2.ReadTimeout)
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PIECE_BYTES):
            self._stream.write(buffer[start : start + PIECE_BYTES], _left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout, httpcore2.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore2.NetworkBackend):
    """Plain sockets whose timeouts run."""

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        left_s = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._sockets.connect_tcp(host, port, left_s, local_address, socket_options))
