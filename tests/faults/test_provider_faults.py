"""Everything that a provider can do wrong: each ends in right vectors or in an error of lookalike, by the deadline."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import numpy as np
import pytest

from lookalike import wire
from lookalike.calls import Inputs, joined
from lookalike.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    LookalikeError,
    ProviderError,
    RateLimited,
    Refused,
    SpaceMismatch,
    Unavailable,
)
from lookalike.providers.adapter import Limits
from lookalike.providers.billing import Bill
from lookalike.providers.pacing import FAILURES_TO_OPEN, OPEN_S
from lookalike.providers.remote import RemoteVectorizer
from lookalike.providers.sending import HARMLESS_TEXT, MAX_EXTRA
from lookalike.types import Vectors
from lookalike.usage import Price, Usage
from lookalike.wire import Wire
from tests.doubles.double import (
    MESSAGE,
    PATIENCE_S,
    Exchange,
    Fault,
    altered,
    broken,
    drip,
    half,
    hang,
    held,
    huge,
    infinite,
    limited,
    long_vectors,
    not_a_number,
    null_number,
    out_of_quota,
    page,
    per_token,
    poison,
    ragged,
    redirect,
    reset,
    says,
    shorter,
    string_number,
    too_few,
    too_many,
    vector_of,
    zeros,
)
from tests.doubles.simple import KEY, WALL_S, Clock, SimpleAdapter, SimpleDouble, remote, texts
from tests.pictures import noise

ONE_BY_ONE = Limits(texts=1, concurrency=1)

PASSING: dict[str, Fault] = {
    "429 with seconds": limited(retry_after="3"),
    "429 with a date": limited(retry_after=formatdate(WALL_S + 3, usegmt=True)),
    "429 with milliseconds": limited(retry_after_ms="3000"),
    "429 without": limited(),
    "500": broken(500),
    "502 of a proxy": page(502),
    "503 that is no JSON": page(503),
    "half an answer": half,
    "reset": reset,
}

FINAL: dict[str, tuple[Fault, type[LookalikeError], str]] = {
    "quota": (out_of_quota, Refused, "You exceeded your current quota"),
    "401": (broken(401), Refused, MESSAGE),
    "403": (broken(403), Refused, MESSAGE),
    "404": (broken(404), Refused, MESSAGE),
    "redirect": (redirect("http://127.0.0.1:9/"), Refused, "307"),
    "too few": (too_few, ProviderError, "2 vectors for 3 inputs"),
    "too many": (too_many, ProviderError, "4 vectors for 3 inputs"),
    "ragged": (ragged, ProviderError, "all of one length"),
    "shorter": (shorter, SpaceMismatch, "7 numbers where openai:simple has 8"),
    "null": (null_number, ProviderError, "rows of numbers"),
    "text": (string_number, ProviderError, "rows of numbers"),
    "per token": (per_token, ProviderError, "a vector for each token"),
    "zeros": (zeros, ProviderError, "zeros"),
    "no JSON": (says(b"<html>Welcome to the hotel</html>"), ProviderError, "not what it promises"),
    "blanks": (huge(1000), ProviderError, "not what it promises"),
    "other JSON": (says({"vectors": "none", "tokens": 1}), ProviderError, "4 vectors for 3 inputs"),
    "no list": (says({"vectors": [1, 2, 3], "tokens": 1}), ProviderError, "rows of numbers"),
}

ENDLESS: dict[str, Fault] = {"hang": hang, "drip": drip, "503": broken(503), "429": limited()}


@pytest.fixture
def double() -> Iterator[SimpleDouble]:
    with SimpleDouble() as started:
        yield started


@pytest.fixture
def clock() -> Clock:
    return Clock()


def embedded(vectorizer: RemoteVectorizer, inputs: Inputs, *, until: float = float("inf")) -> Vectors:
    """All parts together."""
    return joined(vectorizer.embed(inputs, until=until), vectorizer.tower)


def right(*payloads: str) -> np.ndarray:
    """The vectors that the double has for these texts."""
    return np.array([vector_of(payload, 8) for payload in payloads], np.float32).reshape(-1, 8)


def outcome(work: Callable[[], Vectors]) -> Vectors | LookalikeError:
    """What work returned or raised."""
    try:
        return work()
    except LookalikeError as error:
        return error


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(fault: Fault, double: SimpleDouble, clock: Clock) -> None:
    """After a fault that may pass, the same request is sent again and its answer is right."""
    double.faults = [fault, fault]
    found = embedded(remote(double, clock.patience()), texts("a", "b", "c"))
    assert np.allclose(found.values, right("a", "b", "c"), atol=1e-6)
    assert found.usage.requests == len(double.seen) == len(clock.pauses) + 1 == 3


@pytest.mark.parametrize("name", [name for name in PASSING if name.startswith("429 with ")])
def test_a_pause_that_is_asked_for_is_kept(name: str, double: SimpleDouble, clock: Clock) -> None:
    """Nothing is sent before the seconds of a Retry-After are over, in whichever form they were asked for."""
    double.faults = [PASSING[name]]
    embedded(remote(double, clock.patience()), texts("a"))
    assert 3.0 <= clock.now_s <= 4.0


def test_everybody_waits_when_a_pause_is_asked_for(double: SimpleDouble, clock: Clock) -> None:
    """A pause that one request was asked to make holds back the next ones of the same key."""
    vectorizer = remote(double, clock.patience(tries=1), limits=ONE_BY_ONE)
    double.faults = [limited(retry_after="30")]
    assert isinstance(outcome(lambda: embedded(vectorizer, texts("a"))), RateLimited)
    assert clock.now_s == 0
    embedded(vectorizer, texts("b"))
    assert clock.now_s >= 30


@pytest.mark.parametrize(("fault", "kind", "words"), FINAL.values(), ids=FINAL)
def test_what_does_not_pass_is_not_tried_again(
    fault: Fault, kind: type[LookalikeError], words: str, double: SimpleDouble, clock: Clock
) -> None:
    """A fault that trying again does not cure is an error at once, with a sentence that says what it is."""
    double.rule = fault
    with pytest.raises(kind, match=words) as caught:
        embedded(remote(double, clock.patience()), texts("a", "b", "c"))
    assert type(caught.value) is kind
    assert len(double.seen) == 1


@pytest.mark.parametrize("fault", ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_ends_at_the_deadline(fault: Fault, double: SimpleDouble) -> None:
    """Silence, a drip, and a failure or refusal that does not pass are a typed error by the deadline."""
    double.rule = fault
    until = time.monotonic() + 0.5
    with pytest.raises((DeadlineExceeded, Unavailable, RateLimited)):
        embedded(remote(double), texts("a"), until=until)
    assert time.monotonic() < until + PATIENCE_S / 4


@pytest.mark.parametrize("fault", [hang, drip], ids=["hang", "drip"])
def test_silence_is_asked_again_before_the_time_is_up(fault: Fault, double: SimpleDouble, clock: Clock) -> None:
    """A request without an answer is given up at half of its time, and the next try is answered in the other half."""
    double.faults = [fault]

    def jump() -> None:
        double.arrived(1)
        clock.now_s = 31.0

    jumper = threading.Thread(target=jump)
    jumper.start()
    found = embedded(remote(double, clock.patience()), texts("a"), until=60)
    jumper.join()
    assert np.allclose(found.values, right("a"), atol=1e-6)
    assert (len(double.seen), found.usage.requests) == (2, 2)
    assert clock.now_s < 60


def test_each_request_has_its_own_time_where_the_call_has_none(double: SimpleDouble, clock: Clock) -> None:
    """A long call without a deadline takes as long as it must; a request that is never answered rightly still ends."""
    vectorizer = remote(double, clock.patience(), limits=Limits(texts=1, concurrency=1, requests_per_minute=6))
    assert len(embedded(vectorizer, texts(*map(str, range(20))))) == 20
    assert clock.now_s > vectorizer._patience.timeout_s
    began_s = clock.now_s
    double.rule = limited(retry_after="25")
    with pytest.raises(RateLimited):
        embedded(vectorizer, texts("a"))
    assert clock.now_s - began_s <= vectorizer._patience.timeout_s


def test_a_longer_pause_than_there_is_time_is_not_waited_for(double: SimpleDouble, clock: Clock) -> None:
    """A Retry-After beyond the deadline is an error at once, and says how long it would have been."""
    double.rule = limited(retry_after="90")
    with pytest.raises(RateLimited) as caught:
        embedded(remote(double, clock.patience()), texts("a"), until=60)
    assert caught.value.retry_after_s == 90
    assert (len(double.seen), clock.now_s) == (1, 0)


def test_an_endless_answer_is_cut(double: SimpleDouble, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is larger than any could be is an error before all of it is read."""
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 100_000)
    double.rule = huge(1_000_000)
    with pytest.raises(ProviderError, match="more than 100,000 bytes"):
        embedded(remote(double, clock.patience()), texts("a"))


