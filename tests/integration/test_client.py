"""The client against a service that misbehaves: each time a clear error within the deadline, or the right answer."""

from __future__ import annotations

import asyncio
import base64
import inspect
import math
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike
from lookalike import aio, errors
from lookalike.client import Client
from lookalike.embed import OnError
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import (
    AccessDenied,
    ConfigError,
    DeadlineExceeded,
    ImageError,
    InputError,
    ItemNotFound,
    LookalikeError,
    NotReady,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    SpaceMismatch,
    TooLarge,
    Unavailable,
)
from lookalike.query import Part, Query
from lookalike.retry import RetryPolicy
from tests.integration.hostile_service import (
    SPACE,
    VECTOR,
    Fault,
    Service,
    drip,
    half,
    packed,
    refuses,
    reset,
    says,
    silence,
    vector_of,
    well_said,
)

KEY = "sk-a-secret-that-nobody-may-see"
NOW_S = 1_000_000.0


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    @property
    def policy(self) -> RetryPolicy:
        return RetryPolicy(
            base_s=1.0,
            sleep=self.sleep,
            clock=lambda: self.now_s,
            wall_clock=lambda: NOW_S + self.now_s,
            jitter=lambda: 1.0,
        )


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(service: Service, clock: Clock) -> Iterator[Client]:
    with Client(service.url, api_key=KEY, policy=clock.policy) as client:
        yield client


def b64(data: str) -> str:
    return base64.b64encode(data.encode()).decode()


def answer(**changes: Any) -> dict[str, Any]:
    """The right answer to a text, with changes."""
    return {**well_said("/embed/text", {"text": "a"}), **changes}


def test_vectors_come_in_the_callers_order_with_their_space(client: Client, service: Service) -> None:
    """Many inputs are split over requests; rows, positions, names and warnings are those of the caller's sequence."""
    texts = [chr(97 + i % 26) for i in range(150)]
    texts[70], texts[140] = "bad", "long"
    found = client.embed_texts(texts, names=[f"t{i}" for i in range(150)], on_error="collect")
    assert [len(seen.body["texts"]) for seen in service.seen] == [64, 64, 22]
    good = [i for i in range(150) if i != 70]
    assert found.positions.tolist() == good
    assert found.values.dtype == np.float32
    assert np.allclose(found.values, [vector_of(texts[i]) for i in good])
    assert (found.space, found.model) == (SPACE, "tiny")
    assert [(f.position, f.item, f.reason, f.kind) for f in found.failures] == [(70, "t70", "is bad.", "ImageError")]
    assert found.warnings == ("t140: was cut.",)


def test_pictures_are_bytes_or_paths(client: Client, tmp_path: Path) -> None:
    """A file that cannot be read is an error of that picture alone, and nothing of it is sent."""
    (tmp_path / "b.png").write_bytes(b"b")
    images = [b"a", tmp_path / "b.png", tmp_path / "absent.png", b"bad", b"c"]
    found = client.embed_images(images, on_error="collect")
    assert np.allclose(found.values, [vector_of("a"), vector_of("b"), vector_of("c")])
    assert found.positions.tolist() == [0, 1, 4]
    assert [(f.position, f.item, f.kind) for f in found.failures] == [
        (2, str(tmp_path / "absent.png"), "ImageError"),
        (3, "images[3]", "ImageError"),
    ]
    assert client.embed_image(tmp_path / "b.png").values.shape == (1, 4)


def test_the_first_bad_picture_is_raised(client: Client) -> None:
    """Without on_error="collect" a bad item is the error that it was, under the caller's name for it."""
    with pytest.raises(ImageError, match=r"^images\[1\]: is bad\.$"):
        client.embed_images([b"a", b"bad"])


def test_a_big_picture_does_not_share_a_request(client: Client, service: Service) -> None:
    """A request is full with so many bytes, however few pictures they are."""
    client.embed_images([b"a" * (10 << 20), b"b" * (10 << 20), b"c"])
    assert [len(seen.body["images"]) for seen in service.seen] == [1, 2]


