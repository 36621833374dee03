"""Connections: through a proxy, and given up before their time."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from lookalike.errors import ConfigError, DeadlineExceeded, Unavailable
from lookalike.messages import Request
from lookalike.wire import Wire
from tests.doubles.double import hang
from tests.doubles.simple import SimpleAdapter, SimpleDouble
from tests.loopback import PATIENCE_S, LoopbackHandler, LoopbackServer


class _ProxyHandler(LoopbackHandler):
    def respond(self) -> None:
        self.owner.seen.append((self.command, self.path, self.named_headers))
        self.answer({"by": "the proxy"}, 407 if self.command == "CONNECT" else 200)

    def do_CONNECT(self) -> None:  # noqa: N802  # the base class names it
        self.do_GET()


class Proxy(LoopbackServer):
    """A proxy that answers by itself, and lets no tunnel through."""

    def __init__(self) -> None:
        super().__init__(_ProxyHandler)
        self.seen: list[tuple[str, str, dict[str, str]]] = []


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as started:
        yield started


def test_requests_go_through_the_proxy(proxy: Proxy) -> None:
    """With a proxy every request goes to it, with its user and password, which the service itself never sees."""
    wire = Wire("http://service.test", host="service", headers={}, proxy=f"http://me:s%40cret@127.0.0.1:{proxy.port}")
    answer = wire.ask(Request("GET", "/x"), lambda: PATIENCE_S)
    wire.close()
    ((command, path, headers),) = proxy.seen
    assert (answer.status, command, path) == (200, "GET", "http://service.test/x")
    assert headers["proxy-authorization"] == "Basic bWU6c0BjcmV0"  # me:s@cret
    assert headers["host"] == "service.test"


def test_a_proxy_that_lets_nothing_through(proxy: Proxy) -> None:
    """A proxy that refuses the tunnel to an https address is an error that says so, without its password."""
    wire = Wire("https://service.test", host="service", headers={}, proxy=f"http://me:secret@127.0.0.1:{proxy.port}")
    with pytest.raises(Unavailable, match="407") as caught:
        wire.ask(Request("GET", "/x", headers={"Authorization": "Bearer key-of-mine"}), lambda: PATIENCE_S)
    wire.close()
    assert proxy.seen[0][:2] == ("CONNECT", "service.test:443")
    assert "authorization" not in proxy.seen[0][2]
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("address", ["socks5://proxy.test:1080", "http://", "http://me:secret@proxy.test:port"])
def test_what_is_no_http_proxy_is_a_wrong_setting(address: str) -> None:
    """It is said before anything is sent, by the variable's name and without the password."""
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        Wire("https://service.test", host="service", headers={}, proxy=address)
    assert "secret" not in str(caught.value)


def test_a_proxy_may_go_without_its_scheme(proxy: Proxy) -> None:
    """As with other programs, host:port is an HTTP proxy."""
    wire = Wire("http://service.test", host="service", headers={}, proxy=f"127.0.0.1:{proxy.port}")
    assert wire.ask(Request("GET", "/x"), lambda: PATIENCE_S).status == 200
    wire.close()


def test_a_request_can_be_given_up() -> None:
    """A request that nobody waits for any more ends long before its time, although nothing arrives."""
    given_up = threading.Event()
    with SimpleDouble() as double:
        double.rule = hang
        wire = Wire(double.url, host="simple", headers={})
        request = SimpleAdapter(double.url).request("text", ["a"])
        until = time.monotonic() + 10 * PATIENCE_S
        caught: list[DeadlineExceeded] = []

        def ask() -> None:
            try:
                wire.ask(request, lambda: -1.0 if given_up.is_set() else until - time.monotonic())
            except DeadlineExceeded as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        double.arrived(1)
        given_up.set()
        thread.join(timeout=PATIENCE_S / 2)
        assert len(caught) == 1
        wire.close()