@pytest.mark.parametrize("fault", [not_a_number, infinite], ids=["nan", "inf"])
def test_a_row_that_points_nowhere_is_its_inputs_failure(fault: Fault, double: SimpleDouble) -> None:
    """An input whose vector is not finite fails by its name, and the others have theirs."""
    double.faults = [fault]
    found = embedded(remote(double), texts("a", "b"))
    assert [(f.position, f.item, f.kind) for f in found.failures] == [(0, "a", "InputError")]
    assert np.allclose(found.values, right("b"), atol=1e-6)


def test_vectors_are_made_unit_here(double: SimpleDouble) -> None:
    """A vector of length 6.9 comes out with length 1, in the same direction."""
    double.rule = long_vectors
    found = embedded(remote(double), texts("a", "b"))
    assert np.allclose(found.values, right("a", "b"), atol=1e-6)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_input_to_blame_is_found(status: int, double: SimpleDouble) -> None:
    """Of a refused request only the input to blame fails, with the provider's words, and the others have vectors."""
    names = [f"text {i}" for i in range(20)]
    double.rule = poison("text 13", status=status)
    found = embedded(remote(double, limits=Limits(texts=20)), texts(*names))
    ((failure),) = found.failures
    assert (failure.position, failure.item, failure.kind) == (13, "text 13", "InputError")
    assert MESSAGE in failure.reason
    assert np.allclose(found.values, right(*names[:13], *names[14:]), atol=1e-6)
    assert found.positions.tolist() == [*range(13), *range(14, 20)]


