"""Fetching a picture from a URL that somebody else wrote, against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lookalike.config import Config
from lookalike.errors import InputError, LookalikeError, RateLimited, TooLarge, Unavailable, UnsupportedMedia
from lookalike.http.fetching import Fetcher
from lookalike.sources.addresses import Address
from lookalike.sources.connecting import Resolve
from lookalike.sources.url import UrlPolicy, UrlReader, shown
from tests.integration.picture_server import Behaviour, Handler, PictureServer

PICTURE = b"\x89PNG and some more"
MAX_BYTES = 1000
PATIENCE_S = 10.0
"""For what should answer at once."""

DEADLINE_S = 0.3
"""For what never does."""


def sends(body: bytes = PICTURE, *, status: int = 200, **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(status, {"Content-Type": "image/png", **named}, body)


def redirects(to: str) -> Behaviour:
    return lambda handler: handler.answer(302, {"Location": to.replace("PORT", str(handler.pictures.port))})


def drips(where: str) -> Behaviour:
    """Sends a byte now and then, for ever, in the headers or in the body."""

    def behaviour(handler: Handler) -> None:
        if where == "body":
            handler.answer(200, {"Content-Type": "image/png"})
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not handler.pictures.released.wait(0.02):
            handler.wfile.write(b"x")

    return behaviour


def says_nothing(handler: Handler) -> None:
    handler.pictures.released.wait()


def pours(handler: Handler) -> None:
    """A body without a length that ends only when the client goes away."""
    handler.answer(200, {"Content-Type": "image/png"})
    for _ in itertools.count():
        handler.wfile.write(b"x" * 65536)


@pytest.fixture(scope="module")
def server() -> Iterator[PictureServer]:
    behaviours = {
        "/picture": sends(),
        "/a%20b": sends(),
        "/untold": sends(Content_Type="application/octet-stream"),
        "/stated": sends(Content_Length=str(len(PICTURE))),
        "/full": sends(b"x" * MAX_BYTES),
        "/over": sends(b"x" * (MAX_BYTES + 1)),
        "/says-huge": sends(Content_Length="1000000000000"),
        "/pours": pours,
        "/half": sends(Content_Length=str(2 * len(PICTURE))),
        "/wrong-length": sends(Content_Length="many"),
        "/page": sends(b"<html>", Content_Type="text/html; charset=utf-8"),
        "/bomb": sends(gzip.compress(bytes(10**7)), Content_Encoding="gzip"),
        "/gone": sends(status=404),
        "/locked": sends(status=401),
        "/part": sends(status=206),
        "/busy": sends(status=429, Retry_After="7"),
        "/pause": sends(status=503, Retry_After="9"),
        "/broken": sends(status=500),
        "/silent": says_nothing,
        "/drip-head": drips("head"),
        "/drip-body": drips("body"),
        "/hop": redirects("/picture?from=hop"),
        "/hops": redirects("http://localhost:PORT/hop"),
        "/loop": redirects("/loop"),
        "/to-metadata": redirects("http://169.254.169.254/latest/meta-data"),
        "/to-mapped": redirects("http://[::ffff:127.0.0.1]:PORT/picture"),
        "/to-number": redirects("http://2130706433:PORT/picture"),
        "/to-port": redirects("http://127.0.0.1:22/"),
        "/to-file": redirects("file:///etc/passwd"),
        "/to-login": redirects("http://user:word@127.0.0.1:PORT/picture"),
        "/to-inside": redirects("http://inside.test:PORT/picture"),
        "/to-backslash": redirects("http://127.0.0.1:PORT\\@example.com/"),
        "/to-nonsense": redirects("http://[x]/"),
    }
    with PictureServer(behaviours) as running:
        yield running


def names(**addresses: Sequence[str]) -> Resolve:
    """A resolver that knows localhost and these."""
    known = {"localhost": ["127.0.0.1"], **{f"{name}.test": found for name, found in addresses.items()}}

    def resolve(host: str, port: int) -> Sequence[str]:
        if host not in known:
            raise socket.gaierror("no such name")
        return known[host]

    return resolve


@pytest.fixture(scope="module")
def policy(server: PictureServer) -> UrlPolicy:
    """Allows 127.0.0.1 and the server's port, nothing else."""
    resolve = names(
        inside=["10.0.0.1"],
        both=["127.0.0.1", "10.0.0.1"],
        nowhere=[],
        zone=["fe80::1%lo"],
        rubbish=["x"],
    )
    return UrlPolicy(ports=frozenset({server.port}), is_allowed=only_this_machine, resolve=resolve)