def test_a_large_picture_is_sent_as_it_is(client: Client, service: Service) -> None:
    """So that one of 64 MiB fits into the largest body; it has its row in the caller's order, as any other."""
    found = client.embed_images([b"a", b"b" * (17 << 20), b"c"])
    assert np.allclose(found.values, [vector_of("a"), vector_of("b"), vector_of("c")])
    assert found.positions.tolist() == [0, 1, 2]
    assert [type(seen.body) for seen in service.seen] == [dict, bytes, dict]


def test_a_picture_that_is_too_large_fails_alone(client: Client, service: Service) -> None:
    """Whether that is known here or said by the service: its own failure, under the caller's name for it."""
    said = {"error": {"type": "TooLarge", "message": "has too much.", "actual": 9, "limit": 5}}
    service.faults = [says(well_said("/embed/image", {"images": [b64("a")]})), says(said, 413)]
    images = [b"a", b"b" * (17 << 20), b"c" * ((64 << 20) + 1), b"d"]
    found = client.embed_images(images, on_error="collect")
    assert np.allclose(found.values, [vector_of("a"), vector_of("d")])
    assert [(f.position, f.item, f.kind, f.actual, f.limit) for f in found.failures] == [
        (1, "images[1]", "TooLarge", 9, 5),
        (2, "images[2]", "TooLarge", (64 << 20) + 1, 64 << 20),
    ]
    service.faults = [says(said, 413)]
    with pytest.raises(TooLarge, match=r"^images\[0\]: has too much") as caught:
        client.embed_images(images[1:2])
    assert (caught.value.actual, caught.value.limit) == (9, 5)
    with pytest.raises(TooLarge, match=r"^images\[0\]: has 67,108,865 bytes"):
        client.embed_images(images[2:3])


def test_nothing_to_embed_is_an_empty_answer(client: Client, service: Service) -> None:
    """Nobody is asked when there is nothing to ask."""
    assert len(client.embed_texts([])) == 0
    assert service.seen == []


@pytest.mark.parametrize("wrong", ["a word", b"bytes", Path("a.jpg")])
def test_one_input_is_not_a_sequence_of_inputs(client: Client, wrong: Any) -> None:
    """A text is not embedded letter by letter."""
    with pytest.raises(InputError, match="hand in a list of one"):
        client.embed_texts(wrong)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(embedding=packed([0.6, 0.8])), "4 numbers that were announced"),
        (answer(embedding=[0.6, 0.8]), "4 numbers that were announced"),
        (answer(embedding="not base64!"), "4 numbers that were announced"),
        (answer(embedding={"a": 1}), "4 numbers that were announced"),
        (answer(embedding=packed([float("nan"), 0, 0, 0])), "length nan, not 1"),
        (answer(embedding=[1e300, 0, 0, 0]), "length inf, not 1"),
        (answer(embedding=packed([0.5, 0, 0, 0])), "length 0.5, not 1"),
        (answer(embedding=None), "without a vector and without an error"),
        (answer(embeddings=[packed(VECTOR)] * 2), "does not answer 1 inputs"),
        (answer(embeddings=[None], errors=[{"index": 4, "message": "x"}]), "that it was not given"),
        (answer(embeddings=[packed(VECTOR)], errors=[{"index": 0, "message": "x"}]), "without a vector"),
        (answer(space=None), "which space"),
        (answer(dimensions="4"), "which space"),
        ([1, 2], "does not seem to be a lookalike service"),
        (b"[" * 100_000, "does not seem to be a lookalike service"),
        (b"<html>Please log in</html>", "does not seem to be a lookalike service"),
    ],
)
def test_what_is_not_a_unit_vector_is_no_answer(client: Client, service: Service, said: Any, reason: str) -> None:
    """Wrong length, NaN, infinity, not of unit length, not there, or no vectors at all: an error, asked once."""
    service.faults = [says(said)]
    with pytest.raises(ProviderError, match=reason):
        client.embed_text("a")
    assert len(service.seen) == 1