def test_three_bad_ones_among_a_thousand(double: SimpleDouble) -> None:
    """A thousand inputs of which the provider refuses three are 997 vectors and three failures in their places."""
    names = [f"text {i}" for i in range(1000)]
    bad = {"text 7", "text 500", "text 999"}

    def refuse(exchange: Exchange) -> None:
        exchange.fail(400) if bad & set(exchange.double.inputs(exchange.seen)) else exchange.succeed()

    double.rule = refuse
    found = embedded(remote(double, limits=Limits(texts=1000)), texts(*names))
    assert [(f.position, f.item) for f in found.failures] == [(7, "text 7"), (500, "text 500"), (999, "text 999")]
    assert np.allclose(found.values, right(*(name for name in names if name not in bad)), atol=1e-6)
    assert len(double.seen) <= MAX_EXTRA + 2


def test_a_refusal_of_everything_blames_no_input(double: SimpleDouble) -> None:
    """Where a harmless text is refused as well, the request is an error after that one question more."""
    double.rule = broken(400)
    with pytest.raises(Refused, match=MESSAGE):
        embedded(remote(double), texts("a", "b", "c"))
    assert [seen.body["texts"] for seen in double.seen] == [["a", "b", "c"], [HARMLESS_TEXT]]


def test_the_search_for_culprits_ends(double: SimpleDouble) -> None:
    """Where most inputs are refused, the search for them ends with an error, and what was answered is kept."""

    def refuse(exchange: Exchange) -> None:
        odd = any(content != HARMLESS_TEXT and int(content) % 2 for content in exchange.double.inputs(exchange.seen))
        exchange.fail(400) if odd else exchange.succeed()

    double.rule = refuse
    parts, error = parts_and_error(remote(double, limits=Limits(texts=500)), texts(*map(str, range(500))))
    assert isinstance(error, Refused)
    assert len(double.seen) <= MAX_EXTRA + 2
    assert sum(map(len, parts)) == sum(
        seen.body["texts"] in [[str(i)] for i in range(0, 500, 2)] for seen in double.seen
    )
    assert sum(map(len, parts)) > 0