def only_this_machine(address: Address) -> bool:
    return address == IPv4Address("127.0.0.1")


@pytest.fixture(scope="module")
def reader(policy: UrlPolicy) -> UrlReader:
    return UrlReader(policy)


def read(reader: UrlReader, url: str, *, deadline_s: float = PATIENCE_S) -> bytes:
    return reader.read(url, max_bytes=MAX_BYTES, deadline=time.monotonic() + deadline_s)


def at(server: PictureServer, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.port}{path}"


@pytest.mark.parametrize("path", ["/picture", "/picture?size=2#part", "/a%20b", "/untold", "/stated", "/hop", "/hops"])
def test_a_picture_is_fetched(path: str, reader: UrlReader, server: PictureServer) -> None:
    """The body comes as it is, from paths with queries, with and without a stated length, behind redirects."""
    assert read(reader, at(server, path)) == PICTURE


def test_a_request_tells_nothing(reader: UrlReader, server: PictureServer) -> None:
    """A request asks for the plain body and carries neither cookies, credentials nor a referrer."""
    read(reader, at(server, "/hop", host="localhost"))
    headers = server.seen["/picture?from=hop"]
    assert sorted(name.lower() for name in headers) == ["accept", "accept-encoding", "host", "user-agent"]
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"localhost:{server.port}"


def test_proxies_of_the_environment_are_not_asked(
    reader: UrlReader, server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look names up by itself, so a proxy variable changes nothing."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read(reader, at(server, "/picture")) == PICTURE


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("/page", UnsupportedMedia, "not a picture"),
        ("/bomb", UnsupportedMedia, "compressed"),
        ("/over", TooLarge, "more than the 1,000 bytes"),
        ("/says-huge", TooLarge, "more than the 1,000 bytes"),
        ("/pours", TooLarge, "more than the 1,000 bytes"),
        ("/half", Unavailable, "broke off"),
        ("/wrong-length", Unavailable, "does not speak HTTP"),
        ("/gone", InputError, "HTTP 404"),
        ("/locked", InputError, "HTTP 401"),
        ("/part", InputError, "HTTP 206"),
        ("/broken", Unavailable, "HTTP 500"),
        ("/loop", InputError, "redirects more often"),
        ("/to-metadata", InputError, "port that is not asked"),
        ("/to-mapped", InputError, "not on the public internet"),
        ("/to-number", InputError, "not a URL that can be used"),
        ("/to-port", InputError, "port that is not asked"),
        ("/to-file", InputError, "http://"),
        ("/to-login", InputError, "user name"),
        ("/to-inside", InputError, "not on the public internet"),
        ("/to-backslash", InputError, "backslash"),
        ("/to-nonsense", InputError, "not a URL"),
    ],
)
def test_what_is_not_a_picture_is_an_error(
    path: str, kind: type[LookalikeError], says: str, reader: UrlReader, server: PictureServer
) -> None:
    """Each wrong answer has its own error, which names the URL that was handed in and not where it led."""
    url = at(server, path)
    with pytest.raises(kind, match=says) as caught:
        read(reader, f"{url}?token=secret")
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{url}: ")
    assert "secret" not in str(caught.value)


def test_a_body_of_the_very_limit_is_read(reader: UrlReader, server: PictureServer) -> None:
    """As many bytes as are allowed are allowed."""
    assert len(read(reader, at(server, "/full"))) == MAX_BYTES


@pytest.mark.parametrize(("path", "pause_s"), [("/busy", 7), ("/pause", 9)])
def test_a_pause_is_passed_on(path: str, pause_s: float, reader: UrlReader, server: PictureServer) -> None:
    """A host that asks for a pause is RateLimited, with its seconds."""
    with pytest.raises(RateLimited) as caught:
        read(reader, at(server, path))
    assert caught.value.retry_after_s == pause_s


@pytest.mark.parametrize("path", ["/silent", "/drip-head", "/drip-body"])
def test_the_deadline_is_for_all_of_it(path: str, reader: UrlReader, server: PictureServer) -> None:
    """A host that is silent, or sends a byte now and then, is given up at the deadline and not later."""
    start = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer in time"):
        read(reader, at(server, path), deadline_s=DEADLINE_S)
    assert DEADLINE_S <= time.monotonic() - start < DEADLINE_S + 2


def test_a_slow_look_up_ends_at_the_deadline(policy: UrlPolicy) -> None:
    """The resolver, which takes no timeout, is left behind at the deadline."""
    released = threading.Event()

    def slow(host: str, port: int) -> Sequence[str]:
        released.wait()
        return ["127.0.0.1"]

    reader = UrlReader(replace(policy, resolve=slow))
    with pytest.raises(Unavailable, match="did not answer in time"):
        read(reader, f"http://slow.test:{min(policy.ports)}/", deadline_s=DEADLINE_S)
    released.set()


