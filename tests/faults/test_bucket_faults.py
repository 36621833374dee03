"""Buckets that fail: each way has its sentence, nothing is lost or removed by mistake, and no error holds a key."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from traceback import format_exception

import pytest

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import (
    ConfigError,
    ImageError,
    InputError,
    LookalikeError,
    MissingDependency,
    ProviderError,
    RateLimited,
    Refused,
    Unavailable,
)
from lookalike.ingest import CHUNK_SIZE, Ingest, Target
from lookalike.secret import Secret
from lookalike.sources.bucket import BucketClient
from lookalike.sources.objects import BucketSettings
from lookalike.sources.prefix import BucketSource
from lookalike.sources.uploads import BucketKeeper
from lookalike.store.memory import MemoryStore
from lookalike.types import Outcome
from tests.buckets import SECRET, Bucket, access
from tests.loopback import LoopbackHandler, LoopbackServer
from tests.pictures import noise

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>photos</Name><IsTruncated>{more}</IsTruncated>
{next}{objects}</ListBucketResult>"""
OBJECT = """<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"{key}"</ETag>
<Size>{size}</Size></Contents>"""
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

Answer = Callable[[LoopbackHandler], None]


def reply(handler: LoopbackHandler, status: int, body: bytes = b"", *, length: int | None = None) -> None:
    """An answer; with a length that is not that of the body, the connection is broken off behind it."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.send_header("ETag", '"x"')
    handler.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
    handler.close_connection = length is not None


def page(*keys: str, size: int = 3, more: bool = False) -> bytes:
    """What S3 says of a bucket."""
    token = "<NextContinuationToken>next</NextContinuationToken>" if more else ""
    objects = "".join(OBJECT.format(key=key, size=size) for key in keys)
    return PAGE.format(more=str(more).lower(), next=token, objects=objects).encode()


class Faulty(LoopbackServer):
    """A server that speaks S3 until it is told to do otherwise."""

    def __init__(self) -> None:
        super().__init__(FaultyHandler)
        self.answer: Answer = lambda handler: reply(handler, 500)
        self.n_requests = 0


class FaultyHandler(LoopbackHandler):
    def respond(self) -> None:
        self.owner.n_requests += 1
        self.body()
        self.owner.answer(self)

    def do_PUT(self) -> None:  # noqa: N802
        self.do_GET()


AMPLE_S = 30.0
"""For what is answered at once, however busy the machine is."""


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    with Faulty() as server:
        yield server


@pytest.fixture
def client(faulty: Faulty) -> BucketClient:
    return BucketClient(access(faulty.url, timeout_s=AMPLE_S, max_retries=1))


def told(error: BaseException) -> str:
    return "".join(format_exception(error))


@pytest.mark.parametrize(
    ("answer", "kind", "sentence", "n_requests"),
    [
        (lambda h: reply(h, 503), Unavailable, "failed (HTTP 503): try again later", 2),
        (
            lambda h: reply(h, 503, b"<Error><Code>SlowDown</Code></Error>"),
            RateLimited,
            "asks for a pause",
            2,
        ),
        (lambda h: reply(h, 403, DENIED), Refused, "refuses it (HTTP 403). Check AWS_ACCESS_KEY_ID", 1),
        (lambda h: reply(h, 401), Refused, "refuses it (HTTP 401)", 1),
        (lambda h: reply(h, 404), ImageError, "is not there", 1),
        (lambda h: reply(h, 301), ConfigError, "another region than AWS_REGION", 1),
        (lambda h: reply(h, 418), Refused, "answers HTTP 418", 1),
        (lambda h: reply(h, 200, b"short", length=1000), Unavailable, "broke off", None),
        (lambda h: h.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"), Unavailable, "too slow", None),
        (lambda h: h.hold(), Unavailable, "too slow", None),
    ],
)
def test_every_fault_of_reading_has_its_sentence(
    faulty: Faulty,
    answer: Answer,
    kind: type[LookalikeError],
    sentence: str,
    n_requests: int | None,
) -> None:
    """Within the deadline, after as many tries as make sense; neither sentence nor traceback holds a key."""
    faulty.answer = answer
    client = BucketClient(access(faulty.url, timeout_s=1.0 if sentence == "too slow" else AMPLE_S, max_retries=1))
    began_s = time.monotonic()
    with pytest.raises(kind, match="s3://photos") as caught:
        client.read("s3://photos/a.jpg", max_bytes=1 << 20)
    assert time.monotonic() - began_s < 10
    assert sentence in str(caught.value)
    assert faulty.n_requests == n_requests or n_requests is None
    assert SECRET not in told(caught.value) and "127.0.0.1" not in told(caught.value)


def test_a_server_that_is_not_there_is_told() -> None:
    """As one that fails."""
    with pytest.raises(Unavailable, match="cannot be reached"):
        BucketClient(access("http://127.0.0.1:9", timeout_s=1.0)).read("s3://photos/a.jpg", max_bytes=10)


def test_a_signature_in_an_address_is_not_told(faulty: Faulty) -> None:
    """Azure's keys may stand in the address that its library puts into its errors."""
    words = {"account_name": "shop", "sas_key": f"sv=2026&sig={SECRET}", "endpoint": faulty.url}
    options = {"az": {name: Secret(word) for name, word in words.items()}}
    faulty.answer = lambda handler: reply(handler, 400)
    with pytest.raises(Refused, match="its bucket answers HTTP 400") as caught:
        BucketClient(BucketSettings(options=options, timeout_s=AMPLE_S, max_retries=0)).read(
            "az://photos/a", max_bytes=9
        )
    assert "sig=" not in told(caught.value)


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_other_clouds_are_read_too(faulty: Faulty, scheme: str) -> None:
    """The same client, by their own settings."""
    words = {
        "gs": {"base_url": faulty.url, "skip_signature": "1"},
        "az": {"account_name": "shop", "account_key": "a2V5", "endpoint": faulty.url},
    }
    faulty.answer = lambda handler: reply(handler, 200, b"picture")
    options = {scheme: {name: Secret(word) for name, word in words[scheme].items()}}
    client = BucketClient(BucketSettings(options=options, timeout_s=AMPLE_S, max_retries=0))
    assert client.read(f"{scheme}://photos/a.jpg", max_bytes=100) == b"picture"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda h: reply(h, 403, DENIED), "refuses it"),
        (lambda h: reply(h, 404, b"<Error><Code>NoSuchBucket</Code></Error>"), "There is no bucket s3://photos"),
        (lambda h: reply(h, 500), "failed"),
    ],
)
def test_a_bucket_that_cannot_be_listed_is_an_error_at_once(
    faulty: Faulty, client: BucketClient, answer: Answer, sentence: str
) -> None:
    """Before a model is opened, or anything written."""
    faulty.answer = answer
    with pytest.raises(ProviderError, match=sentence):
        BucketSource("s3://photos/", client)


