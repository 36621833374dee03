"""One picture from a URL that somebody else wrote, fetched so that they learn and reach nothing but the picture.

What is refused, and why: CVE-2026-24779 (two readings of one URL), CVE-2026-41488 (checked, then looked up again),
CVE-2025-6242 (redirects into the private network). Here one parser reads a URL, its parts are what is connected to,
and every hop goes through the same checks.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore2
import httpx2

from lookalike.errors import InputError, LookalikeError, RateLimited, TooLarge, Unavailable, UnsupportedMedia
from lookalike.retry import retry_after_s
from lookalike.sources.addresses import address_of, is_public
from lookalike.sources.connecting import CheckedBackend, Forbidden, IsAllowed, Resolve, system_addresses

PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})

HEADERS = {
    "Accept": "image/*",
    # What arrives is what is counted: a few bytes cannot become gigabytes.
    "Accept-Encoding": "identity",
    "User-Agent": "lookalike",
}

UNTOLD_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Content types of servers that do not know what they have; the image door looks at the bytes in any case."""

PRIVATE = "is on a host that is not on the public internet."

Count = Callable[[int], None]
"""Told of bytes before they are read, as far as the host says how many; it raises where they are too many."""

MAX_SHOWN = 200
"""Characters of a URL in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPolicy:
    """Where pictures may be fetched from.

    Attributes:
        allowed_hosts: Hosts that may be asked, each with all names below it; empty for every public host.
        ports: Ports that may be asked.
        max_redirects: How many are followed.
        is_allowed: Whether an address may be connected to.
        resolve: Looks a name up; OSError if it has no address.
    """

    allowed_hosts: tuple[str, ...] = ()
    ports: frozenset[int] = frozenset(PORTS.values())
    max_redirects: int = 3
    is_allowed: IsAllowed = is_public
    resolve: Resolve = system_addresses


class UrlReader:
    """Fetches pictures by http and https. Any number of threads may use it at once.

    It sends no cookies, no credentials and no referrer, and obeys no proxy variables: a proxy would look names up by
    itself.
    """

    def __init__(self, policy: UrlPolicy | None = None, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """Make a reader; `ssl_context` says whose certificates are trusted, the system's if left out."""
        self._policy = policy or UrlPolicy()
        self._ssl_context = ssl_context or httpx2.create_ssl_context()

    def read(self, url: str, *, max_bytes: int, deadline: float, count: Count = lambda _: None) -> bytes:
        """The bytes behind a URL.

        Args:
            url: Whatever somebody wrote.
            max_bytes: At most so many are read.
            deadline: On time.monotonic(), in seconds: look-up, connection, redirects and body all end by then.
            count: Told of the bytes of the body; what it raises ends the reading.

        Raises:
            InputError: The URL cannot be used, must not be asked, or leads nowhere; names it without its query.
            UnsupportedMedia: What is there is not a picture, or is sent compressed.
            TooLarge: It is over `max_bytes`.
            RateLimited: The host asks for a pause.
            Unavailable: The host cannot be reached, failed, broke off, or took too long.
        """
        target = self._checked(url, item=shown(url))
        for _ in range(self._policy.max_redirects + 1):
            answer = self._ask(target, max_bytes=max_bytes, deadline=deadline, count=count, item=shown(url))
            if isinstance(answer, bytes):
                return answer
            target = self._checked(answer, item=shown(url))
        raise InputError("redirects more often than is followed: use the address that it leads to.", item=shown(url))

    def require(self, url: str) -> None:
        """Raise InputError unless this is a URL that may be asked, as far as that shows without asking anybody."""
        literal = address_of(self._checked(url, item=shown(url)).host)
        if literal is not None and not self._policy.is_allowed(literal):
            raise InputError(PRIVATE, item=shown(url))

    def _checked(self, url: str | httpx2.URL, *, item: str) -> httpx2.URL:
        """The URL, if it may be asked; the address behind its name is checked when it is connected to."""
        if "\\" in str(url):
            raise InputError("has a backslash, which programs read differently: write %5C.", item=item)
        try:
            parsed = httpx2.URL(url)
            literal = address_of(parsed.host)
        except (httpx2.InvalidURL, ValueError) as error:
            raise InputError("is not a URL that can be used: check its spelling.", item=item) from error
        if parsed.scheme not in PORTS:
            raise InputError("is not a URL that starts with http:// or https://.", item=item)
        if parsed.userinfo:
            raise InputError("has a user name or password in it: only public pictures are fetched.", item=item)
        host = parsed.raw_host.decode("ascii")
        if literal is None and not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", host):
            raise InputError("has no host that could be asked: check its spelling.", item=item)
        if (PORTS[parsed.scheme] if parsed.port is None else parsed.port) not in self._policy.ports:
            raise InputError("names a port that is not asked: only the usual ones are.", item=item)
        if not self._is_listed(host):
            raise InputError("is on a host that this service does not fetch from.", item=item)
        return parsed

    def _is_listed(self, host: str) -> bool:
        allowed = [name.lower().strip(".") for name in self._policy.allowed_hosts]
        return not allowed or any(f".{host.rstrip('.')}".endswith(f".{name}") for name in allowed)

    def _ask(self, url: httpx2.URL, *, max_bytes: int, deadline: float, count: Count, item: str) -> bytes | httpx2.URL:
        """The body of one answer, or where it redirects to."""
        # The very parts that were checked, not a text that would be read once more.
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        backend = CheckedBackend(resolve=self._policy.resolve, is_allowed=self._policy.is_allowed, deadline=deadline)
        with (
            _translated(url.host, item=item),
            httpcore2.ConnectionPool(ssl_context=self._ssl_context, network_backend=backend) as pool,
            pool.stream("GET", target, headers=[("Host", url.netloc), *HEADERS.items()]) as response,
        ):
            headers = httpx2.Headers(response.headers)
            if response.status in REDIRECTS and "location" in headers:
                return url.join(headers["location"])
            if response.status != 200:
                raise _refusal(response.status, headers, host=url.host, item=item)
            _require_picture(headers, item=item)
            return _body(response, headers, max_bytes=max_bytes, count=count, item=item)


