"""What the service says when it does not answer: its errors, as the classes of lookalike that they were there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from lookalike import errors
from lookalike.embed import OnError
from lookalike.errors import InputError, LookalikeError, ProviderError, RateLimited, Refused, ServiceError, Unavailable
from lookalike.messages import Answer
from lookalike.retry import LONGEST_S, retry_after_s

TRANSIENT = frozenset({429, 502, 503})
"""What another try may cure: too much at once, or nobody there yet. A call reads, or does twice what it does once."""

_MAX_QUOTED = 300

Kind = TypeVar("Kind", bound=LookalikeError)


def _made_as(base: type[Kind]) -> Mapping[str, type[Kind]]:
    """The classes of lookalike's errors that are made from what `base` is made from, by name."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, base)]
    return {kind.__name__: kind for kind in kinds if kind is base or "__init__" not in vars(kind)}


_OF_INPUT = _made_as(InputError)
_OF_SERVICE = _made_as(ServiceError)
_PLAIN = {**_made_as(errors.ModelError), **_made_as(errors.StoreError), **_made_as(errors.ConfigError)}


def refusal(answer: Answer, host: str, now_s: float) -> LookalikeError:
    """The error that an answer stands for which is not a success.

    Args:
        answer: What came back.
        host: Who answered.
        now_s: Seconds since the epoch.
    """
    pause_s = retry_after_s(answer.headers.get("retry-after"), now_s)
    said = _said(answer)
    error = _named({**said, "status": answer.status, "retry_after_s": pause_s})
    error = error or _by_status(answer.status, host, pause_s, str(said.get("message", "")))
    if isinstance(said.get("request_id"), str):
        error.add_note(f"{host} calls this request {said['request_id'][:80]}.")
    return error


def is_lasting(answer: Answer) -> bool:
    """Whether the same request would be answered in the same way again."""
    return answer.status not in TRANSIENT or _said(answer).get("retryable") is False


def error_of(said: Mapping[str, Any], name: str) -> LookalikeError:
    """The error of one input of a batch, from what the service says of it, under the caller's name for it."""
    reason = without(str(said.get("message", "failed.")), str(said.get("item", "")))
    error = _named({**said, "message": reason, "item": name, "retry_after_s": _pause_s(said)})
    return error or InputError(reason, item=name)


def passing_of(failed: Mapping[int, LookalikeError], on_error: OnError) -> dict[int, LookalikeError]:
    """The errors that another try may cure; the first that it cannot is raised, unless they are collected."""
    lasting = [error for error in failed.values() if not error.retryable]
    if lasting and on_error == "raise":
        raise lasting[0]
    return {place: error for place, error in failed.items() if error.retryable}


def stranger(host: str, what: str) -> ProviderError:
    """The error of an answer that no lookalike service gives; `what` completes a sentence about it."""
    return ProviderError(f"{host} {what}: it does not seem to be a lookalike service. Check base_url.", provider=host)


def without(message: str, item: str) -> str:
    """A sentence without the name that the service has for an input: the caller has its own."""
    return message.removeprefix(f"{item}: ") if item else message


def number(said: Mapping[str, Any], name: str) -> int:
    """A whole number that an error tells; 0 if it does not."""
    value = said.get(name)
    return value if isinstance(value, int) else 0


def _pause_s(said: Mapping[str, Any]) -> float | None:
    """The seconds that an error asks to wait; None if it does not."""
    value = said.get("retry_after_s")
    return float(value) if isinstance(value, int | float) and 0 <= value < LONGEST_S else None


def _said(answer: Answer) -> dict[str, Any]:
    """What the body tells of the error; nothing if it is not one of the service's."""
    try:
        said = json.loads(answer.body)["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _named(said: Mapping[str, Any]) -> LookalikeError | None:
    """The error of the class that is named; None if there is none. A number that is not told is 0."""
    kind, message, item = (str(said.get(name) or "") for name in ("type", "message", "item"))
    pause_s: float | None = said.get("retry_after_s")
    reason = without(message, item)
    if kind in _OF_INPUT:
        return _OF_INPUT[kind](reason, item=item)
    if kind in _OF_SERVICE:
        return _OF_SERVICE[kind](message, retry_after_s=pause_s)
    if kind in _PLAIN:
        return _PLAIN[kind](message)
    match kind:
        case "TooLarge":
            return errors.TooLarge(reason, actual=number(said, "actual"), limit=number(said, "limit"), item=item)
        case "SpaceMismatch":
            expected, actual = (str(said.get(name, "")) for name in ("expected", "actual"))
            return errors.SpaceMismatch(message, expected=expected, actual=actual)
        case "Overloaded":
            return errors.Overloaded(message, retry_after_s=pause_s or 0.0, own=said.get("status") == 429)
        case "AccessDenied":
            return errors.AccessDenied(message, known=said.get("status") == 403)
    return None


def _by_status(status: int, host: str, pause_s: float | None, message: str) -> ProviderError:
    """The error of a service that is not ours, or of something in between, such as a proxy."""
    said = f"HTTP {status}" + (f": {message[:_MAX_QUOTED]}" if message else "")
    if status == 429 or (status == 503 and pause_s is not None):
        return RateLimited(
            f"{host} asks to be left alone for a while ({said}).", provider=host, status=status, retry_after_s=pause_s
        )
    if status in TRANSIENT:
        return Unavailable(f"{host}, or a proxy before it, has failed ({said}).", provider=host, status=status)
    if 300 <= status < 400:
        return Refused(
            f"{host} redirects (HTTP {status}), which is not followed: give the service's own address as base_url.",
            provider=host,
            status=status,
        )
    kind = Refused if 400 <= status < 500 else ProviderError
    return kind(f"{host} does not serve this ({said}).", provider=host, status=status)
