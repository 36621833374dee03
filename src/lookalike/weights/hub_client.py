"""How a hub is reached: a client of httpx2 that obeys the user's settings, and its errors as ours."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2

from lookalike.errors import ConfigError, Refused, Unavailable
from lookalike.weights.local import HubSettings


def host_of(endpoint: str) -> str:
    """The name of the hub's machine, for messages.

    Raises:
        ConfigError: It is no address.
    """
    try:
        return urlsplit(endpoint).hostname or endpoint
    except ValueError as error:
        raise ConfigError(f"HF_ENDPOINT is not a usable address: {error}.") from error


def open_client(settings: HubSettings) -> httpx2.Client:
    """A client that obeys the variables about proxies and certificates.

    Raises:
        ConfigError: One of them, or the token, cannot be used.
    """
    # "identity": the size and the place to resume at are those of the file, not of its compressed form.
    headers = {"Accept-Encoding": "identity", "User-Agent": "lookalike"}
    if settings.token is not None:
        if not (settings.token.isascii() and settings.token.isprintable()):
            raise ConfigError("HF_TOKEN holds characters that no token has (a line break?): set it again.")
        headers["Authorization"] = f"Bearer {settings.token}"
    try:
        return httpx2.Client(headers=headers, timeout=settings.timeout_s, follow_redirects=True)
    except OSError as error:
        raise ConfigError(
            f"The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read ({error.strerror or error}): "
            "correct or unset the variable."
        ) from error
    # What the errors say may hold the password of a proxy.
    except ImportError as error:
        raise ConfigError(
            "ALL_PROXY, HTTPS_PROXY or HTTP_PROXY names a SOCKS proxy, for which a library is missing: "
            "pip install socksio, or name a proxy whose address begins with http://."
        ) from error
    except (ValueError, httpx2.InvalidURL) as error:
        raise ConfigError(
            "ALL_PROXY, HTTPS_PROXY or HTTP_PROXY is not the address of a proxy: it has to begin with http:// or "
            "https://."
        ) from error


@contextmanager
def translated(host: str) -> Iterator[None]:
    """Turn the client's errors about a hub into ours."""
    try:
        yield
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise ConfigError(f"HF_ENDPOINT or a redirect of {host} is not a usable address: {error}.") from error
    except httpx2.TimeoutException as error:
        raise unavailable("is silent", host=host) from error
    except httpx2.TooManyRedirects as error:
        raise Refused(f"{host} redirects in a circle.", provider=host) from error
    except httpx2.RequestError as error:
        if _is_untrusted(error):
            raise Refused(
                f"The certificate of {host} is not trusted: {error}. Behind a proxy that opens TLS, set "
                "SSL_CERT_FILE to its certificate.",
                provider=host,
            ) from error
        raise unavailable(f"cannot be reached or broke off ({error or type(error).__name__})", host=host) from error


def unavailable(what: str, *, host: str) -> Unavailable:
    """The error for a hub that did this; what has arrived is kept."""
    return Unavailable(f"{host} {what}. Run the same command again: it goes on where it stopped.", provider=host)


def _is_untrusted(error: BaseException) -> bool:
    """True if a certificate that did not verify is at the bottom of an error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