def test_numbers_are_read_as_well_as_base64(client: Client, service: Service) -> None:
    """A service that knows no encoding_format answers with digits: the vector is the same."""
    service.faults = [says(answer(embedding=VECTOR))]
    assert client.embed_text("a").values.tolist() == [VECTOR]


def test_two_spaces_never_mix(client: Client, service: Service) -> None:
    """An answer of another space than the first is an error, of searches too: the service's model was changed."""
    client.embed_text("a")
    service.space = "tiny-4@ffffffffffff"
    for call in (lambda: client.embed_text("a"), lambda: client.search(text="a")):
        with pytest.raises(SpaceMismatch) as caught:
            call()
        assert (caught.value.expected, caught.value.actual) == (SPACE, service.space)


def test_vectors_of_one_space_have_one_length(client: Client, service: Service) -> None:
    """A service that changes the length under the same name is not believed, nor are its rows put together."""
    shorter = {"embeddings": [packed([0.6, 0.8])] * 6, "errors": [], "dimensions": 2, "space": SPACE, "model": "tiny"}
    service.faults = [lambda handler: handler.answer(well_said("/embed/text", service.seen[0].body)), says(shorter)]
    with pytest.raises(ProviderError, match="2 numbers, and those so far had 4"):
        client.embed_texts(["a"] * 70)


def test_the_space_can_be_given(service: Service) -> None:
    """The first answer is held against the caller's space; the model's name in it is for people."""
    with Client(service.url, space="other-4@ffffffffffff") as client, pytest.raises(SpaceMismatch):
        client.embed_text("a")
    with Client(service.url, space=f"my-name-{SPACE.removeprefix('tiny-')}") as client:
        assert client.embed_text("a").space == SPACE


@pytest.mark.parametrize(
    ("fault", "pause_s"),
    [
        (refuses("Overloaded", 429, retryable=True, Retry_After="7"), 8),
        (refuses("Overloaded", 503, retryable=True, Retry_After=formatdate(NOW_S + 7, usegmt=True)), 8),
        (refuses("NotReady", 503, retryable=True, Retry_After="7"), 8),
        (refuses("NotReady", 503, retryable=True), 1),
        (says(b"slow down", 429, Retry_After="7"), 8),
        (says(b"<html>Bad gateway</html>", 502), 1),
        (says(b"", 503), 1),
        (half, 1),
        (reset, 1),
    ],
)
def test_what_passes_is_asked_again(client: Client, service: Service, clock: Clock, fault: Fault, pause_s: int) -> None:
    """Too much at once, not there yet, a broken connection: after the pause that was asked for the answer is there."""
    service.faults = [fault]
    assert len(client.embed_text("a")) == 1
    assert clock.pauses == [pause_s]
    assert len(service.seen) == 2


def crowded(*full: int, of: int, **lasting: Any) -> Fault:
    """The answer of a service that had no room for the texts at these places; what is `lasting` fails as well."""
    said = well_said("/embed/text", {"texts": ["a"] * of})
    entries = [{"index": i, "type": "Overloaded", "message": "Full.", "retry_after_s": 0.5} for i in full]
    if lasting:
        entries.append({"index": of - 1, "message": "No.", **lasting})
    for entry in entries:
        said["embeddings"][entry["index"]] = None
    return says({**said, "errors": entries})


@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_what_there_was_no_room_for_is_asked_again(
    client: Client, service: Service, clock: Clock, on_error: OnError
) -> None:
    """Of an answer with some of the vectors the others alone are asked for, after the pause; all come in order."""
    service.faults = [crowded(0, 2, of=4), crowded(1, of=2)]
    found = client.embed_texts(["x", "a", "y", "a"], on_error=on_error)
    assert found.positions.tolist() == [0, 1, 2, 3]
    assert np.allclose(found.values, [vector_of(letter) for letter in "aaya"])  # the doubles answer "a" where told to
    assert found.failures == ()
    assert [seen.body["texts"] for seen in service.seen] == [["x", "a", "y", "a"], ["x", "y"], ["y"]]
    assert clock.pauses == [1.5, 1.5]