def test_a_listing_that_breaks_off_removes_nothing(faulty: Faulty, client: BucketClient) -> None:
    """What came before is there; the rest is in doubt, and one object says why."""
    keys = [f"{n:04}.jpg" for n in range(1000)]
    faulty.answer = lambda handler: reply(handler, 200, page(*keys))
    source = BucketSource("s3://photos/", client)

    def break_off(handler: LoopbackHandler) -> None:
        is_second = "continuation-token" in handler.path
        reply(handler, 500) if is_second else reply(handler, 200, page(*keys, more=True))

    faulty.answer = break_off
    found = list(source.objects())
    assert [obj.uri for obj in found] == [*(f"s3://photos/{key}" for key in keys), "s3://photos/"]
    assert "cannot be listed" in found[-1].problem
    assert source.unsure() == ("s3://photos/",)


@pytest.mark.parametrize("key", ["a//b.jpg", "a/../b.jpg", "./b.jpg"])
def test_a_name_that_cannot_be_asked_for_is_told(bucket: Bucket, key: str) -> None:
    """A listing cannot go past it: the error names it, and nothing is taken for gone."""
    bucket.put({"1.jpg": b"x"})
    source = BucketSource(bucket.place, bucket.client)
    bucket.put({key: b"x"})
    *_, last = source.objects()
    assert key in last.problem and "rename" in last.problem
    assert source.unsure() == (bucket.place,)
    with pytest.raises(InputError, match="cannot be asked for"):
        bucket.client.read(f"{bucket.place}{key}", max_bytes=10)