def parts_and_error(vectorizer: RemoteVectorizer, inputs: Inputs) -> tuple[list[Vectors], LookalikeError | None]:
    """The parts that were there before an error, and the error."""
    parts: list[Vectors] = []
    try:
        parts.extend(vectorizer.embed(inputs))
    except LookalikeError as error:
        return parts, error
    return parts, None


def test_parts_before_an_error_are_kept(double: SimpleDouble) -> None:
    """What was answered before a request failed for good has been handed out: it was paid for."""
    double.rule = poison("c", status=403)
    parts, error = parts_and_error(remote(double, limits=ONE_BY_ONE), texts("a", "b", "c", "d"))
    assert [part.positions.tolist() for part in parts] == [[0], [1]]
    assert isinstance(error, Refused)
    assert len(double.seen) == 3


def test_the_others_are_given_up_when_one_fails(double: SimpleDouble) -> None:
    """A request that fails for good ends the call although others are under way, and their threads end with them."""

    def fail_first(exchange: Exchange) -> None:
        if "a" in exchange.double.inputs(exchange.seen):
            exchange.double.arrived(3)
            exchange.fail(403)
        else:
            hang(exchange)

    double.rule = fail_first
    vectorizer = remote(double, limits=Limits(texts=1, concurrency=3), name="given-up")
    with pytest.raises(Refused):
        embedded(vectorizer, texts("a", "b", "c", "d"))
    assert len(double.seen) == 3
    require_idle(vectorizer)


def test_nothing_is_left_when_the_caller_stops(double: SimpleDouble) -> None:
    """When the caller stops after the first part, no further request is sent and those under way end at once."""
    vectorizer = remote(double, limits=Limits(texts=1, concurrency=2))
    double.rule = lambda e: e.succeed() if "a" in e.double.inputs(e.seen) else hang(e)
    parts = vectorizer.embed(texts("a", "b", "c", "d", "e"))
    assert next(parts).positions.tolist() == [0]
    parts.close()  # type: ignore[attr-defined]  # it is a generator
    require_idle(vectorizer)
    assert len(double.seen) <= 3


def test_queries_wait_for_no_bulk_work_and_not_for_each_other(double: SimpleDouble) -> None:
    """While as much bulk work is under way as may be, twenty single texts are asked at once and answered."""

    def answer_when_all_are_there(exchange: Exchange) -> None:
        exchange.double.arrived(2 + 20)
        exchange.succeed()

    double.rule = answer_when_all_are_there
    vectorizer = remote(double, limits=Limits(texts=1, concurrency=2), name="lanes")
    with ThreadPoolExecutor(21) as callers:
        bulk = callers.submit(embedded, vectorizer, texts("bulk 1", "bulk 2", "bulk 3"))
        double.arrived(2)
        queries = [callers.submit(embedded, vectorizer, texts(f"query {n}")) for n in range(20)]
        assert [len(query.result(PATIENCE_S)) for query in queries] == [1] * 20
        assert len(bulk.result(PATIENCE_S)) == 3


def require_idle(vectorizer: RemoteVectorizer) -> None:
    """Wait until its threads have nothing to do; AssertionError if they do not come to that."""
    vectorizer._pool().shutdown(wait=False)
    for thread in vectorizer._pool()._threads:
        thread.join(timeout=PATIENCE_S / 2)
        assert not thread.is_alive()


