"""What providers say when they do not answer: every shape of body is read, every status becomes the right error."""

from __future__ import annotations

import json

import pytest

from lookalike.errors import RateLimited, Refused, Unavailable
from lookalike.messages import Answer
from lookalike.providers.refusals import MAX_QUOTED, Asked, Said, error_of
from lookalike.secret import Secret

KEY = "sk-never-to-be-seen"
ASKED = Asked(provider="openai", model="m-1", variable="OPENAI_API_KEY", key=Secret(KEY))


def answered(status: int, body: object = b"", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"error": {"message": "No.", "type": "t", "param": "input", "code": "c"}},
            Said("No.", frozenset({"t", "c"}), "input"),
        ),
        (
            {"error": {"code": 429, "message": "No.", "status": "RESOURCE_EXHAUSTED"}},
            Said("No.", frozenset({"429", "RESOURCE_EXHAUSTED"})),
        ),
        (
            {"message": "No.", "code": 429, "error_type": "Overloaded"},
            Said("No.", frozenset({"429", "Overloaded"})),
        ),
        (
            {"object": "error", "message": "No.", "type": "rate_limited", "code": "1300"},
            Said("No.", frozenset({"rate_limited", "1300"})),
        ),
        ({"error": "No.", "error_type": "Validation"}, Said("No.", frozenset({"Validation"}))),
        ({"detail": "No."}, Said("No.")),
        (
            {"detail": [{"loc": ["body", "dimensions"], "msg": "No.", "type": "int_type"}]},
            Said("No.", field="dimensions"),
        ),
        ("No.", Said("No.")),
        (["No."], Said()),
        ({"error": {"message": {"why": "No."}}}, Said('{"why": "No."}')),
        (b"", Said()),
        (b"[" * 100_000, Said()),
    ],
)
def test_every_shape_of_an_error_is_read(body: object, said: Said) -> None:
    """The words, the names and the field of an error are found wherever a provider puts them."""
    assert Said.of(answered(400, body)) == said


def test_plain_text_is_quoted_and_a_page_is_not() -> None:
    """Words meant for people are repeated; the page of a proxy is not."""
    assert Said.of(answered(500, b"out of memory", content_type="text/plain; charset=utf-8")) == Said("out of memory")
    assert Said.of(answered(502, b"<html>Bad gateway</html>", content_type="text/html")) == Said()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Unavailable) for status in (408, 409, 424, 500, 502, 503, 504, 524, 529)),
        *((status, Refused) for status in (301, 307, 400, 401, 402, 403, 404, 410, 413, 422, 501)),
        (429, RateLimited),
    ],
)
def test_a_status_says_whether_trying_again_helps(status: int, kind: type[Exception]) -> None:
    """What may pass is retryable, what will not is refused; the error has the status."""
    error = error_of(answered(status), Said("No."), ASKED, 0.0)
    assert (type(error), error.status, error.provider) == (kind, status, "openai")
    assert error.retryable == (kind is not Refused)


def test_a_pause_that_is_asked_for_is_kept() -> None:
    """A pause stands in the error, also of a service that is unavailable until then."""
    limited = error_of(answered(429, retry_after_ms="1500"), Said(), ASKED, 0.0)
    assert isinstance(limited, RateLimited)
    assert limited.retry_after_s == 1.5
    assert "asks for a pause of 2 s (" in str(limited)
    assert "asks for a pause (" in str(error_of(answered(429), Said(), ASKED, 0.0))
    overloaded = error_of(answered(503, retry_after="7"), Said(), ASKED, 0.0)
    assert isinstance(overloaded, RateLimited)
    assert overloaded.retry_after_s == 7


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_names_the_variable(status: int) -> None:
    """The sentence says which variable holds the key, or that there is none in it."""
    assert "OPENAI_API_KEY" in str(error_of(answered(status), Said(), ASKED, 0.0))
    keyless = Asked(provider="openai", model="m-1", variable="OPENAI_API_KEY")
    assert "wants a key" in str(error_of(answered(status), Said(), keyless, 0.0))


def test_an_unknown_model_is_named() -> None:
    """Of a 404 the sentence names the model."""
    assert "'m-1'" in str(error_of(answered(404), Said(), ASKED, 0.0))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_no_error_repeats_the_key(status: int) -> None:
    """A provider that repeats the key in its words does not get it into an error; its words are cut."""
    error = error_of(answered(status), Said(f"Bad key {KEY}.\n" + "x" * 10_000), ASKED, 0.0)
    assert KEY not in f"{error} {error!r} {vars(error)}"
    assert len(str(error)) < MAX_QUOTED + 200
    assert "\n" not in str(error)


def test_half_a_character_is_not_repeated() -> None:
    """JSON may hold one, and nothing that writes the sentence could."""
    said = Said.of(answered(400, {"message": "half \ud800 a character"}))
    assert "half ? a character" in str(error_of(answered(400), said, ASKED, 0.0))
