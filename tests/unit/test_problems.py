"""Errors as answers: a status for every class, one body, OpenAI's below /v1."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from lookalike import errors
from lookalike.errors import (
    AccessDenied,
    CorruptModel,
    DeadlineExceeded,
    HarmfulInput,
    ImageError,
    InputError,
    ItemNotFound,
    LookalikeError,
    ModelError,
    NotReady,
    OutOfMemory,
    Overloaded,
    SpaceMismatch,
    StoreCorrupt,
    StoreNotFound,
    TooLarge,
    UnsupportedMedia,
    UnsupportedModel,
)
from lookalike.http.problems import OpenAIProblem, Problem, ProblemFacts, problem
from lookalike.http.statuses import STATUS, status_of

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, LookalikeError)]


def answer(error: LookalikeError | HTTPException, path: str = "/embed/text") -> tuple[int, dict[str, Any], Any]:
    response = problem(error, path=path, request_id="abc")
    return response.status_code, json.loads(bytes(response.body)), response.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("x."), 422),
        (ImageError("x."), 422),
        (HarmfulInput("x."), 422),
        (TooLarge("x.", actual=2, limit=1), 413),
        (UnsupportedMedia("x."), 415),
        (OutOfMemory("x."), 503),
        (AccessDenied("x.", known=False), 401),
        (AccessDenied("x.", known=True), 403),
        (ItemNotFound("x."), 404),
        (StoreNotFound("x."), 404),
        (SpaceMismatch("x.", expected="a", actual="b"), 409),
        (UnsupportedModel("x."), 422),
        (Overloaded("x.", retry_after_s=2, own=True), 429),
        (Overloaded("x.", retry_after_s=2), 503),
        (NotReady("x."), 503),
        (DeadlineExceeded("x."), 504),
        (StoreCorrupt("x."), 503),
        (CorruptModel("x."), 503),
        (ModelError("x."), 503),
    ],
)
def test_each_error_has_its_status(error: LookalikeError, status: int) -> None:
    """What the client did is 4xx, what the service cannot do now 5xx."""
    assert status_of(error) == status


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_has_a_status(kind: type[LookalikeError]) -> None:
    """Its own, or that of a class above it: an error that is added later is no 500 by accident."""
    nearest = next(cls for cls in kind.__mro__ if cls in STATUS)
    assert nearest is not LookalikeError or kind is LookalikeError


@pytest.mark.parametrize(
    "error", [ImageError("is cut off.", item="images[3]"), NotReady("Loading."), HTTPException(404)]
)
def test_bodies_are_what_openapi_says(error: LookalikeError | HTTPException) -> None:
    """Each body is valid as the model that is in the document."""
    Problem.model_validate(answer(error)[1], strict=True)
    OpenAIProblem.model_validate(answer(error, "/v1/embeddings")[1], strict=True)


def test_a_body_names_class_item_and_request() -> None:
    """And says whether to try again; without an item there is none."""
    assert answer(ImageError("is cut off.", item="images[3]"))[1] == {
        "error": {
            "type": "ImageError",
            "message": "images[3]: is cut off.",
            "item": "images[3]",
            "retryable": False,
            "request_id": "abc",
        }
    }
    facts = answer(NotReady("Loading."))[1]["error"]
    assert facts["retryable"] is True
    assert "item" not in facts


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (TooLarge("x.", actual=300, limit=256), {"actual": 300, "limit": 256}),
        (SpaceMismatch("x.", expected="a-3@1", actual="b-3@2"), {"expected": "a-3@1", "actual": "b-3@2"}),
        (Overloaded("x.", retry_after_s=0.25), {"retry_after_s": 0.25}),
        (NotReady("x.", retry_after_s=2.0), {"retry_after_s": 2.0}),
        (NotReady("x."), {}),
        (StoreCorrupt("x.", store="/srv/photos"), {}),
        (CorruptModel("x.", model="/srv/model", file="/srv/model/config.json"), {}),
    ],
)
def test_a_body_has_what_the_class_knows(error: LookalikeError, facts: dict[str, Any]) -> None:
    """Numbers and spaces as they are; no path of the service's machine; and the document knows every one."""
    body = answer(error)[1]
    plain = {"type", "message", "retryable", "request_id"}
    assert {name: value for name, value in body["error"].items() if name not in plain} == facts
    assert set(facts) <= set(ProblemFacts.model_fields)
    Problem.model_validate(body, strict=True)


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (ImageError("is cut off.", item="input[3]"), 400, "invalid_request_error", "image_error"),
        (AccessDenied("No.", known=False), 401, "invalid_request_error", "invalid_api_key"),
        (Overloaded("Wait.", retry_after_s=1, own=True), 429, "rate_limit_error", "overloaded"),
        (Overloaded("Wait.", retry_after_s=1), 503, "server_error", "overloaded"),
        (HTTPException(404), 404, "invalid_request_error", "not_found"),
    ],
)
def test_below_v1_errors_are_openais(error: LookalikeError | HTTPException, status: int, kind: str, code: str) -> None:
    """Message, type, param and code, as its clients read them."""
    found, body, _ = answer(error, "/v1/embeddings")
    facts = body["error"]
    assert (found, facts["type"], facts["code"]) == (status, kind, code)
    assert facts["param"] == (getattr(error, "item", "") or None)
    assert set(facts) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Overloaded("Wait.", retry_after_s=2.1), "3"),
        (Overloaded("Wait.", retry_after_s=0.01, own=True), "1"),
        (NotReady("Loading."), "1"),
        (NotReady("Loading.", retry_after_s=7.0), "7"),
    ],
)
def test_who_is_sent_away_is_told_for_how_long(error: LookalikeError, seconds: str) -> None:
    """Retry-After in whole seconds, at least one, never earlier than the error says."""
    assert answer(error)[2]["retry-after"] == seconds


def test_a_missing_key_is_asked_for() -> None:
    """WWW-Authenticate, as RFC 9110 wants it of every 401."""
    assert answer(AccessDenied("No.", known=False))[2]["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in answer(AccessDenied("No.", known=True))[2]
