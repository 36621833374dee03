"""What is asked of our own service, and what is believed of its answers; no network."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import ProviderError, RateLimited, Refused, SpaceMismatch, Unavailable
from lookalike.messages import Answer
from lookalike.providers.adapter import Upload
from lookalike.providers.lookalike import ServiceAdapter
from lookalike.providers.refusals import Asked

TOWER = FakeEncoder().tower
ADAPTER = ServiceAdapter(
    tower=TOWER,
    asked=Asked(provider="lookalike at h:1", model="the service's", variable="LOOKALIKE_API_KEY"),
    base_url="http://h:1",
    headers={},
)
VECTOR = base64.b64encode(struct.pack("<2f", 1.0, 2.0)).decode()


def answered(content: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(content).encode())


def several(*vectors: object, **more: object) -> Answer:
    return answered({"embeddings": list(vectors), "errors": [], "warnings": [], "space": TOWER.space.id, **more})


def failed(index: int, **more: object) -> dict[str, object]:
    named = {"index": index, "type": "ImageError", "message": f"images[{index}]: is broken.", "retryable": False}
    return {**named, **more}


def test_a_single_text_is_a_query_and_more_are_a_batch() -> None:
    """One text goes ahead of all batches, as `text`; several, and pictures, are batches; all in base64."""

    def body(*inputs: Any, modality: Any = "text") -> Any:
        return json.loads(ADAPTER.request(modality, inputs).body)

    assert body("a") == {"text": "a", "encoding_format": "base64"}
    assert body("a", "b") == {"texts": ["a", "b"], "encoding_format": "base64"}
    assert body(Upload(b"GIF", "image/gif"), modality="image") == {"images": ["R0lG"], "encoding_format": "base64"}


def test_what_failed_and_what_was_cut_is_told_of_its_input() -> None:
    """Rows are those of the inputs that have one; errors and warnings have their places and no name of the service."""
    answer = several(VECTOR, None, VECTOR, errors=[failed(1)], warnings=[{"index": 2, "message": "images[2]: Cut."}])
    reading = ADAPTER.read(answer, "image", 3)
    assert [list(row) for row in reading.rows] == [[1.0, 2.0]] * 2
    ((place, error),) = reading.failures
    assert (place, type(error).__name__, str(error)) == (1, "ImageError", "is broken.")
    assert reading.warnings == ((2, "Cut."),)


def test_an_input_that_may_have_a_vector_later_is_asked_for_again() -> None:
    """Where the service had no time for an input, the request is one that may pass."""
    late = failed(0, type="DeadlineExceeded", message="images[0]: too late.", retryable=True)
    with pytest.raises(Unavailable, match="too late"):
        ADAPTER.read(several(None, errors=[late]), "image", 1)


@pytest.mark.parametrize(
    "answer",
    [
        answered([]),
        answered({"space": TOWER.space.id}),
        answered({"embedding": VECTOR}),
        answered({"embedding": 7, "space": TOWER.space.id}),
        several(VECTOR),
        several(VECTOR, VECTOR, VECTOR),
        several(VECTOR, None),
        several(VECTOR, VECTOR, errors=[failed(1)]),
        several(VECTOR, None, errors=[failed(2)]),
        several(VECTOR, None, errors=["broken"]),
        several(VECTOR, "AAA"),
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[" * 100_000),
    ],
)
def test_an_answer_that_leaves_something_open_is_not_believed(answer: Answer) -> None:
    """Too few, too many, neither a vector nor an error, both, no space: a ProviderError, never a guess."""
    with pytest.raises(ProviderError):
        ADAPTER.read(answer, "image", 2)


def test_every_answer_is_of_the_space_that_was_opened() -> None:
    """Another space is SpaceMismatch; another name for the same space is none."""
    renamed = several(VECTOR, space=f"other-48@{TOWER.space.key}")
    assert len(ADAPTER.read(renamed, "text", 1).rows) == 1
    with pytest.raises(SpaceMismatch) as caught:
        ADAPTER.read(several(VECTOR, space="fake-48@000000000000"), "text", 1)
    assert (caught.value.expected, caught.value.actual) == (TOWER.space.id, "fake-48@000000000000")


def test_a_refusal_is_in_the_words_of_the_service() -> None:
    """A service that is full is waited for, an unknown key is named by its variable, a bad request keeps its words."""
    full = answered({"error": {"type": "Overloaded", "message": "Full."}}, 503, **{"retry-after": "2"})
    assert isinstance(ADAPTER.refusal(full, 0.0), RateLimited)
    unknown = ADAPTER.refusal(answered({"error": {"type": "AccessDenied", "message": "No."}}, 401), 0.0)
    assert "LOOKALIKE_API_KEY" in str(unknown)
    bad = ADAPTER.refusal(answered({"error": {"type": "TooLarge", "message": "Too long."}}, 413), 0.0)
    assert isinstance(bad, Refused)
    assert (bad.status, "Too long." in str(bad)) == (413, True)
