"""Jina AI: texts and pictures as objects, tasks where a model has them, balances and limits by the minute."""

from __future__ import annotations

import pytest

from lookalike.errors import RateLimited, Refused, Unavailable
from lookalike.providers.jina import WINDOW_PAUSE_S
from lookalike.retry import RetryPolicy
from tests.adapters import PNG, PNG_BASE64, answered, asked, opened, refusal

CLIP = "jina:jina-clip-v2"


def test_texts_and_pictures_are_objects() -> None:
    """A text is never taken for a picture: each says what it is; unit vectors are asked for."""
    address, body = asked(f"{CLIP}?dimensions=512", "data:image/png;base64,aaaa")
    assert address == "https://api.jina.ai/v1/embeddings"
    assert body == {
        "model": "jina-clip-v2",
        "input": [{"text": "data:image/png;base64,aaaa"}],
        "embedding_type": "float",
        "normalized": True,
        "dimensions": 512,
        "task": "retrieval.query",
    }
    _, body = asked(CLIP, PNG, modality="image")
    assert body["input"] == [{"image": PNG_BASE64}]


@pytest.mark.parametrize(
    ("model", "query", "document", "picture"),
    [
        ("jina-clip-v2", "retrieval.query", None, None),
        ("jina-clip-v1", None, None, None),
        ("jina-embeddings-v3", "retrieval.query", "retrieval.passage", None),
        ("jina-embeddings-v4", "retrieval.query", "retrieval.passage", "retrieval.passage"),
    ],
)
def test_tasks_are_those_of_the_model(model: str, query: str | None, document: str | None, picture: str | None) -> None:
    """A model is told the task of a text if it has that task; a picture is what is found, in every role."""
    assert asked(f"jina:{model}", "a")[1].get("task") == query
    assert asked(f"jina:{model}?role=document", "a")[1].get("task") == document
    if model != "jina-embeddings-v3":
        for role in ("query", "document"):
            assert asked(f"jina:{model}?role={role}", PNG, modality="image")[1].get("task") == picture


def test_a_model_without_the_field_is_not_sent_it() -> None:
    """Version 4 has no `normalized`; its vectors are made unit here like all others."""
    assert "normalized" not in asked("jina:jina-embeddings-v4", "a")[1]


def test_an_answer_is_read_by_its_index() -> None:
    """The order of the entries is not relied on; tokens are those of the request's kind."""
    entries = [{"object": "embedding", "index": i, "embedding": [float(i)]} for i in (1, 0)]
    answer = answered({"object": "list", "data": entries, "usage": {"total_tokens": 8, "prompt_tokens": 8}})
    reading = opened(CLIP).read(answer, "image", 2)
    assert reading.rows == [[0.0], [1.0]]
    assert (reading.tokens, reading.image_tokens) == (0, 8)


def test_a_spent_balance_is_not_waited_for() -> None:
    """403 AUTHZ_INSUFFICIENT_BALANCE says to add tokens, and is never tried again."""
    body = {"detail": "Insufficient account balance.", "code": "AUTHZ_INSUFFICIENT_BALANCE", "request_id": "x"}
    error = refusal(CLIP, body, 403)
    assert isinstance(error, Refused)
    assert not error.retryable
    assert "used up" in str(error)


def test_limits_by_the_minute_outlast_the_minute() -> None:
    """Jina does not say when its minute is over: the pauses that are made come to more; a header of its own wins."""
    for code in ("RATE_REQUEST_LIMIT_EXCEEDED", "RATE_TOKEN_LIMIT_EXCEEDED"):
        error = refusal(CLIP, {"detail": "x", "code": code}, 429, x_ratelimit_remaining_requests="0")
        assert isinstance(error, RateLimited)
        assert error.retry_after_s == WINDOW_PAUSE_S
    assert (RetryPolicy().tries - 1) * WINDOW_PAUSE_S > 60
    own = refusal(CLIP, {"detail": "x", "code": "RATE_TOKEN_LIMIT_EXCEEDED"}, 429, retry_after="2")
    assert isinstance(own, RateLimited)
    assert own.retry_after_s == 2.0
    busy = refusal(CLIP, {"detail": "x", "code": "RATE_CONCURRENCY_LIMIT_EXCEEDED"}, 429)
    assert isinstance(busy, RateLimited)
    assert busy.retry_after_s is None


def test_other_refusals() -> None:
    """An unknown model blames no input; a validation error may; a timeout passes."""
    unknown = refusal(CLIP, {"detail": "Model 'x' not found", "code": "INPUT_MODEL_NOT_FOUND"}, 400)
    assert isinstance(unknown, Refused)
    assert unknown.status == 404
    invalid = refusal(CLIP, {"detail": [{"loc": ["body", "input", 0], "msg": "Cannot read the image"}]}, 422)
    assert isinstance(invalid, Refused)
    assert invalid.status == 422
    assert "Cannot read the image" in str(invalid)
    assert isinstance(refusal(CLIP, {"detail": "x", "code": "SERVICE_TIMEOUT"}, 504), Unavailable)