def test_a_deadline_that_has_passed(reader: UrlReader, server: PictureServer) -> None:
    """Nothing is asked for when there is no time left."""
    server.seen.clear()
    with pytest.raises(Unavailable, match="did not answer in time"):
        read(reader, at(server, "/picture"), deadline_s=0)
    assert server.seen == {}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "http://"),
        ("picture.png", "http://"),
        ("ftp://localhost:PORT/", "http://"),
        ("data:image/png;base64,AAAA", "http://"),
        ("//localhost:PORT/picture", "http://"),
        ("http:///picture", "no host"),
        ("http:localhost:PORT/picture", "no host"),
        ("http://user@localhost:PORT/", "user name"),
        ("http://:word@localhost:PORT/", "user name"),
        ("http://127.0.0.1:PORT\\@example.com/", "backslash"),
        ("http://example.com\\@127.0.0.1:PORT/", "backslash"),
        ("http://127.0.0.1%2f:PORT/", "not a URL"),
        ("http://local%68ost:PORT/", "not a URL"),
        ("http://[fe80::1%25lo]:PORT/", "not a URL"),
        ("http://a..b:PORT/", "no host"),
        ("http://loc alhost:PORT/", "not a URL"),
        ("http://loc\talhost:PORT/", "not a URL"),
        ("http://localhost:PORT/\r\nX: y", "not a URL"),
        ("http://localhost:99999999/", "port"),
        ("http://localhost:22/", "port"),
        ("http://localhost/", "port"),
        ("https://localhost/", "port"),
        ("http://2130706433:PORT/picture", "not a URL"),
        ("http://0x7f000001:PORT/picture", "not a URL"),
        ("http://0x7f.1:PORT/picture", "not a URL"),
        ("http://0177.0.0.1:PORT/picture", "not a URL"),
        ("http://127.1:PORT/picture", "not a URL"),
        ("http://\uff11\uff12\uff17.0.0.1:PORT/picture", "not a URL"),
        ("http://[::ffff:127.0.0.1]:PORT/picture", "public internet"),
        ("http://[::1]:PORT/picture", "public internet"),
        ("http://10.0.0.1:PORT/picture", "public internet"),
        ("http://inside.test:PORT/picture", "public internet"),
        ("http://zone.test:PORT/picture", "public internet"),
        ("http://rubbish.test:PORT/picture", "public internet"),
        ("http://both.test:PORT/picture", "public internet"),
    ],
)
def test_what_must_not_be_asked_is_refused(url: str, says: str, reader: UrlReader, server: PictureServer) -> None:
    """Odd notations, other schemes and ports, and names of which one address is not allowed ask nobody for anything."""
    server.seen.clear()
    with pytest.raises(InputError, match=says) as caught:
        read(reader, url.replace("PORT", str(server.port)))
    assert server.seen == {}
    assert not any(address in str(caught.value.reason) for address in ("10.0.0.1", "127.0.0.1", "fe80"))


@pytest.mark.parametrize("host", ["nowhere.test", "unknown.test", f"{'x' * 70}.test"])
def test_a_name_without_an_address(host: str, policy: UrlPolicy, server: PictureServer) -> None:
    """A name that leads nowhere may lead somewhere later."""
    with pytest.raises(Unavailable, match="cannot be reached"):
        read(UrlReader(policy), at(server, "/picture", host=host))


def test_only_the_checked_address_is_connected_to(policy: UrlPolicy, server: PictureServer) -> None:
    """A name is looked up once for each hop: an answer that would change afterwards is never asked for."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    reader = UrlReader(replace(policy, resolve=resolve))
    assert read(reader, at(server, "/picture", host="rebinding.test")) == PICTURE
    assert asked == ["rebinding.test"]
    with pytest.raises(InputError, match="public internet"):
        read(reader, at(server, "/picture", host="rebinding.test"))


def test_the_next_address_is_tried(policy: UrlPolicy, server: PictureServer) -> None:
    """Where one address of a host does not answer, another may."""
    two = replace(policy, resolve=names(two=["127.0.0.2", "127.0.0.1"]), is_allowed=lambda address: address.is_loopback)
    assert read(UrlReader(two), at(server, "/picture", host="two.test")) == PICTURE


def test_a_closed_port_cannot_be_reached(policy: UrlPolicy) -> None:
    """A host at which nobody listens is unavailable."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unavailable, match="cannot be reached"):
        read(UrlReader(replace(policy, ports=frozenset({port}))), f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("host", "listed"),
    [("localhost", True), ("LOCALHOST.", True), ("cdn.localhost", True), ("notlocalhost", False), ("127.0.0.1", False)],
)
def test_the_list_of_hosts(host: str, listed: bool, policy: UrlPolicy, server: PictureServer) -> None:
    """With a list, only its hosts and the names below them are asked."""
    anywhere = replace(policy, allowed_hosts=("LocalHost",), resolve=lambda *_: ["127.0.0.1"])
    if listed:
        assert read(UrlReader(anywhere), at(server, "/picture", host=host)) == PICTURE
    else:
        with pytest.raises(InputError, match="does not fetch from"):
            read(UrlReader(anywhere), at(server, "/picture", host=host))


