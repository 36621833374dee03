"""What happens to every request: its id, limits, deadline and line in the log; against a real server."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from lookalike.config import ServeSettings
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.http import logs
from lookalike.types import Embedded, Job
from tests.pictures import picture
from tests.serving import START_S, InlineService, Running, serving

TEXT = {"text": "a red dress"}
PNG = {"Content-Type": "image/png"}


class Held(InlineService):
    """A service whose answers wait until the test lets them go."""

    def __init__(self) -> None:
        super().__init__(Embedder(LocalVectorizer(FakeEncoder())))
        self.futures: list[Future[Embedded]] = []
        self.jobs: list[Job] = []
        self.changed = threading.Condition()

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        found: list[Future[Embedded]] = [Future() for _ in jobs]
        with self.changed:
            self.futures += found
            self.jobs += jobs
            for future in found:
                future.add_done_callback(lambda _: self._tell())
            self.changed.notify_all()
        return found

    def wait(self, n: int) -> None:
        """Until so many jobs are here."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.futures) >= n, START_S)

    def wait_cancelled(self) -> None:
        """Until nobody waits for any job."""
        with self.changed:
            assert self.changed.wait_for(lambda: all(future.cancelled() for future in self.futures), START_S)

    def release(self) -> None:
        """Answer all of them."""
        for future, job in zip(self.futures, self.jobs, strict=True):
            if not future.done():
                future.set_result(self._embed(job))

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()


class Broken(InlineService):
    """A service with a defect."""

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        raise RuntimeError("the secret inside")


@pytest.fixture
def held() -> Iterator[tuple[Held, Running]]:
    service = Held()
    with serving(service, settings=ServeSettings(max_requests=2)) as running:
        yield service, running
        service.release()
    service.close(drain_s=0)


@contextmanager
def asking(running: Running, **options: Any) -> Iterator[list[httpx2.Response]]:
    """Ask for a vector in a thread while the block runs; what came, when it has ended."""
    came: list[httpx2.Response] = []
    thread = threading.Thread(target=lambda: came.append(running.client.post("/embed/text", json=TEXT, **options)))
    thread.start()
    try:
        yield came
    finally:
        thread.join(START_S)


def raw(running: Running, data: bytes) -> socket.socket:
    """A connection over which these bytes were sent."""
    host, port = running.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=START_S)
    connection.sendall(data)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def error_of(response: httpx2.Response) -> Any:
    return response.json()["error"]


@pytest.mark.parametrize("name", ["abc-123", "req_7/8+9=", "a" * 128])
def test_a_sane_request_id_is_kept(running: Running, name: str) -> None:
    """Who sends an id finds it in the answer, and in errors."""
    answer = running.client.get("/nowhere", headers={"X-Request-ID": name})
    assert answer.headers["x-request-id"] == name
    assert error_of(answer)["request_id"] == name