def test_a_provider_that_is_down_is_left_alone(double: SimpleDouble, clock: Clock) -> None:
    """After enough failures in a row nothing is sent for a while; then one request decides."""
    vectorizer = remote(double, clock.patience(tries=1), limits=ONE_BY_ONE)
    double.rule = broken(503)
    for _ in range(FAILURES_TO_OPEN):
        assert isinstance(outcome(lambda: embedded(vectorizer, texts("a"))), Unavailable)
    with pytest.raises(Unavailable, match="left alone; it is tried again in 30 s"):
        embedded(vectorizer, texts("a"))
    assert len(double.seen) == FAILURES_TO_OPEN
    clock.now_s += OPEN_S
    assert isinstance(outcome(lambda: embedded(vectorizer, texts("a"))), Unavailable)
    assert isinstance(outcome(lambda: embedded(vectorizer, texts("a"))), Unavailable)
    assert len(double.seen) == FAILURES_TO_OPEN + 1
    clock.now_s += OPEN_S
    double.rule = None
    assert len(embedded(vectorizer, texts("a", "b"))) == 2


def test_only_one_request_tries_a_provider_that_was_down(double: SimpleDouble, clock: Clock) -> None:
    """While one request finds out whether the provider is back, the others fail at once."""
    vectorizer = remote(double, clock.patience(tries=1), limits=Limits(texts=1, concurrency=2))
    double.rule = broken(503)
    for _ in range(FAILURES_TO_OPEN):
        outcome(lambda: embedded(vectorizer, texts("a")))
    clock.now_s += OPEN_S
    double.rule = held
    found: list[Vectors | LookalikeError] = []
    prober = threading.Thread(target=lambda: found.append(outcome(lambda: embedded(vectorizer, texts("a")))))
    prober.start()
    double.arrived(FAILURES_TO_OPEN + 1)
    assert isinstance(outcome(lambda: embedded(vectorizer, texts("b"))), Unavailable)
    double.released.set()
    prober.join(timeout=PATIENCE_S)
    assert isinstance(found[0], Vectors)
    assert len(embedded(vectorizer, texts("b"))) == 1


def test_an_unknown_length_is_learned_and_then_kept_to(double: SimpleDouble) -> None:
    """A model whose length nobody knows is asked once for something harmless; another length later is refused."""
    vectorizer = remote(double, dim=None)
    assert vectorizer.tower.space.dim == 8
    embedded(vectorizer, texts("a"))
    assert [seen.body["texts"] for seen in double.seen] == [[HARMLESS_TEXT], ["a"]]
    double.dim = 4
    with pytest.raises(SpaceMismatch, match="4 numbers where openai:simple has 8"):
        embedded(vectorizer, texts("b"))


class Till:
    """A Meter that allows so many dollars."""

    def __init__(self, limit_usd: float) -> None:
        self.limit_usd = limit_usd
        self.used = Usage()

    def require(self, cost_usd: float) -> None:
        if self.used.cost_usd + cost_usd > self.limit_usd:
            raise BudgetExceeded("Enough.", limit_usd=self.limit_usd, spent_usd=self.used.cost_usd)

    def record(self, usage: Usage) -> None:
        self.used += usage


def billed(double: SimpleDouble, till: Till, patience: Clock | None = None) -> RemoteVectorizer:
    """A vectorizer of ten dollars a token, one text to a request."""
    return RemoteVectorizer(
        SimpleAdapter(double.url, limits=ONE_BY_ONE),
        wire=Wire(double.url, host="simple", headers={}),
        bill=Bill(price=Price(million_tokens_usd=1e7), meter=till),
        patience=patience.patience() if patience else None,
    )


def test_nothing_is_sent_that_costs_too_much(double: SimpleDouble) -> None:
    """A request that would cost more than is left is not sent; what was paid for before is there."""
    till = Till(25)
    parts, error = parts_and_error(billed(double, till), texts("a", "b", "c"))
    assert isinstance(error, BudgetExceeded)
    assert [part.usage for part in parts] == [Usage(requests=1, texts=1, tokens=1, cost_usd=10.0)] * 2
    assert len(double.seen) == 2
    assert till.used == sum((part.usage for part in parts), Usage())