def test_by_default_this_machine_is_not_asked(server: PictureServer) -> None:
    """Without a policy of its own, a reader refuses loopback, by its name and by its address."""
    reader = UrlReader(UrlPolicy(ports=frozenset({server.port})))
    for host in ("localhost", "127.0.0.1"):
        with pytest.raises(InputError, match="not on the public internet"):
            read(reader, at(server, "/picture", host=host))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:word@host/a?token=x#y", "https://host/a"),
        ("https://host/a@b", "https://host/a@b"),
        ("user:word@host", "host"),
        ("http:\\\\user:word@host", "http:\\\\host"),
        ("http://host/\x1b[31m", "http://host/\N{REPLACEMENT CHARACTER}[31m"),
        ("http://host/" + "a" * 300, "http://host/" + "a" * 188 + "..."),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, expected: str) -> None:
    """Query, user and password, control characters and endless tails do not get into messages."""
    assert shown(url) == expected


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of secure.test and its key, in one file."""
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=secure.test"
    names = ["-addext", "subjectAltName=DNS:secure.test", "-keyout", str(file), "-out", str(file) + ".crt"]
    try:
        subprocess.run([*command.split(), *names], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("the openssl command, which makes a certificate, is not installed")
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def serve_tls(listening: socket.socket, context: ssl.SSLContext) -> None:
    """One connection, answered."""
    connection, _ = listening.accept()
    with connection:
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n" + PICTURE)
        except (ssl.SSLError, ConnectionError):
            pass  # the client did not like the certificate


@pytest.mark.parametrize("host", ["secure.test", "other.test"])
def test_a_certificate_is_of_the_name(host: str, certificate: Path, policy: UrlPolicy) -> None:
    """Though an address is connected to, TLS is for the name, and a certificate of another one is not taken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve_tls, args=(listening, context))
        thread.start()
        port = listening.getsockname()[1]
        trusting = ssl.create_default_context(cafile=certificate)
        anywhere = replace(policy, ports=frozenset({port}), resolve=lambda *_: ["127.0.0.1"])
        reader = UrlReader(anywhere, ssl_context=trusting)
        try:
            if host == "secure.test":
                assert read(reader, f"https://{host}:{port}/") == PICTURE
            else:
                with pytest.raises(Unavailable, match="cannot be reached"):
                    read(reader, f"https://{host}:{port}/")
        finally:
            thread.join()


def test_a_handshake_ends_at_the_deadline(policy: UrlPolicy) -> None:
    """A host that accepts and then says nothing does not hold a handshake up for longer than is left."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(Unavailable, match="did not answer in time"):
            read(
                UrlReader(replace(policy, ports=frozenset({port}))), f"https://127.0.0.1:{port}/", deadline_s=DEADLINE_S
            )


def test_the_service_fetches_from_its_hosts_only() -> None:
    """The hosts of the settings are what the service's fetcher asks; without leave for URLs there is none."""
    settings = Config.from_environ({"LOOKALIKE_ALLOW_URLS": "1", "LOOKALIKE_URL_HOSTS": "a.example, b.example"}).serve
    fetcher = Fetcher.of(settings)
    assert fetcher is not None
    with pytest.raises(InputError, match="does not fetch from"):
        asyncio.run(fetcher.within(time.monotonic() + PATIENCE_S, hold=lambda _: None)("https://c.example/picture"))
    fetcher.close()
    assert Fetcher.of(replace(settings, allow_urls=False)) is None


def test_port_0_is_not_the_usual_one() -> None:
    """It is a port that is named, and one that nobody listens on."""
    with pytest.raises(InputError, match="port that is not asked"):
        UrlReader().require("http://example.com:0/a.jpg")
