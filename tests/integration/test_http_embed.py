"""Vectors over HTTP: every way of sending pictures and texts gives the vector that Python gives, or a clear error."""

from __future__ import annotations

import base64
import json
import logging
import socket
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from logging.handlers import QueueHandler
from queue import SimpleQueue
from threading import Event
from typing import Any

import httpx2
import numpy as np
import pytest

from lookalike import Config, Embedder
from lookalike.config import ServeSettings
from lookalike.errors import DeadlineExceeded, LookalikeError, NotReady, Overloaded
from lookalike.health import ServiceStatus
from lookalike.http.fetching import Fetcher
from lookalike.metrics import Metrics
from lookalike.service import open_service
from lookalike.sources.url import UrlPolicy, UrlReader
from lookalike.types import Embedded, Job
from tests.integration.picture_server import Handler, PictureServer
from tests.pictures import noise
from tests.serving import START_S, InlineService, Running, serving

PICTURES = [noise(seed, size=(60, 50), kind="JPEG") for seed in range(3)]
BASE64 = [base64.b64encode(data).decode() for data in PICTURES]
TEXTS = ["a red dress", "", "שמלה אדומה", "a\0b", "x " * 1_000]
JSON = {"Content-Type": "application/json"}
LIMITS = ServeSettings(max_batch_items=8, max_text_chars=3_000, max_body_bytes=1 << 20)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """The model, in this process."""
    return Embedder.open("tiny")


@contextmanager
def tiny_service(settings: ServeSettings) -> Iterator[Running]:
    """A service with the built-in model in worker processes of its own."""
    config = replace(Config.from_environ(), model="tiny", serve=replace(settings, workers=2))
    service = open_service(config, Metrics())
    try:
        status = service.wait_ready(START_S)
        assert status.ready, status.reason
        with serving(service, settings=settings) as running:
            yield running
    finally:
        service.close(drain_s=0)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """The service that most tests ask."""
    with tiny_service(LIMITS) as running:
        yield running


def rows(answer: httpx2.Response) -> np.ndarray:
    """The vectors of an answer; NaN where there is none."""
    assert answer.status_code == 200, answer.text
    document = answer.json()
    found = document["embeddings"] if "embeddings" in document else [document["embedding"]]
    nothing = [float("nan")] * document["dimensions"]
    return np.array([nothing if row is None else _decoded(row) for row in found], np.float32)


def _decoded(row: Any) -> Any:
    return np.frombuffer(base64.b64decode(row), "<f4") if isinstance(row, str) else row


def post(running: Running, route: str, body: Any, **headers: str) -> httpx2.Response:
    """The answer to a request in JSON."""
    return running.client.post(f"/embed/{route}", json=body, headers=headers)


def problem(answer: httpx2.Response) -> tuple[int, str, str]:
    """The status, the error's class and its sentence."""
    error = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, error["type"], error["message"]


def test_texts_have_the_vectors_that_python_gives(running: Running, embedder: Embedder) -> None:
    """One text or a batch, short, empty, Hebrew, with a NUL or too long: the same vector, to the last bit."""
    expected = embedder.embed_texts(TEXTS).values
    np.testing.assert_allclose(rows(post(running, "text", {"texts": TEXTS})), expected, atol=1e-6)
    for text, vector in zip(TEXTS, expected, strict=True):
        np.testing.assert_allclose(rows(post(running, "text", {"text": text}))[0], vector, atol=1e-6)


def test_an_answer_says_what_it_is(running: Running, embedder: Embedder) -> None:
    """Dimensions, space and model come with every vector; a warning only where there is something to say."""
    facts = {"dimensions": 128, "space": embedder.space.id, "model": "tiny"}
    one = post(running, "text", {"text": "red"}).json()
    assert len(one.pop("embedding")) == 128
    assert one == facts
    cut = post(running, "text", {"text": TEXTS[-1]}).json()
    assert "longer than the model reads" in cut["warning"]
    batch = post(running, "text", {"texts": ["red", TEXTS[-1]]}).json()
    assert batch["warnings"] == [{"index": 1, "message": f"texts[1]: {cut['warning'].removeprefix(': ')}"}]