def test_what_there_never_is_room_for_is_an_error(client: Client, service: Service) -> None:
    """When the time does not allow another try; what was answered is kept where errors are collected."""
    service.faults = [crowded(1, of=2)]
    with pytest.raises(Overloaded) as caught:
        client.embed_texts(["a", "b"], timeout_s=1)
    assert caught.value.retry_after_s == 0.5
    for then in ([], [reset] * 9, [refuses("DeadlineExceeded", 504, retryable=True)]):
        service.faults = [crowded(1, of=2), *then]
        found = client.embed_texts(["a", "b"], on_error="collect", timeout_s=60 if then else 1)
        assert found.positions.tolist() == [0]
        assert [(f.position, f.kind) for f in found.failures] == [(1, "Overloaded")]


def test_an_input_that_cannot_be_used_is_told_before_the_full_ones_are_asked_again(
    client: Client, service: Service
) -> None:
    """It is raised at once; where errors are collected, it is asked for once only."""
    service.faults = [crowded(0, of=3, type="ImageError")] * 2
    with pytest.raises(ImageError):
        client.embed_texts(["a", "b", "c"])
    assert len(service.seen) == 1
    found = client.embed_texts(["a", "b", "c"], on_error="collect")
    assert [f.position for f in found.failures] == [2]
    assert [seen.body["texts"] for seen in service.seen[1:]] == [["a", "b", "c"], ["a"]]


@pytest.mark.parametrize("pause", [math.nan, math.inf, -1, "soon", 1e300])
def test_a_pause_that_is_none_is_not_heeded(client: Client, service: Service, clock: Clock, pause: Any) -> None:
    """An item's error that asks for no number of seconds is asked again as one that says nothing."""
    said = well_said("/embed/text", {"texts": ["a", "bad"]})
    service.faults = [says({**said, "errors": [{"index": 1, "type": "Overloaded", "retry_after_s": pause}]})]
    assert len(client.embed_texts(["a", "b"])) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refuses("Overloaded", 429, retryable=True, Retry_After="31"), Overloaded),
        (refuses("Overloaded", 503, retryable=True, Retry_After=formatdate(NOW_S + 31, usegmt=True)), Overloaded),
        (refuses("NotReady", 503, retryable=True, Retry_After="31"), NotReady),
        (says(b"slow down", 429, Retry_After="31"), RateLimited),
    ],
)
def test_no_pause_is_longer_than_the_deadline(
    client: Client, service: Service, clock: Clock, fault: Fault, kind: type[LookalikeError]
) -> None:
    """Who is asked to come back too late is told at once, with the time."""
    service.faults = [fault]
    with pytest.raises(kind) as caught:
        client.embed_text("a", timeout_s=30)
    assert caught.value.retry_after_s == 31  # type: ignore[attr-defined]  # each of these has it
    assert clock.pauses == []


@pytest.mark.parametrize(("fault", "kind"), [(half, Unavailable), (reset, Unavailable), (says(b"", 502), Unavailable)])
def test_tries_come_to_an_end(client: Client, service: Service, clock: Clock, fault: Fault, kind: Any) -> None:
    """What does not pass is its last error, within the deadline."""
    service.faults = [fault] * 99
    with pytest.raises(kind, match=r"127\.0\.0\.1"):
        client.embed_text("a", timeout_s=10)
    assert sum(clock.pauses) <= 10
    assert 1 < len(service.seen) < 99


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refuses("InputError", 422), InputError),
        (refuses("TooLarge", 413), TooLarge),
        (refuses("AccessDenied", 401), AccessDenied),
        (refuses("ItemNotFound", 404), ItemNotFound),
        (refuses("Overloaded", 418, retryable=True), Overloaded),
        (refuses("DeadlineExceeded", 504, retryable=True), DeadlineExceeded),
        (refuses("StoreCorrupt", 503), errors.StoreCorrupt),
        (refuses("SomethingNew", 409), Refused),
        (refuses("InternalServerError", 500), ProviderError),
        (says(b"<html>404</html>", 404), Refused),
        (says(b"<html>error</html>", 500), ProviderError),
        (says(b"", 307, Location="http://127.0.0.1:9/elsewhere"), Refused),
        (says(b"", 204), ProviderError),
    ],
)
def test_what_lasts_is_asked_once(client: Client, service: Service, fault: Fault, kind: type[LookalikeError]) -> None:
    """A 4xx, a redirect, a failure that is not about now: one request, and an error that says which."""
    service.faults = [fault]
    with pytest.raises(kind) as caught:
        client.embed_text("a")
    assert type(caught.value) is kind
    assert len(service.seen) == 1


