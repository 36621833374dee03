"""What an error is over HTTP: its status and its facts; loads nothing of the web framework."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from lookalike.errors import (
    AccessDenied,
    BudgetExceeded,
    CacheError,
    ConfigError,
    DeadlineExceeded,
    FeatureOff,
    InputError,
    ItemNotFound,
    JobNotFound,
    LookalikeError,
    ModelError,
    ModelNotFound,
    NotReady,
    OutOfMemory,
    Overloaded,
    PictureGone,
    ProviderError,
    ServiceError,
    SpaceMismatch,
    StoreError,
    StoreNotFound,
    TooLarge,
    UnsupportedMedia,
    UnsupportedModel,
)

STATUS: Mapping[type[LookalikeError], int] = {
    InputError: 422,
    TooLarge: 413,
    UnsupportedMedia: 415,
    OutOfMemory: 503,
    AccessDenied: 401,
    BudgetExceeded: 402,
    ItemNotFound: 404,
    JobNotFound: 404,
    StoreNotFound: 404,
    PictureGone: 410,
    SpaceMismatch: 409,
    ModelNotFound: 404,
    UnsupportedModel: 422,
    Overloaded: 503,
    NotReady: 503,
    DeadlineExceeded: 504,
    ServiceError: 503,
    StoreError: 503,
    CacheError: 503,
    ModelError: 503,
    ProviderError: 502,
    FeatureOff: 404,
    ConfigError: 500,
    LookalikeError: 500,
}
"""The status of a class is its own, or that of the nearest class above it."""

RETRY_AFTER_S = 1
"""What a caller is asked to wait for if the error does not say."""

FACTS = ("actual", "limit", "expected", "retry_after_s")
"""Attributes of errors that their bodies carry. Not the others: some are paths on the service's machine."""


def status_of(error: LookalikeError) -> int:
    """The HTTP status that an error is answered with."""
    if isinstance(error, AccessDenied) and error.known:
        return 403
    if isinstance(error, Overloaded) and error.own:
        return 429
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def facts_of(error: LookalikeError) -> dict[str, Any]:
    """What an answer says of an error: class, sentence, item, whether to try again, and `FACTS` that it has."""
    item = getattr(error, "item", "")
    known = {name: value for name in FACTS if (value := getattr(error, name, None)) is not None}
    named = {"item": item} if item else {}
    return {"type": type(error).__name__, "message": str(error), **named, "retryable": error.retryable, **known}


def headers_of(status: int, retry_after_s: float | None) -> dict[str, str]:
    """The headers that come with a status: when to ask again, and how to say who asks."""
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        return {"Retry-After": str(max(1, math.ceil(retry_after_s or RETRY_AFTER_S)))}
    return {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