FORMS: dict[str, dict[str, Any]] = {
    "base64": {"json": {"image": BASE64[0]}},
    "data URI": {"json": {"image": f"data:image/jpeg;base64,{BASE64[0]}"}},
    "raw": {"content": PICTURES[0], "headers": {"Content-Type": "image/jpeg"}},
    "octets": {"content": PICTURES[0], "headers": {"Content-Type": "application/octet-stream"}},
    "form": {"files": {"image": ("a.jpg", PICTURES[0])}},
    "form, other field": {"files": {"file": ("a.jpg", PICTURES[0])}},
    "batch of one": {"json": {"images": [BASE64[0]]}},
    "base64 answer": {"json": {"image": BASE64[0], "encoding_format": "base64"}},
    "form, base64 answer": {"files": {"image": ("a.jpg", PICTURES[0])}, "data": {"encoding_format": "base64"}},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_picture_may_be_sent_in_any_form(running: Running, embedder: Embedder, form: dict[str, Any]) -> None:
    """JSON, a data URI, a form, the bytes themselves: the same picture, the same vector."""
    found = rows(running.client.post("/embed/image", **form))
    np.testing.assert_allclose(found, embedder.embed_images(PICTURES[:1]).values, atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        {"json": {"images": [BASE64[0], {"image": BASE64[1]}, f"data:image/jpeg;base64,{BASE64[2]}"]}},
        {"files": [("image", ("a", PICTURES[0])), ("file", ("b", PICTURES[1])), ("image[]", ("c", PICTURES[2]))]},
    ],
    ids=["json", "form"],
)
def test_a_batch_keeps_its_order(running: Running, embedder: Embedder, form: dict[str, Any]) -> None:
    """Row i belongs to picture i, whichever way the batch was sent."""
    found = rows(running.client.post("/embed/image", **form))
    np.testing.assert_allclose(found, embedder.embed_images(PICTURES).values, atol=1e-6)


def test_bad_pictures_keep_their_places(running: Running, embedder: Embedder) -> None:
    """In a batch each failure is null in its place with an error that names it; the others have their vectors."""
    sent = [BASE64[0], "no base64!", BASE64[1], base64.b64encode(PICTURES[0][:700]).decode(), "", {"image": "QUJD"}]
    answer = post(running, "image", {"images": sent})
    found = rows(answer)
    np.testing.assert_allclose(found[[0, 2]], embedder.embed_images(PICTURES[:2]).values, atol=1e-6)
    assert np.isnan(found[[1, 3, 4, 5]]).all()
    errors = answer.json()["errors"]
    assert [(error["index"], error["type"]) for error in errors] == [
        (1, "InputError"),
        (3, "ImageError"),
        (4, "ImageError"),
        (5, "UnsupportedMedia"),
    ]
    assert all(error["item"] == f"images[{error['index']}]" and not error["retryable"] for error in errors)
    assert all(error["message"].startswith(error["item"]) for error in errors)


def test_a_batch_that_fails_altogether_is_still_an_answer(running: Running) -> None:
    """One rule: what is wrong with items is said item by item, were it all of them."""
    answer = post(running, "image", {"images": ["?", "!"]})
    assert np.isnan(rows(answer)).all()
    assert [error["index"] for error in answer.json()["errors"]] == [0, 1]


def test_raw_rows_are_float32(running: Running, embedder: Embedder) -> None:
    """With Accept: application/octet-stream the body is rows of little-endian float32, and headers say of what."""
    accept = {"Accept": "application/octet-stream"}
    answer = post(running, "text", {"texts": TEXTS}, **accept)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (answer.headers["x-count"], answer.headers["x-dimensions"]) == (str(len(TEXTS)), "128")
    assert (answer.headers["x-space"], answer.headers["x-model"]) == (embedder.space.id, "tiny")
    assert "longer than the model reads" in answer.headers["x-warning"]
    found = np.frombuffer(answer.content, "<f4").reshape(-1, 128)
    np.testing.assert_allclose(found, embedder.embed_texts(TEXTS).values, atol=1e-6)
    single = running.client.post("/embed/image", content=PICTURES[0], headers={"Content-Type": "image/jpeg", **accept})
    assert len(single.content) == 4 * 128