def test_one_object_that_fails_is_its_own_matter(faulty: Faulty, client: BucketClient) -> None:
    """It is listed with its reason, and the others are stored; tried again in the next run, it is stored too."""
    pictures = {f"{n}.png": noise(n) for n in range(3)}
    ailing = {"1.png"}

    def answer(handler: LoopbackHandler) -> None:
        name = handler.path.rpartition("/")[2]
        if "list-type" in handler.path:
            reply(handler, 200, page(*pictures))
        elif name in ailing:
            reply(handler, 500)
        else:
            reply(handler, 200, pictures[name])

    faulty.answer = answer
    target = new_target()
    first = Ingest(target).run([BucketSource("s3://photos/", client)])
    assert first.counts == {Outcome.STORED: 2, Outcome.FAILED: 1}
    assert [(entry.uri, entry.reason) for entry in first.failures] == [
        ("s3://photos/1.png", "cannot be read: its bucket failed (HTTP 500): try again later.")
    ]
    ailing.clear()
    assert Ingest(target).run([BucketSource("s3://photos/", client)]).counts == {
        Outcome.STORED: 1,
        Outcome.UNCHANGED: 2,
    }


def test_a_bucket_that_is_down_ends_the_run(faulty: Faulty) -> None:
    """Not every one of its objects has to be waited for; what was stored before is stored, and the next run goes on."""
    keys = [f"{n:03}.png" for n in range(200)]
    is_down = threading.Event()

    def answer(handler: LoopbackHandler) -> None:
        name = handler.path.rpartition("/")[2]
        if "list-type" in handler.path:
            reply(handler, 200, page(*keys))
        elif name >= "020.png" and is_down.is_set():
            reply(handler, 503)
        else:
            reply(handler, 200, noise(int(name[:3])))

    faulty.answer = answer
    target = new_target()
    client = BucketClient(access(faulty.url, timeout_s=AMPLE_S, max_retries=0))
    is_down.set()
    with pytest.raises(Unavailable, match="try again later"):
        Ingest(target).run([BucketSource("s3://photos/", client)])
    n_before = target.store.stats().items
    assert faulty.n_requests <= 7 * CHUNK_SIZE  # what was being read and embedded ahead, and the listings
    is_down.clear()
    report = Ingest(target).run([BucketSource("s3://photos/", client)])
    assert report.counts[Outcome.STORED] == 200 - n_before
    assert target.store.stats().items == 200


def new_target() -> Target:
    encoder = FakeEncoder()
    store = MemoryStore(encoder.tower.space)
    # One thread, so that failures in a row are the same objects each time.
    return Target(store=store, ledger=store.ledger, embedder=Embedder(LocalVectorizer(encoder)), threads=1)


def test_a_key_that_may_only_write_keeps_pictures(faulty: Faulty, client: BucketClient) -> None:
    """S3 refuses such a key to say whether an object is there; one that may not write either is refused."""
    faulty.answer = lambda handler: reply(handler, 200 if handler.command == "PUT" else 403)
    keeper = BucketKeeper("s3://photos/uploads", client)
    assert keeper.keep(noise(1), content="ab" * 32) == f"s3://photos/uploads/ab/{'ab' * 32}.png"
    faulty.answer = lambda handler: reply(handler, 403)
    with pytest.raises(Refused, match="cannot be written"):
        keeper.keep(noise(1), content="ab" * 32)


@pytest.mark.parametrize(
    "uri", ["s3://photos//a.jpg", "s3://photos/a/../b.jpg", "https://photos/a.jpg", "s3:///a.jpg", ""]
)
def test_what_is_no_name_of_an_object_is_refused(client: BucketClient, faulty: Faulty, uri: str) -> None:
    """Nothing is asked: what the library would make of it is the name of another object."""
    with pytest.raises(InputError):
        client.read(uri, max_bytes=10)
    assert faulty.n_requests == 0


def test_without_its_library_a_bucket_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with every extra."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingDependency, match=r"lookalike\[buckets\]"):
        BucketClient(BucketSettings()).read("s3://photos/a.jpg", max_bytes=10)