def shown(url: str) -> str:
    """A URL for messages and logs: without query, fragment, user and password, which may be secrets, and not too long.

    Works on any text, since what cannot be parsed has to be named as well.
    """
    place = re.split(r"[?#]", url, maxsplit=1)[0]
    public = re.sub(r"^(\w+:[/\\]+|[/\\]*)[^/\\]*@", r"\1", place)
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in public)
    return printable if len(printable) <= MAX_SHOWN else f"{printable[:MAX_SHOWN]}..."


def _require_picture(headers: Mapping[str, str], *, item: str) -> None:
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in UNTOLD_TYPES and not kind.startswith("image/"):
        raise UnsupportedMedia("is not a picture but something else, such as a page about one.", item=item)
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMedia("is sent compressed although it was asked for as it is.", item=item)


def _body(
    response: httpcore2.Response, headers: Mapping[str, str], *, max_bytes: int, count: Count, item: str
) -> bytes:
    # h11 has refused a length that is not a number, and refuses a body of another length.
    stated = int(headers.get("content-length", "0"))
    body = bytearray()
    too_large = "has more than the {:,} bytes that are allowed.".format
    if stated > max_bytes:
        raise TooLarge(too_large(max_bytes), item=item, actual=stated, limit=max_bytes)
    count(stated)
    for chunk in response.iter_stream():
        if not stated:
            count(len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(too_large(max_bytes), item=item, actual=len(body), limit=max_bytes)
    return bytes(body)


def _refusal(status: int, headers: Mapping[str, str], *, host: str, item: str) -> LookalikeError:
    """The error that an answer stands for which is neither a success nor a redirect."""
    if status == 429 or (status == 503 and "retry-after" in headers):
        return RateLimited(
            f"{item}: its host asks for a pause (HTTP {status}): try again later.",
            provider=host,
            status=status,
            retry_after_s=retry_after_s(headers.get("retry-after"), time.time()),
        )
    if status >= 500 or status == 408:
        return Unavailable(f"{item}: its host failed (HTTP {status}): try again later.", provider=host, status=status)
    return InputError(f"its host does not hand it out (HTTP {status}): check that anybody can open it.", item=item)


@contextmanager
def _translated(host: str, *, item: str) -> Iterator[None]:
    try:
        yield
    except Forbidden:
        # `from None` and one sentence for all: who asked must not learn what a name leads to in here.
        raise InputError(PRIVATE, item=item) from None
    except httpx2.InvalidURL as error:
        raise InputError("redirects to something that is not a URL.", item=item) from error
    except httpcore2.TimeoutException as error:
        raise Unavailable(f"{item}: its host did not answer in time: try again later.", provider=host) from error
    except httpcore2.NetworkError as error:
        raise Unavailable(f"{item}: its host cannot be reached: try again later.", provider=host) from error
    except httpcore2.ProtocolError as error:
        raise Unavailable(f"{item}: its host broke off or does not speak HTTP.", provider=host) from error