def test_raw_rows_cannot_have_gaps(running: Running) -> None:
    """A batch with failures has no raw form: the request fails and names the items."""
    answer = post(running, "image", {"images": [BASE64[0], "?", ""]}, Accept="application/octet-stream")
    assert problem(answer)[:2] == (422, "InputError")
    assert answer.json()["error"]["item"] == "images[1], images[2]"


SINGLE: dict[str, tuple[str, dict[str, Any], tuple[int, str]]] = {
    "no picture": ("image", {"json": {"image": BASE64[0][:-5]}}, (422, "InputError")),
    "cut off": (
        "image",
        {"content": PICTURES[0][:900], "headers": {"Content-Type": "image/jpeg"}},
        (422, "ImageError"),
    ),
    "empty": ("image", {"content": b"", "headers": {"Content-Type": "image/jpeg"}}, (422, "ImageError")),
    "other kind": (
        "image",
        {"content": b"%PDF-1.7", "headers": {"Content-Type": "image/png"}},
        (415, "UnsupportedMedia"),
    ),
    "content type": ("image", {"content": b"a=b", "headers": {"Content-Type": "text/html"}}, (415, "UnsupportedMedia")),
    "no content type": ("text", {"content": b'{"text": "a"}'}, (415, "UnsupportedMedia")),
    "form for text": ("text", {"data": {"text": "a"}}, (415, "UnsupportedMedia")),
    "url": ("image", {"json": {"url": "http://127.0.0.1/a.jpg"}}, (403, "AccessDenied")),
    "url in a batch": ("image", {"json": {"images": [BASE64[0], {"url": "http://a/"}]}}, (403, "AccessDenied")),
    "two at once": ("image", {"json": {"image": BASE64[0], "images": [BASE64[0]]}}, (422, "InputError")),
    "nothing": ("text", {"json": {}}, (422, "InputError")),
    "null": ("text", {"json": {"text": None}}, (422, "InputError")),
    "unknown field": ("text", {"json": {"text": "a", "dimensions": 64}}, (422, "InputError")),
    "empty batch": ("text", {"json": {"texts": []}}, (422, "InputError")),
    "large batch": ("text", {"json": {"texts": ["a"] * 9}}, (413, "TooLarge")),
    "large form": ("image", {"files": [("image", ("a", b"x"))] * 9}, (413, "TooLarge")),
    "very large form": ("image", {"files": [("image", ("a", b"x"))] * 20}, (422, "InputError")),
    "long text": ("text", {"json": {"text": "a" * 3_001}}, (413, "TooLarge")),
    "large body": ("text", {"json": {"text": "a" * (1 << 20)}}, (413, "TooLarge")),
    "form without files": ("image", {"files": {"other": ("a", b"x")}}, (422, "InputError")),
    "field instead of file": ("image", {"files": {"image": (None, b"x")}}, (422, "InputError")),
    "encoding of a form": (
        "image",
        {"files": {"image": ("a", PICTURES[0])}, "data": {"encoding_format": "int8"}},
        (422, "InputError"),
    ),
    "form without boundary": (
        "image",
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        (422, "InputError"),
    ),
    "deep": ("text", {"content": b'{"text":' * 50_000, "headers": JSON}, (422, "InputError")),
    "huge number": ("text", {"content": b'{"text":' + b"9" * 50_000 + b"}", "headers": JSON}, (422, "InputError")),
    "lone surrogate": ("text", {"content": b'{"text":"\\ud800"}', "headers": JSON}, (422, "InputError")),
    "not UTF-8": ("text", {"content": b'{"text":"\xff"}', "headers": JSON}, (422, "InputError")),
    "NaN": ("text", {"content": b'{"text":NaN}', "headers": JSON}, (422, "InputError")),
}