def test_what_failed_is_counted(double: SimpleDouble, clock: Clock) -> None:
    """Requests that failed count, and an answer that was of no use is paid for all the same."""
    till = Till(1000)
    double.faults = [limited(), half, per_token]
    with pytest.raises(ProviderError):
        embedded(billed(double, till, clock), texts("a"))
    assert till.used == Usage(requests=3, texts=1, tokens=1, cost_usd=10.0)


def test_requests_follow_no_faster_than_is_allowed(double: SimpleDouble, clock: Clock) -> None:
    """Requests beyond what may go at once are spread over the minute."""
    vectorizer = remote(double, clock.patience(), limits=Limits(texts=1, concurrency=1, requests_per_minute=60))
    embedded(vectorizer, texts(*map(str, range(40))))
    assert len(double.seen) == 40
    assert clock.now_s == pytest.approx(30)


def test_tokens_follow_no_faster_than_is_allowed(double: SimpleDouble, clock: Clock) -> None:
    """The same holds of tokens; a request with more of them than may go at once is not held up for ever."""
    vectorizer = remote(double, clock.patience(), limits=Limits(texts=1, concurrency=1, tokens_per_minute=600))
    embedded(vectorizer, texts("\N{HIRAGANA LETTER A}" * 299, "y", "z"))
    assert clock.now_s == pytest.approx((300 - 100 + 2) / 10)  # a hundred may go at once


def test_inputs_follow_no_faster_than_is_allowed(double: SimpleDouble, clock: Clock) -> None:
    """A limit of inputs counts them however they are put together, texts and pictures apart."""
    limits = Limits(texts=5, images=5, concurrency=1, texts_per_minute=60, images_per_minute=6)
    vectorizer = remote(double, clock.patience(), limits=limits)
    embedded(vectorizer, texts(*map(str, range(40))))
    assert clock.now_s == pytest.approx(30)  # ten may go at once
    embedded(vectorizer, Inputs(modality="image", payloads=[noise(n) for n in range(10)], names=["a picture"] * 10))
    assert clock.now_s == pytest.approx(30 + 50)  # one may go at once, five do, and are waited for


def test_the_pace_learns_what_was_read(double: SimpleDouble, clock: Clock) -> None:
    """Where an answer tells of more tokens than were estimated, the next request waits for those as well."""
    vectorizer = remote(double, clock.patience(), limits=Limits(texts=1, concurrency=1, tokens_per_minute=600))
    double.faults = [altered(lambda said: {**said, "tokens": 400})]
    embedded(vectorizer, texts("a", "b"))
    assert clock.now_s == pytest.approx((400 - 100 + 1) / 10)


def test_a_turn_after_the_deadline_is_not_waited_for(double: SimpleDouble, clock: Clock) -> None:
    """Where the pace leaves no time for a request, the error says so at once and when there is room."""
    vectorizer = remote(double, clock.patience(), limits=Limits(texts=1, concurrency=1, requests_per_minute=1))
    embedded(vectorizer, texts("a"))
    with pytest.raises(RateLimited, match="the call is over before that") as caught:
        embedded(vectorizer, texts("b"), until=10)
    assert caught.value.retry_after_s == pytest.approx(60)


def test_no_fault_shows_the_key(double: SimpleDouble, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The key is in the header of a request, and in no error, traceback, representation or log record."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    for fault in [*PASSING.values(), *(fault for fault, _, _ in FINAL.values()), not_a_number, broken(400)]:
        vectorizer = remote(double, clock.patience(tries=2))
        double.rule = fault
        found = outcome(lambda vectorizer=vectorizer: embedded(vectorizer, texts("a", "b", "c")))
        told += [repr(found), repr(vectorizer), repr(vectorizer._sender)]
        if isinstance(found, LookalikeError):
            told += [str(found), *traceback.format_exception(found), repr(vars(found))]
    told += [record.getMessage() + repr(vars(record)) for record in caplog.records]
    assert {seen.headers["authorization"] for seen in double.seen} == {f"Bearer {KEY}"}
    assert any("asked again" in line for line in told)
    assert not [line for line in told if KEY in line]