@pytest.mark.parametrize("name", ["", "a b", "a" * 129, '{"a":1}'])
def test_any_other_request_id_is_replaced(running: Running, name: str) -> None:
    """What could forge a line of a log, or fill it, is not repeated."""
    found = running.client.get("/healthz", headers={"X-Request-ID": name}).headers["x-request-id"]
    assert len(found) == 32
    assert found != name


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/v1/nowhere"])
def test_every_answer_has_the_security_headers(running: Running, path: str) -> None:
    """No sniffing, no referrer, nothing of it as a page or in a frame, nothing kept by caches."""
    headers = running.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_nobody_is_sent_on_to_another_address(running: Running) -> None:
    """A slash too many is a path that is not there: no redirect repeats the host that the client made up."""
    answer = running.client.post("/embed/text/", json=TEXT, headers={"Host": "evil.example"}, follow_redirects=False)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_what_does_not_exist_is_a_sentence(running: Running) -> None:
    """404 and 405 have the body that all errors have, and 405 says what is allowed."""
    assert error_of(running.client.get("/nowhere"))["type"] == "NotFound"
    answer = running.client.delete("/healthz")
    assert (answer.status_code, error_of(answer)["type"]) == (405, "MethodNotAllowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/items/x", "DELETE, GET"),
        ("OPTIONS", "/items", "GET, POST"),
        ("DELETE", "/search/images", "GET, POST"),
        ("POST", "/", "GET, HEAD"),
        ("PUT", "/items/x%2Fpicture", "DELETE, GET"),
        ("PUT", "/items/x/picture", "DELETE, GET, HEAD"),
        ("POST", "/v1/models/x", "GET"),
    ],
)
def test_every_method_that_a_path_takes_is_allowed(running: Running, method: str, path: str, allowed: str) -> None:
    """Also where they are of several routes."""
    answer = running.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_balancer_may_ask_with_head(running: Running, path: str) -> None:
    """The status alone."""
    answer = running.client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_other_origins_are_not_let_in(running: Running) -> None:
    """No page of another origin may read an answer unless it was configured."""
    answer = running.client.get("/healthz", headers={"Origin": "https://shop.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_configured_origins_are_let_in() -> None:
    """A page of a configured origin may ask, with a key; one of another may not."""
    with serving(settings=ServeSettings(cors_origins=("https://shop.example",))) as running:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        mine = running.client.options("/embed/text", headers={"Origin": "https://shop.example", **asked})
        assert mine.headers["access-control-allow-origin"] == "https://shop.example"
        assert "authorization" in mine.headers["access-control-allow-headers"].lower()
        other = running.client.options("/embed/text", headers={"Origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", "authorization,content-type,x-stainless-lang,x-stainless-retry-count"),
        ("GET", "if-none-match,x-api-key"),
        ("HEAD", "x-api-key"),
        ("DELETE", "x-request-timeout"),
    ],
)
def test_a_page_of_a_configured_origin_is_a_client_as_others_are(method: str, headers: str) -> None:
    """It may send the headers of any client, and read those that say what raw vectors are."""
    origin = {"Origin": "https://shop.example"}
    with serving(settings=ServeSettings(cors_origins=("https://shop.example",))) as running:
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
        allowed = running.client.options("/embed/text", headers={**origin, **asked})
        assert allowed.status_code == 200
        assert set(headers.split(",")) <= set(allowed.headers["access-control-allow-headers"].lower().split(","))
        answer = running.client.post("/embed/text", json=TEXT, headers={**origin, "Accept": "application/octet-stream"})
        assert answer.headers["access-control-expose-headers"] == "*"
        assert int(answer.headers["x-dimensions"]) > 0
        assert "access-control-allow-credentials" not in answer.headers
        evil = running.client.options("/embed/text", headers={"Origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in evil.headers


def test_the_document_says_where_money_may_be_missing(running: Running) -> None:
    """402 is an answer of every route that has something embedded while its caller waits, and of no other."""
    paths = running.client.get("/openapi.json").json()["paths"]
    found = {path for path, operations in paths.items() for one in operations.values() if "402" in one["responses"]}
    assert found == {
        "/embed/image",
        "/embed/text",
        "/v1/embeddings",
        "/search/images",
        "/search/explain",
        "/search/heatmap",
        "/items:search",
    }


def test_one_line_of_the_log_for_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, how long; JSON; the route and not the path; nothing of queries, bodies and keys."""
    key = "shop-key-0123456789"
    with (
        caplog.at_level(logging.INFO, "lookalike.request"),
        serving(settings=ServeSettings(api_keys=f"shop embed {key}")) as running,
    ):
        running.client.post("/embed/text?secret=1", json=TEXT, headers={"x-api-key": key, "X-Request-ID": "me"})
        running.client.get("/nowhere/secret")
    asked, other = [r for r in caplog.records if r.name == "lookalike.request"][-2:]
    line = logs.JsonLines().format(asked)
    facts = json.loads(line)
    assert (facts["id"], facts["method"], facts["route"], facts["status"]) == ("me", "POST", "/embed/text", 200)
    assert (facts["caller"], facts["bytes_in"]) == ("shop", 22)
    assert facts["bytes_out"] > 100
    assert facts["duration_ms"] > 0
    assert facts["time"].endswith("+00:00")
    assert "\n" not in line
    assert not [word for word in (key, "secret", "dress") if word in line + logs.JsonLines().format(other)]


def test_the_log_names_a_caller_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Whose requests are too many, or whose key may not do this: an operator has to know. An unknown key is nobody."""
    key = "shop-key-0123456789"
    settings = ServeSettings(api_keys=f"shop embed {key}", requests_per_minute=1)
    with caplog.at_level(logging.INFO, "lookalike.request"), serving(settings=settings) as running:
        for path, sent in (("/v1/models", key), ("/v1/models", key), ("/items/a", key), ("/items/a", f"{key}0")):
            running.client.get(path, headers={"x-api-key": sent})
    lines = [vars(r)["facts"] for r in caplog.records if r.name == "lookalike.request"][-4:]
    assert [(line["status"], line["caller"]) for line in lines] == [
        (200, "shop"),
        (429, "shop"),
        (403, "shop"),
        (401, ""),
    ]


def test_a_defect_is_told_without_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets 500 and an id; the log has that id and the traceback."""
    broken = Broken(Embedder(LocalVectorizer(FakeEncoder())))
    with serving(broken) as running:
        answer = running.client.post("/embed/text", json=TEXT, headers={"X-Request-ID": "me"})
        assert running.client.get("/healthz").status_code == 200
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "me")
    assert error_of(answer)["request_id"] == "me"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    assert [record for record in caplog.records if record.exc_info and "the secret inside" in str(record.exc_info[1])]


@pytest.mark.parametrize("value", ["", "soon", "-1", "0", "0.01", "1e3", "nan", "inf", "1_0"])
def test_a_wrong_timeout_is_named(running: Running, value: str) -> None:
    """What is no number of seconds, or too small a one, is 422."""
    answer = running.client.get("/healthz", headers={"X-Request-Timeout": value})
    assert (answer.status_code, error_of(answer)["type"]) == (422, "InputError")
    assert "X-Request-Timeout" in error_of(answer)["message"]


def test_a_longer_timeout_than_is_allowed_is_the_longest_that_is(held: tuple[Held, Running]) -> None:
    """A client cannot know the service's limit: what it asks for beyond that is cut."""
    service, _ = held
    with serving(service, settings=ServeSettings(max_request_timeout_s=0.2)) as running:
        answer = running.client.post("/embed/text", json=TEXT, headers={"X-Request-Timeout": "86400"})
    assert (answer.status_code, error_of(answer)["type"]) == (504, "DeadlineExceeded")
    assert "0.2 s" in error_of(answer)["message"]


def test_no_answer_in_time_is_said_in_time(held: tuple[Held, Running]) -> None:
    """504 within a second of the deadline, though the service below never answers; and nobody waits for it any more."""
    service, running = held
    began = time.monotonic()
    answer = running.client.post("/embed/text", json=TEXT, headers={"X-Request-Timeout": "0.2"})
    assert time.monotonic() - began < 0.2 + 1.0
    assert (answer.status_code, error_of(answer)["type"]) == (504, "DeadlineExceeded")
    assert error_of(answer)["retryable"]
    service.wait_cancelled()


def test_a_client_that_has_gone_takes_its_job_along(held: tuple[Held, Running]) -> None:
    """The job of a request whose connection was closed is cancelled, not computed."""
    service, running = held
    body = json.dumps(TEXT).encode()
    head = b"POST /embed/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection = raw(running, head % len(body) + body)
    service.wait(1)
    connection.close()
    service.wait_cancelled()


def test_too_many_requests_are_refused_at_once(held: tuple[Held, Running]) -> None:
    """Over the limit 503 and Retry-After, without waiting; who watches the service still gets through."""
    service, running = held
    with asking(running) as one, asking(running) as two:
        service.wait(2)
        third = running.client.post("/embed/text", json=TEXT)
        assert (third.status_code, error_of(third)["type"]) == (503, "Overloaded")
        assert third.headers["retry-after"] == "1"
        for path in ("/healthz", "/readyz", "/metrics", "/stats"):
            assert running.client.get(path).status_code == 200
        service.release()
    assert [answer.status_code for answer in one + two] == [200, 200]
    with asking(running) as after:
        service.wait(3)
        service.release()
    assert after[0].status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(chunked: bool) -> None:
    """413 by what is declared, or while counting; and the client sees it though it sent everything first."""
    with serving(settings=ServeSettings(max_body_bytes=100_000)) as running:
        body = b"x" * 400_000
        answer = running.client.post("/embed/image", content=iter([body]) if chunked else body, headers=PNG)
        assert (answer.status_code, error_of(answer)["type"]) == (413, "TooLarge")
        assert "100,000" in error_of(answer)["message"]
        assert running.client.post("/embed/image", content=picture("red"), headers=PNG).status_code == 200


def test_bodies_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What all requests hold in memory is bounded: a body for which there is no room is refused."""
    monkeypatch.setattr("lookalike.http.body.BODIES_IN_MEMORY", 1)
    service = Held()
    with serving(service, settings=ServeSettings(max_body_bytes=1_000)) as running:
        with asking(running):
            service.wait(1)
            answer = running.client.post("/embed/text", json={"text": "x" * 970})
            assert (answer.status_code, error_of(answer)["type"]) == (503, "Overloaded")
            service.release()
        with asking(running, headers={"Connection": "close"}):
            service.wait(2)
            service.release()
    service.close(drain_s=0)


HALF = b"POST /embed/image HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"


def test_half_a_body_is_not_waited_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that stops coming is answered with 408, long before the request's deadline."""
    monkeypatch.setattr("lookalike.http.body.BODY_START_S", 0.2)
    answer = read_all(raw(running, HALF.replace(b"Host: x", b"Host: x\r\nConnection: close")))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"type":"RequestTimeout"' in answer


def test_a_body_has_until_the_deadline_at_most(running: Running) -> None:
    """Half a body ends with the request's own deadline, if that comes first."""
    began = time.monotonic()
    head = b"Host: x\r\nConnection: close\r\nX-Request-Timeout: 0.2"
    assert read_all(raw(running, HALF.replace(b"Host: x", head))).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 0.2 + 1.0