@pytest.mark.parametrize(("route", "request_", "expected"), SINGLE.values(), ids=SINGLE.keys())
def test_what_cannot_be_used_is_refused(
    running: Running, route: str, request_: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A request that cannot be served gets the status and the class of its error, and a sentence."""
    answer = running.client.post(f"/embed/{route}", **request_)
    *found, message = problem(answer)
    assert (*found,) == expected
    assert message.endswith(".")
    assert len(message) < 400


@pytest.mark.parametrize("form", [{"data": {"bogus": "1"}}, {"files": {"bogus": ("a.jpg", PICTURES[0])}}])
def test_an_unknown_field_of_a_form_is_refused(running: Running, form: dict[str, Any]) -> None:
    """As in JSON: a misspelt field, or a file under another name, would silently do nothing."""
    files = {"image": ("a.jpg", PICTURES[0]), **form.get("files", {})}
    answer = running.client.post("/embed/image", files=files, data=form.get("data"))
    assert answer.status_code == 422
    assert answer.json()["error"]["item"] == "bogus"
    assert "'image' and 'encoding_format'" in answer.json()["error"]["message"]


def test_a_form_that_is_cut_off_loses_nothing_silently(running: Running) -> None:
    """A form without its last boundary is refused, rather than answered without its last file."""
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n'
    body = b"".join(part % data for data in PICTURES)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert running.client.post("/embed/image", content=body + b"--b--\r\n", headers=headers).status_code == 200
    assert "cut off" in problem(running.client.post("/embed/image", content=body, headers=headers))[2]


class Scripted:
    """An `EmbeddingService` that answers each job with the same error, or never.

    Attributes:
        cancelled: Set once a job was cancelled.
        jobs: What was handed in.
    """

    def __init__(self, inner: InlineService, error: LookalikeError | None = None) -> None:
        self._inner = inner
        self._error = error
        self.cancelled = Event()
        self.handed_in = Event()
        self.jobs: list[Job] = []

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        self.jobs += jobs
        futures: list[Future[Embedded]] = [Future() for _ in jobs]
        for future in futures:
            if self._error is not None:
                future.set_exception(self._error)
            future.add_done_callback(lambda done: self.cancelled.set() if done.cancelled() else None)
        self.handed_in.set()
        return futures

    def status(self) -> ServiceStatus:
        return self._inner.status()

    def close(self, *, drain_s: float) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeadlineExceeded("Too late."), 504),
        (NotReady("No model."), 503),
        (Overloaded("Full.", retry_after_s=7), 503),
        (Overloaded("Your share is used up.", retry_after_s=7, own=True), 429),
    ],
    ids=["late", "not ready", "full", "own share"],
)
def test_what_the_service_fails_at_is_no_answer(embedder: Embedder, error: LookalikeError, status: int) -> None:
    """If the service, and not an input, is why there is no vector at all, the request fails, a batch as well."""
    with serving(Scripted(InlineService(embedder), error)) as running:
        for body in ({"text": "a"}, {"texts": ["a", "b"]}):
            answer = post(running, "text", body)
            assert problem(answer) == (status, type(error).__name__, str(error))
            assert answer.json()["error"]["retryable"]
            if isinstance(error, Overloaded):
                assert answer.headers["retry-after"] == "7"


def test_a_model_without_pictures_says_so(embedder: Embedder) -> None:
    """A picture is refused where the model embeds only texts, before any worker sees it."""
    service = Scripted(InlineService(embedder))
    tower = replace(embedder.tower, space=replace(embedder.space, modalities=("text",)))
    status = replace(service.status(), tower=tower)
    service.status = lambda: status  # type: ignore[method-assign]
    with serving(service) as running:
        answer = post(running, "image", {"image": BASE64[0]})
    assert problem(answer) == (422, "UnsupportedModel", "The model 'tiny' embeds texts only.")
    assert service.jobs == []


def test_what_the_service_drops_is_not_ready(embedder: Embedder) -> None:
    """Jobs that the service itself cancels, because it stops, are a 503 that may be sent again."""
    service = Scripted(InlineService(embedder))
    submit = service.submit

    def drop(jobs: Sequence[Job]) -> list[Future[Embedded]]:
        futures = submit(jobs)
        for future in futures:
            future.cancel()
        return futures

    service.submit = drop  # type: ignore[method-assign]
    with serving(service) as running:
        assert problem(post(running, "text", {"text": "a"}))[:2] == (503, "NotReady")


def test_a_client_that_goes_takes_its_jobs_along(embedder: Embedder) -> None:
    """When the connection closes before the answer, the jobs are cancelled."""
    service = Scripted(InlineService(embedder))
    with serving(service) as running:
        body = json.dumps({"texts": ["a", "b"]}).encode()
        address = httpx2.URL(running.url)
        with socket.create_connection((address.host, address.port or 80)) as connection:
            head = (
                f"POST /embed/text HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            )
            connection.sendall(head.encode() + b"\r\n\r\n" + body)
            assert service.handed_in.wait(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert service.cancelled.wait(10)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[SimpleQueue[logging.LogRecord]]:
    """What the service logs, as it does."""
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    loggers = [logging.getLogger(name) for name in ("lookalike.request", "uvicorn.error")]
    with pytest.MonkeyPatch.context() as patch:
        for logger in loggers:
            patch.setattr(logger, "handlers", [QueueHandler(records)])
            caplog.set_level(logging.INFO, logger=logger.name)
        yield records


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b", "image/png"])
def test_a_client_that_goes_in_the_middle_is_no_defect(
    running: Running, log: SimpleQueue[logging.LogRecord], kind: str
) -> None:
    """A body that breaks off ends its request without an error in the log, whatever kind of body it is."""
    address = httpx2.URL(running.url)
    with socket.create_connection((address.host, address.port or 80)) as connection:
        head = f"POST /embed/image HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
        body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
        connection.sendall(head.encode() + body)
    assert _facts(log)["status"] == 499
    running.client.get("/healthz")  # whatever is said of the first request is said before this one ends
    assert _facts(log)["route"] == "/healthz"


def _facts(log: SimpleQueue[logging.LogRecord]) -> Any:
    """What the next line says of its request."""
    record = log.get(timeout=10)
    assert record.name == "lookalike.request", record.getMessage()
    return record.facts  # type: ignore[attr-defined]


def test_lanes_follow_who_is_waiting(embedder: Embedder) -> None:
    """A single text is a query that somebody waits for; pictures and batches are bulk; jobs name their caller."""
    service = Scripted(InlineService(embedder), NotReady("No model."))
    keys = "shop embed 0123456789abcdef"
    with serving(service, settings=ServeSettings(api_keys=keys)) as running:
        key = {"x-api-key": keys.split()[-1]}
        for route, body in (("text", {"text": "a"}), ("text", {"texts": ["a"]}), ("image", {"image": BASE64[0]})):
            post(running, route, body, **key)
    assert [(job.modality, job.lane, job.item) for job in service.jobs] == [
        ("text", "interactive", ""),
        ("text", "bulk", "texts[0]"),
        ("image", "bulk", ""),
    ]
    assert {job.caller for job in service.jobs} == {"shop"}


def test_pictures_are_fetched_where_that_is_allowed(embedder: Embedder) -> None:
    """With URLs allowed, a batch may mix them with pictures; what cannot be fetched is an error of its item."""

    def send(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.send_header("Content-Length", str(len(PICTURES[0])))
        handler.end_headers()
        handler.wfile.write(PICTURES[0])

    with PictureServer({"/a.jpg": send}) as pictures:
        policy = UrlPolicy(ports=frozenset({pictures.port}), is_allowed=lambda _: True)
        fetcher = Fetcher(UrlReader(policy), max_bytes=len(PICTURES[0]))
        service = InlineService(embedder)
        with serving(service, settings=replace(LIMITS, allow_urls=True), fetcher=fetcher) as running:
            url = f"http://127.0.0.1:{pictures.port}/a.jpg"
            expected = embedder.embed_images(PICTURES[:2]).values
            np.testing.assert_allclose(rows(post(running, "image", {"url": url}))[0], expected[0], atol=1e-6)
            answer = post(running, "image", {"images": [{"url": url}, BASE64[1], {"url": "ftp://a/b"}]})
            np.testing.assert_allclose(rows(answer)[:2], expected, atol=1e-6)
            assert [(error["index"], error["item"]) for error in answer.json()["errors"]] == [(2, "images[2]")]
            several = post(running, "image", {"images": [{"url": url}] * 6}).json()["errors"]
            assert {error["type"] for error in several} == {"TooLarge"}
        service.close(drain_s=0)
        fetcher.close()
