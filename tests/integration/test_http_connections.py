"""Connections of clients that are slow, rude or gone, and the end of the service."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest

from lookalike.config import ServeSettings
from lookalike.errors import ConfigError
from lookalike.http import connections, protocol
from lookalike.http.sockets import bind, is_loopback, url_of
from tests.integration.test_http_requests import Held, asking, raw, read_all
from tests.serving import START_S, Running, serving

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def held() -> Iterator[Held]:
    service = Held()
    yield service
    service.release()
    service.close(drain_s=0)


def parts(answer: bytes) -> tuple[int, bytes]:
    """Status and body of the one answer in these bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def receive_one(connection: socket.socket) -> bytes:
    """One answer of /healthz, on a connection that stays open."""
    data = b""
    while not data.endswith(b"}"):
        more = connection.recv(4096)
        assert more, f"closed after {data!r}"
        data += more
    return data


@pytest.mark.parametrize("start", [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow", b"GET /hea", b"\r\n"])
def test_a_head_that_does_not_end_is_not_waited_for(
    running: Running, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """Slow-loris: a connection whose request does not get on is told so and closed."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    status, body = parts(read_all(raw(running, start)))
    assert status == 408
    assert json.loads(body)["error"]["type"] == "RequestTimeout"


def test_a_head_that_comes_in_drops_is_not_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is for the whole head: more bytes do not prolong it."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    connection = raw(running, b"GET /healthz HTTP/1.1\r\n")
    with connection:
        connection.settimeout(0.02)
        until = time.monotonic() + 5
        answer = b""
        while not answer and time.monotonic() < until:
            try:
                connection.sendall(b"X: y\r\n")
                answer = connection.recv(4096)
            except TimeoutError:
                continue
    assert parts(answer)[0] == 408


def test_a_connection_without_a_word_is_closed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silently: there is nothing to answer."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    assert read_all(raw(running, b"")) == b""


def test_the_second_head_of_a_connection_is_watched_too(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first good request buys no patience for the next."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    connection = raw(running, GET)
    receive_one(connection)
    connection.sendall(b"GET /hea")
    assert parts(read_all(connection))[0] == 408


@pytest.mark.parametrize("n_headers", [1, 400])
@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_a_head_that_is_too_large_is_refused(running: Running, n_headers: int, end: bytes) -> None:
    """431, whether it is one header or many, whole or still coming; only 32 KiB of it and a packet are ever kept."""
    header = b"X: " + b"y" * (40_000 // n_headers) + b"\r\n"
    connection = raw(running, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + header * n_headers + end)
    status, body = parts(read_all(connection))
    assert (status, json.loads(body)["error"]["type"]) == (431, "RequestHeaderFieldsTooLarge")


@pytest.mark.parametrize("data", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\xff HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_is_told_so(running: Running, data: bytes) -> None:
    """400 with the usual body, for TLS on a plain port as well."""
    status, body = parts(read_all(raw(running, data)))
    assert (status, json.loads(body)["error"]["type"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"FFFFFFFFFFFFFFFFF\r\n"),
        (b"Transfer-Encoding: chunked", b"2;x\n=y\r\n{}\r\n0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("before", [b"", GET])
def test_a_body_without_bounds_is_told_so_once(running: Running, header: bytes, body: bytes, before: bytes) -> None:
    """Bad framing after a whole head: one answer, 400; what follows is no request, and an earlier one keeps its own."""
    head = b"POST /embed/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + header + b"\r\n\r\n"
    connection = raw(running, before)
    if before:
        receive_one(connection)
    connection.sendall(head + body + GET)
    answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert parts(answer)[0] == 400


def test_a_body_that_goes_wrong_after_its_answer_gets_no_second_one() -> None:
    """It was refused before it was whole, and what comes then is dropped with the connection."""
    with serving(settings=ServeSettings(max_body_bytes=10)) as running:
        head = b"POST /embed/image HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        connection = raw(running, head + b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + b"x" * 20 + b"\r\n")
        answer = receive_one(connection)
        connection.sendall(b"no chunk\r\n")
        answer += read_all(connection)
    assert [status[:3] for status in answer.split(b"HTTP/1.1 ")[1:]] == [b"413"]


@pytest.mark.parametrize("hosts", [b"", b"Host: x\r\nHost: y\r\n"])
def test_a_request_has_one_host(running: Running, hosts: bytes) -> None:
    """HTTP/1.1 without a Host header, or with two, is 400; HTTP/1.0 needs none."""
    status, body = parts(read_all(raw(running, b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n")))
    assert (status, json.loads(body)["error"]["type"]) == (400, "BadRequest")
    assert parts(read_all(raw(running, b"GET /healthz HTTP/1.0\r\n\r\n")))[0] == 200


def test_requests_one_behind_the_other_are_all_answered(running: Running) -> None:
    """Pipelining: three requests in one packet, three answers in their order."""
    last = GET.replace(b"Host: x", b"Host: x\r\nConnection: close")
    assert read_all(raw(running, GET + GET + last)).count(b'{"status":"alive"}') == 3


def test_after_a_refused_body_the_connection_goes_on() -> None:
    """The rest of a body that was refused is let in and dropped, and the next request is answered."""
    with serving(settings=ServeSettings(max_body_bytes=10)) as running:
        head = b"POST /embed/image HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 300000\r\n\r\n"
        connection = raw(running, head + b"x" * 300_000 + GET)
        answer = receive_one(connection)
        while b"alive" not in answer:
            answer += receive_one(connection)
        connection.close()
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_rest_of_a_refused_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that got its answer and sends no more is hung up on, and so is one that sends for ever."""
    monkeypatch.setattr(protocol, "LEFTOVER_S", 0.2)
    with serving(settings=ServeSettings(max_body_bytes=10)) as running:
        head = b"POST /embed/image HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 300000\r\n\r\n"
        assert parts(read_all(raw(running, head + b"x")))[0] == 413
        endless = raw(running, head.replace(b"300000", b"30000000000"))
        began = time.monotonic()
        with endless, pytest.raises(OSError, match=r"reset|pipe"):
            while time.monotonic() < began + 5:
                endless.sendall(b"x" * 10_000)


def test_an_answer_that_nobody_takes_is_given_up(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that asks and asks and reads nothing keeps no connection for ever, and is no defect in the log."""
    lost = threading.Event()

    def connection_lost(self: protocol.GuardedProtocol, exc: Exception | None) -> None:
        original(self, exc)
        lost.set()

    original = protocol.GuardedProtocol.connection_lost
    monkeypatch.setattr(protocol, "UNTAKEN_S", 0.2)
    monkeypatch.setattr(protocol.GuardedProtocol, "connection_lost", connection_lost)
    host, port = running.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the system takes little on its behalf
        connection.connect((host, int(port)))
        connection.sendall(GET.replace(b"/healthz", b"/openapi.json") * 100)
        assert lost.wait(START_S)
    assert running.client.get("/healthz").status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


def test_who_is_idle_makes_room_the_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit a connection that waits for a request is closed for a new one, and the new one is answered."""
    monkeypatch.setattr(connections, "GRACE_S", 0.0)
    with serving(max_connections=3) as running:  # of which its client has one
        silent, half, kept = raw(running, b""), raw(running, b"GET /hea"), raw(running, GET)
        receive_one(kept)  # all are open: the client's is the longest idle
        with raw(running, GET) as another, kept:
            receive_one(another)
            assert read_all(silent) == b""
            kept.sendall(GET)
            receive_one(kept)
            with raw(running, GET) as third:
                receive_one(third)
                status, body = parts(read_all(half))
    assert (status, json.loads(body)["error"]["type"]) == (503, "Overloaded")


def test_who_has_just_come_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was made a moment ago may send its request; until then a new one waits and is not dropped."""
    with serving(max_connections=1) as running:
        monkeypatch.setattr(connections, "GRACE_S", 0.5)
        with raw(running, b"") as young, raw(running, GET) as waiting:
            young.sendall(GET)
            receive_one(young)
            receive_one(waiting)


def test_who_is_at_work_makes_no_room(held: Held) -> None:
    """Where every connection has a request, none is closed for another: that one is refused, or is a health check."""
    with serving(held, max_connections=2) as running, asking(running) as one, asking(running) as two:
        held.wait(2)
        for path, expected in (("/v1/models", 503), ("/readyz", 200)):
            answer = httpx2.get(running.url + path, trust_env=False)
            assert (answer.status_code, answer.headers["connection"]) == (expected, "close")
        held.release()
    assert [answer.status_code for answer in one + two] == [200, 200]


def test_connections_leave_descriptors_to_the_rest() -> None:
    """An eighth, and at least 64; and however few there are, somebody is let in."""
    assert [connections.room(n) for n in (16_384, 1_024, 128, 64, 10)] == [14_336, 896, 48, 1, 1]


def test_as_many_descriptors_are_asked_for_as_may_be_had() -> None:
    """The soft limit is raised to the hard one, as far as is of use; a limit that is higher already stays."""
    code = "import resource; from lookalike.http import connections; connections.MAX_DESCRIPTORS = 300; "
    code += "print(connections.raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    for limits, expected in (
        ("ulimit -S -n 100; ulimit -H -n 200", "200 200 200"),
        ("ulimit -S -n 100; ulimit -H -n 400", "300 300 400"),
        ("ulimit -n 400", "300 400 400"),
    ):
        command = ["bash", "-c", f'{limits}; exec "$@"', "limited", sys.executable, "-c", code]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == expected


def test_an_upgrade_is_not_waited_for(running: Running) -> None:
    """Who wants a websocket gets an answer like everybody."""
    asked = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    assert parts(read_all(raw(running, asked)))[0] in {200, 400, 426}


def test_a_stop_finishes_what_was_accepted(held: Held) -> None:
    """A request that is being worked on is answered, though the service was told to stop; then nobody listens."""
    with serving(held) as running:
        idle = raw(running, GET)
        receive_one(idle)
        with asking(running) as came:
            held.wait(1)
            running.server.stop()
            assert read_all(idle) == b""  # closed: the server has begun to stop
            held.release()
        running.thread.join(START_S)
        assert came[0].status_code == 200
        assert came[0].headers["connection"] == "close"
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{running.url}/healthz", trust_env=False)


def test_a_request_that_was_on_its_way_at_the_stop_is_answered(held: Held) -> None:
    """A connection that was made before the stop may still send its request; /readyz then says that it is the end."""
    with serving(held) as running:
        connection = raw(running, b"GET /readyz HTTP/1.1\r\n")
        with asking(running):
            held.wait(1)
            running.server.stop()
            connection.sendall(b"Host: x\r\n\r\n")
            status, body = parts(read_all(connection))
            held.release()
    assert (status, json.loads(body)["reason"]) == (503, "The service is stopping.")


def test_a_stop_does_not_wait_for_ever(held: Held) -> None:
    """What is not finished within the time is refused with a sentence, and the service ends."""
    with serving(held, settings=ServeSettings(drain_s=0.5)) as running:
        with asking(running) as came:
            held.wait(1)
            running.server.stop()
        assert came[0].status_code == 503
        assert "stopped" in came[0].json()["error"]["message"]


def test_a_port_that_is_taken_is_a_sentence() -> None:
    """Which host and port, and what to do."""
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1, port {port}: something listens there.*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("address", "url", "loopback"),
    [("127.0.0.1", "127.0.0.1", True), ("", "127.0.0.1", False), ("::1", "[::1]", True), ("::", "[::1]", False)],
)
def test_the_address_that_is_printed_can_be_opened(address: str, url: str, loopback: bool) -> None:
    """Also where the service listens on all addresses, and for IPv6."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        assert url_of(listener) == f"http://{url}:{listener.getsockname()[1]}"
        assert is_loopback(listener) is loopback