def test_errors_are_the_classes_that_they_were(client: Client, service: Service) -> None:
    """Every class that a service can name is raised as itself, with its sentence; the request's id is noted."""
    providers = {"BudgetExceeded", "ProviderError", "RateLimited", "Refused", "Unavailable"}
    local = {"CacheDamaged", "CacheError", "LookalikeError", "MissingDependency", *providers}
    kinds = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__name__ not in local]
    assert len(kinds) > 20
    for kind in kinds:
        service.faults = [refuses(kind.__name__, 422)]
        with pytest.raises(kind, match=r"No\.") as caught:
            client.embed_text("a")
        assert type(caught.value) is kind
        assert "r-1" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(("status", "known"), [(401, False), (403, True)])
def test_a_key_is_unknown_or_lacks_the_right(client: Client, service: Service, status: int, known: bool) -> None:
    """The two are told apart."""
    service.faults = [refuses("AccessDenied", status)]
    with pytest.raises(AccessDenied) as caught:
        client.embed_text("a")
    assert caught.value.known is known


@pytest.mark.parametrize(
    "fault",
    [
        silence,
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nX-Endless: "),
        drip(b""),
    ],
)
def test_a_call_ends_with_its_time(service: Service, fault: Fault) -> None:
    """Silence, and a byte now and then, in the body or in the headers: over when the deadline is, not when it ends."""
    service.faults = [fault] * 9
    with Client(service.url) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="timeout_s"):
            client.embed_text("a", timeout_s=0.3)
        assert 0.29 < time.monotonic() - began < 2
    assert len(service.seen) == 1


