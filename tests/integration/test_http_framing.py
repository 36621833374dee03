"""Where a request ends and what is in it: bodies of too many values, forms, trailers, offers of other protocols."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from lookalike.errors import TooLarge
from lookalike.http import protocol
from lookalike.http.bounds import MAX_BETWEEN, MAX_VALUES, require_few_values
from lookalike.http.connections import Connections
from tests.integration.test_http_connections import parts
from tests.integration.test_http_requests import error_of, raw, read_all
from tests.serving import Running

MANY = MAX_VALUES + 2
BODY = b'{"text":"a"}'
POST = b"POST /embed/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"1," * 2 * MANY + b"1]",
        b"[" + b"[1]," * MANY + b"1]",
        b"[" + b"{}," * MANY + b"1]",
        b"[" * 4 * MANY,
        b"{" + b",".join(b'"%d":0' % n for n in range(MANY)) + b"}",
        b'["' + b'","'.join([rb"\\"] * 2 * MANY) + b'"]',
        b"{" + b" " * (MAX_BETWEEN + 1) + b"}",
        b"9" * (MAX_BETWEEN + 1),
    ],
    ids=["numbers", "lists", "objects", "depth", "fields", "backslashes", "blanks", "digits"],
)
def test_a_body_of_too_many_values_is_not_parsed(body: bytes) -> None:
    """A parser would be at it for seconds, in which nobody else gets an answer."""
    with pytest.raises(TooLarge, match="send several requests"):
        require_few_values(body)


@pytest.mark.parametrize("text", ['","[{' * MANY, "\\" * MANY, '"' * 3 * MANY, "A" * (2 * MAX_BETWEEN)])
def test_what_is_in_texts_does_not_count(text: str) -> None:
    """A text may have commas, quotes and brackets as it likes."""
    require_few_values(json.dumps({"text": text, "more": [text, ""]}).encode())


def test_too_many_values_are_refused_by_their_number(running: Running) -> None:
    """Fields that no request has, and more of them than any has fields."""
    found = running.client.post("/embed/text", json={"text": "a", **{f"field{n}": n for n in range(MANY)}})
    assert (found.status_code, error_of(found)["type"]) == (413, "TooLarge")


@pytest.mark.parametrize("charset", ["punycode", "undefined", "idna", "utf-7", "unicode_escape", "no-such"])
def test_a_form_is_in_utf_8(running: Running, charset: str) -> None:
    """A client cannot choose by which of Python's decoders its texts are read: some take minutes, others fail."""
    form = b'--B\r\nContent-Disposition: form-data; name="xn--a"\r\n\r\nabc\r\n--B--\r\n'
    kind = "multipart/form-data; boundary=B; charset="
    answers = [
        running.client.post("/embed/image", content=form, headers={"Content-Type": kind + name})
        for name in (charset, "UTF-8")
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert "UTF-8" in error_of(answers[0])["message"]
    assert "xn--a" in error_of(answers[1])["message"]


def test_trailers_are_no_headers(running: Running) -> None:
    """What follows a body in chunks was seen by nobody who looked at the request's head."""
    chunked = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nc\r\n" + BODY + b"\r\n0\r\n"
    answer = read_all(raw(running, chunked + b"X-Request-ID: mine\r\nAccept: application/octet-stream\r\n\r\n"))
    status, body = parts(answer)
    assert (status, "embedding" in json.loads(body)) == (200, True)
    assert b"mine" not in answer


@pytest.mark.parametrize("endless", [b"a: b\r\n" * 1000, b"a: " + b"b" * 6000, b"3;" + b"x" * 6000])
def test_trailers_and_extensions_of_chunks_have_an_end(running: Running, endless: bytes) -> None:
    """They are held in memory until the request is whole, so there is no more room for them than for a head."""
    start = b"" if endless.startswith(b"3") else b"0\r\n"
    connection = raw(running, POST + b"Transfer-Encoding: chunked\r\n\r\n" + start)
    with connection, pytest.raises(OSError):
        for _ in range(5000):
            connection.sendall(endless)
            endless = endless.removeprefix(b"a: ").removeprefix(b"3;") if b"\r\n" not in endless else endless


@pytest.mark.parametrize("apart", [False, True])
def test_an_offer_of_another_protocol_is_ignored(running: Running, apart: bool) -> None:
    """`curl --http2` and Java's client offer HTTP/2 with every request; a body is not taken for the next request."""
    body = b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"
    head = POST.replace(b"application/json", b"text/plain") + OFFER + b"Content-Length: %d\r\n\r\n" % len(body)
    rest = body + POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY
    connection = raw(running, head if apart else head + rest)
    if apart:
        connection.sendall(rest)
    answers = read_all(connection).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"415", b"200"]


def test_offers_in_a_row_are_all_ignored(running: Running) -> None:
    """However many requests one packet has."""
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert read_all(raw(running, one * 300 + last)).count(b"HTTP/1.1 200") == 301


def test_curl_may_ask_for_http_2(running: Running) -> None:
    """With a body."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", "--http2", f"{running.url}/embed/text", "--json", BODY]
    found = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    assert "embedding" in json.loads(found)


def test_a_connection_that_is_made_while_the_service_stops_does_not_hold_it_up() -> None:
    """It was taken from the system's queue a moment before, and missed that the others were told."""

    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("There is no request.")

    async def main() -> bytes:
        config = Config(app, lifespan="off")
        config.load()
        connections = Connections(10)
        connections.is_closing = True

        def made() -> protocol.GuardedProtocol:
            return protocol.GuardedProtocol(
                config=config, server_state=ServerState(), app_state={}, connections=connections
            )

        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            async with asyncio.timeout(protocol.HEAD_S / 2):
                found = await reader.read()
            writer.close()
        return found

    assert asyncio.run(main()) == b""
