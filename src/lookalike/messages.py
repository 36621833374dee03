"""One question over HTTP and its answer, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lookalike.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask: a path with its query, and a body if there is something to send. Headers may hold a key."""

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names are in lower case, the body is whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def address_of(base_url: str, *, setting: str = "base_url") -> tuple[str, str]:
    """An address without a slash at its end, and its host with the port, for errors.

    Args:
        base_url: Where a service is.
        setting: What to call it in the error.

    Raises:
        ConfigError: It is no http(s) address, or has a password, a query or a fragment in it.
    """
    try:
        parts = urlsplit(base_url)
        # A space or a line break would end the address in the middle of a request's first line.
        is_visible = all("!" <= letter <= "~" for letter in base_url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and is_visible
        parts.port  # noqa: B018  # raises if it is none
    except ValueError:
        is_usable = False
    # Of the address itself: the parts do not tell an empty query from none.
    if not is_usable or parts.username or parts.password or "?" in base_url or "#" in base_url:
        # Not repeated: there may be a password in it.
        raise ConfigError(f"{setting} must be an address such as http://127.0.0.1:8000, without anything secret in it.")
    return base_url.rstrip("/"), parts.netloc


def bearer(key: str, *, setting: str) -> dict[str, str]:
    """The header that shows a key.

    Raises:
        ConfigError: It is empty or holds what no header can; names the setting, and does not repeat the key.
    """
    return {"Authorization": f"Bearer {header_safe(key, setting=setting)}"}


def header_safe(key: str, *, setting: str) -> str:
    """The key, if a header can hold it. Errors as `bearer`."""
    if not key or not all("!" <= letter <= "~" for letter in key):
        raise ConfigError(f"{setting} is empty or holds characters that no key has (a line break?): set it again.")
    return key