def test_https_has_the_same_deadline_and_needs_a_trusted_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors come through TLS, a byte now and then ends with the call's time, a stranger's certificate is refused."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    file = tmp_path / "service.pem"
    options = ["-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    # The key goes to the file, the certificate to standard output.
    made = subprocess.run(["openssl", "req", *options, "-keyout", file], check=True, capture_output=True, text=True)
    file.write_text(file.read_text() + made.stdout)
    with Service(tls=file) as service:
        with Client(service.url) as client, pytest.raises(Refused, match="SSL_CERT_FILE"):
            client.embed_text("a")
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with Client(service.url) as client:
            assert len(client.embed_images([b"a" * (1 << 20)] * 2)) == 2
            service.faults = [drip(b"HTTP/1.1 200 OK\r\nX-Endless: ")]
            with pytest.raises(DeadlineExceeded):
                client.embed_text("a", timeout_s=0.3)


def test_nobody_is_asked_when_the_time_is_up(client: Client, service: Service) -> None:
    """A deadline that has passed is an error without a request."""
    with pytest.raises(DeadlineExceeded):
        client.embed_text("a", timeout_s=0)
    assert service.seen == []


@pytest.mark.parametrize("seconds", [math.inf, 1e10, 1e300])
def test_a_call_may_have_all_the_time_there_is(service: Service, seconds: float) -> None:
    """More seconds than a socket can count are as many as it can, and the service is told its own most."""
    with Client(service.url, timeout_s=seconds) as client:
        assert len(client.embed_text("a")) == 1
        assert len(client.embed_text("a", timeout_s=seconds)) == 1
    assert [seen.headers["x-request-timeout"] for seen in service.seen] == ["120.000"] * 2


def test_a_time_that_is_no_number_is_refused(client: Client, service: Service) -> None:
    """It compares with nothing, so that it would be neither over nor not."""
    with pytest.raises(ConfigError, match="timeout_s is not a number"):
        Client(service.url, timeout_s=math.nan)
    with pytest.raises(InputError, match="timeout_s is not a number"):
        client.embed_text("a", timeout_s=math.nan)
    assert service.seen == []


def test_a_service_that_reads_nothing_ends_with_the_deadline() -> None:
    """A body that nobody takes is given up in time as well."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, Client(f"http://127.0.0.1:{deaf.getsockname()[1]}") as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            client.embed_image(b"x" * (32 << 20), timeout_s=0.3)
        assert time.monotonic() - began < 2


def test_the_service_learns_how_much_time_is_left(client: Client, service: Service) -> None:
    """Each request carries what is left of the call, up to what a service takes, after pauses and earlier requests."""
    service.faults = [refuses("NotReady", 503, retryable=True, Retry_After="7")]
    client.embed_text("a", timeout_s=30)
    client.embed_text("a", timeout_s=3600)
    assert [float(seen.headers["x-request-timeout"]) for seen in service.seen] == [30, 22, 120]


def test_nobody_there_is_said(clock: Clock) -> None:
    """A port where nothing listens is Unavailable, with the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", policy=clock.policy) as client:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            client.embed_text("a", timeout_s=5)
        with pytest.raises(Unavailable):
            client.ready()


def test_the_key_is_sent_and_never_shown(client: Client, service: Service) -> None:
    """It is a bearer token of every request, and in no error, no note and no representation."""
    service.faults = [refuses("AccessDenied", 401), says(b"no", 500), says(b"", 307), half, says(b"<html>")]
    shown = [repr(client), str(vars(client))]
    for _ in range(4):
        with pytest.raises(LookalikeError) as caught:
            client.embed_text("a")
        shown += [str(caught.value), repr(caught.value), *getattr(caught.value, "__notes__", ())]
    assert {seen.headers["authorization"] for seen in service.seen} == {f"Bearer {KEY}"}
    assert not [text for text in shown if KEY in text]


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ключ"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """Without repeating it."""
    with pytest.raises(ConfigError) as caught:
        Client("http://127.0.0.1:1", api_key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://host",
        "http://",
        "http://u:pass@host",
        "http://host:x",
        "http://h/?k=pass",
        "http://h/?",
        "http://h/#",
        "http://h/a b",
        "http://h/\n",
        "http://h:1\n",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(base_url: str) -> None:
    """Nor is the address repeated: people put passwords in."""
    with pytest.raises(ConfigError, match="base_url") as caught:
        Client(base_url)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("given", [{"item_id": "\ud800"}, {"item_id": "a", "project": "\ud800"}])
def test_half_a_character_names_nothing(client: Client, service: Service, given: dict[str, str]) -> None:
    """What no address can carry is an input that cannot be used, and nobody is asked."""
    with pytest.raises(InputError, match="lone surrogate"):
        client.item(**given)
    assert service.seen == []


def test_half_a_character_fails_alone(client: Client, service: Service) -> None:
    """A text with half a surrogate pair is its own failure, at its place and under its name; others have vectors."""
    texts: list[Any] = ["ok", "b\ud800", 7, "c"]
    found = client.embed_texts(texts, on_error="collect")
    assert found.positions.tolist() == [0, 3]
    assert [(f.position, f.item, f.kind) for f in found.failures] == [
        (1, "texts[1]", "InputError"),
        (2, "texts[2]", "InputError"),
    ]
    assert "surrogate pair at character 1" in found.failures[0].reason
    with pytest.raises(InputError, match=r"^texts\[1\]: .* surrogate pair"):
        client.embed_texts(texts)
    with pytest.raises(InputError, match=r"^text: .* surrogate pair"):
        client.embed_text("\ud800")
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"parts": [Part(text="\ud800")]},
        {"parts": [Part(item="\ud800"), Part(text="a")]},
        {"parts": [Part(item="a", project="\ud800")]},
        {"parts": [Part(text="a")], "project": "\ud800"},
        {"parts": [Part(text="a")], "metadata": {"colour": "\ud800"}},
        {"parts": [Part(text="a")], "metadata": {"\ud800": "red"}},
    ],
)
def test_half_a_character_is_not_searched_for(client: Client, service: Service, query: dict[str, Any]) -> None:
    """Wherever it stands, the error says where, and nobody is asked."""
    with pytest.raises(InputError, match=r"^The (text|item|project|where) holds half of a surrogate pair"):
        client.find(**query)
    assert service.seen == []


def test_hits_items_and_pictures(client: Client, service: Service) -> None:
    """Search answers with hits as an index does; ids are quoted in paths."""
    hits = client.search(text="a", limit=3, project="p", min_confidence=0.5)
    assert service.seen[-1].body == {"text": "a", "limit": 3, "project": "p", "min_confidence": 0.5}
    assert (len(hits), hits.considered, hits.space) == (1, 7, SPACE)
    assert (hits[0].item.id, hits[0].confidence, hits[0].item.metadata) == ("a b/c", 0.9, {"colour": "red"})
    service.faults = [says({"id": "a b/c", "content": "0", "project": "p"}), says(b"file"), says(b"small")]
    assert client.item("a b/c", project="p").project == "p"
    assert client.picture("a b/c") == b"file"
    assert client.thumbnail("a b/c", project="p", side_px=256) == b"small"
    assert [seen.path for seen in service.seen[1:]] == [
        "/items/a%20b%2Fc?project=p",
        "/items/a%20b%2Fc/picture",
        "/items/a%20b%2Fc/thumbnail?project=p&size=256",
    ]


def test_a_query_of_several_parts_is_sent_whole(client: Client, service: Service, tmp_path: Path) -> None:
    """Words, pictures, items, vectors and weights, and which metadata; a single part stands in no list."""
    path = tmp_path / "a.png"
    path.write_bytes(b"file")
    parts = [Part(text="a"), Part(image=path, weight=2), Part(item="b", weight=-1), Part(vector=np.float32([1, 0.5]))]
    client.find(parts, limit=3, project="p", metadata={"colour": "red"}, min_confidence=0.5)
    assert service.seen[-1].body == {
        "query": [
            {"text": "a"},
            {"image": "ZmlsZQ==", "weight": 2},
            {"item": "b", "weight": -1},
            {"vector": [1, 0.5]},
        ],
        "limit": 3,
        "project": "p",
        "where": {"colour": "red"},
        "min_confidence": 0.5,
    }
    client.find([Part(vector=[1, 0], weight=-1)])
    assert service.seen[-1].body == {"vector": [1, 0], "weight": -1, "limit": 10, "min_confidence": 0}


@pytest.mark.parametrize(
    "vector", [["a"], [float("nan")], [[1.0, 0.0]], Query(np.ones(1, np.float32), FakeEncoder().tower.space, "text")]
)
def test_a_vector_that_cannot_be_sent_is_refused(client: Client, service: Service, vector: Any) -> None:
    """No numbers, none that JSON knows, a table; a query of an index, which is more than its numbers."""
    with pytest.raises(InputError, match=r"^vector: "):
        client.find([Part(vector=vector)])
    assert not service.seen


@pytest.mark.parametrize("query", [{}, {"text": "a", "item": "b"}])
def test_a_search_is_by_exactly_one_thing(client: Client, query: dict[str, str]) -> None:
    """None and two are refused before anybody is asked."""
    with pytest.raises(InputError, match="exactly one"):
        client.search(**query)  # type: ignore[arg-type]


@pytest.mark.parametrize("hit", [{}, {"item": {}, "similarity": 1, "confidence": 1}, {"item": {"id": "a"}}])
def test_hits_that_are_none_are_no_answer(client: Client, service: Service, hit: Any) -> None:
    """A hit without its item or its figures is an error of the service."""
    service.faults = [says({"hits": [hit], "space": SPACE})]
    with pytest.raises(ProviderError, match="does not describe"):
        client.search(text="a")


def test_ready_asks_once(client: Client, service: Service) -> None:
    """503 is an answer: not now."""
    service.faults = [says({"ready": False}, 503), says({"ready": True})]
    assert [client.ready(), client.ready()] == [False, True]


def test_one_client_serves_many_threads(client: Client) -> None:
    """Answers are not confused when several threads ask at once."""
    wrong: list[str] = []

    def ask(letter: str) -> None:
        found = [client.embed_text(letter).values[0] for _ in range(10)]
        wrong.extend(letter for vector in found if not np.allclose(vector, vector_of(letter)))

    threads = [threading.Thread(target=ask, args=(letter,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_async_client_is_the_same(service: Service) -> None:
    """Calls run beside each other without holding up the loop; results and errors are those of the other client."""

    async def run() -> None:
        async with aio.Client(service.url) as client:
            found = await asyncio.gather(*(client.embed_text(letter) for letter in "abc"))
            assert [np.allclose(f.values[0], vector_of(letter)) for f, letter in zip(found, "abc", strict=True)] == [
                True
            ] * 3
            service.faults = [refuses("ItemNotFound", 404)]
            with pytest.raises(ItemNotFound):
                await client.item("x")

    asyncio.run(run())


def test_async_calls_wait_for_no_other_calls(service: Service) -> None:
    """However many hang, whatever the program's own threads do: each ends with its time, and a new one is answered."""
    n_silent, busy = 80, threading.Event()
    service.faults = [silence] * n_silent

    async def run() -> float:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.run_in_executor(None, busy.wait, 5)
        async with aio.Client(service.url) as client:
            began = time.monotonic()
            calls = [client.embed_text("a", timeout_s=1) for _ in range(n_silent)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            took_s = time.monotonic() - began
            assert [type(error) for error in found] == [DeadlineExceeded] * n_silent
            service.faults.clear()
            assert len(await client.embed_text("a")) == 1
            busy.set()
            return took_s

    assert asyncio.run(run()) < 2.5


def test_an_async_call_that_is_cancelled_ends(service: Service) -> None:
    """Nobody waits for its thread, neither the loop nor the program, and it asks for nothing more."""
    arrived = threading.Event()

    def hold(handler: Any) -> None:
        arrived.set()
        silence(handler)

    async def run() -> None:
        async with aio.Client(service.url, timeout_s=math.inf) as client:
            call = asyncio.create_task(client.embed_texts(["a"] * 200))
            await asyncio.to_thread(arrived.wait)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    service.faults = [hold]
    began = time.monotonic()
    asyncio.run(run())
    threads = [thread for thread in threading.enumerate() if thread.name == "lookalike-call"]
    assert all(thread.daemon for thread in threads)
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - began < 5
    assert len(service.seen) == 1


@pytest.mark.parametrize(("seconds", "kind"), [(math.nan, InputError), (0, DeadlineExceeded), (-1, DeadlineExceeded)])
def test_the_async_client_refuses_the_same_times(service: Service, seconds: float, kind: type[LookalikeError]) -> None:
    """A time that is no number, and one that is over; all the time there is is no error."""

    async def run() -> None:
        async with aio.Client(service.url, timeout_s=math.inf) as client:
            assert len(await client.embed_text("a")) == 1
            with pytest.raises(kind):
                await client.embed_text("a", timeout_s=seconds)

    asyncio.run(run())


def test_the_async_client_has_every_call() -> None:
    """No method of the client is missing from its twin."""
    assert {name for name in vars(Client) if name[0] != "_"} == {name for name in vars(aio.Client) if name[0] != "_"}
    assert lookalike.Client is Client
