"""What a provider says when it does not answer, told as an error of lookalike; what all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.errors import ProviderError, RateLimited, Refused, Unavailable
from lookalike.messages import Answer
from lookalike.retry import asked_pause_s
from lookalike.secret import Secret

MAX_QUOTED = 300
"""Characters of a provider's own words that an error repeats."""

PASSING = frozenset({408, 409, 424, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""What another try may cure. 424: the model behind Text Embeddings Inference; 52x: Cloudflare; 529: overloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who was asked for what, for the sentences of errors.

    Attributes:
        provider: Who: "openai", or with its address "openai at http://127.0.0.1:7997/v1".
        model: The model's name there.
        variable: The variable that holds the key.
        key: The key that was sent; empty if there was none. Never repeated, not even in the provider's words.
    """

    provider: str
    model: str
    variable: str
    key: Secret = field(default=Secret(""))


@dataclass(frozen=True, slots=True)
class Said:
    """What the body of an error says; all of it empty if it says nothing.

    Attributes:
        message: The provider's words.
        codes: Its names for the error: whatever stands under code, type, error_type and status.
        field: The part of the request that is to blame ("dimensions").
    """

    message: str = ""
    codes: frozenset[str] = frozenset()
    field: str = ""

    @classmethod
    def of(cls, answer: Answer) -> Said:
        """Read any of the shapes that are in use.

        These are `{"error": {"message", "type", "param", "code"}}` (OpenAI, Gemini), `{"message", "code"}` (TEI,
        Mistral, Cohere, Bedrock), `{"error": "..."}` (Hugging Face), `{"detail": "..."}` or a list (FastAPI), text.
        """
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):
            return cls(_text(answer))
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            body = body["error"]
        if not isinstance(body, dict):
            return cls(body if isinstance(body, str) else "")
        detail = body.get("detail")
        if isinstance(detail, list) and detail and isinstance(detail[0], Mapping):
            place = detail[0].get("loc")
            return cls(_words(detail[0].get("msg")), field=str(place[-1]) if isinstance(place, list) and place else "")
        named = (body.get(name) for name in ("code", "type", "error_type", "status"))
        message = next((body[name] for name in ("message", "Message", "detail", "error") if body.get(name)), "")
        return cls(_words(message), frozenset(str(name) for name in named if name), _words(body.get("param")))


def error_of(answer: Answer, said: Said, asked: Asked, now_s: float) -> ProviderError:
    """The error that an answer stands for which is not a success, by its status.

    Args:
        answer: What came back.
        said: What its body says.
        asked: Who was asked for what.
        now_s: Seconds since the epoch: a Retry-After may be a date.

    Returns:
        RateLimited or Unavailable for what may pass, Refused for what will not.
    """
    status, who = answer.status, asked.provider
    pause_s = asked_pause_s(answer.headers, now_s)
    quoted = quoted_of(answer, said, asked)
    if status == 429 or (status in (503, 529) and pause_s is not None):
        how_long = f" of {pause_s:,.0f} s" if pause_s else ""
        said_so = f"{who} asks for a pause{how_long} ({quoted})."
        return RateLimited(said_so, provider=who, status=status, retry_after_s=pause_s)
    if status in PASSING:
        return Unavailable(f"{who}, or a proxy before it, has failed ({quoted}).", provider=who, status=status)
    return Refused(f"{who} {_reason(status, asked, quoted)}", provider=who, status=status)


def _reason(status: int, asked: Asked, quoted: str) -> str:
    """Why it refuses, and what to do."""
    if status in (401, 403) and not asked.key:
        return f"wants a key (HTTP {status}): set the variable {asked.variable} to it."
    if status == 401:
        return f"does not know the key (HTTP {status}): set the variable {asked.variable} to a valid one."
    if status == 403:
        return (
            f"does not let this key use {asked.model} ({quoted}): allow it there, or set {asked.variable} to another."
        )
    if status == 402:
        return f"wants to be paid first ({quoted})."
    if status in (404, 410):
        return f"has no model {asked.model!r}, or nothing at this address ({quoted}): check the model's name."
    if 300 <= status < 400:
        return f"redirects (HTTP {status}), which is not followed: give its own address as base_url."
    return f"does not serve this ({quoted})."


def quoted_of(answer: Answer, said: Said, asked: Asked) -> str:
    """The status and what the body says, on one line, cut, and without the key: "HTTP 400: it is too long"."""
    # JSON may hold half a character, which nothing that repeats these words could write.
    words = " ".join(said.message.split()).encode("utf-8", "replace").decode()
    if asked.key:
        words = words.replace(asked.key.reveal(), str(asked.key))
    return f"HTTP {answer.status}{f': {words[:MAX_QUOTED]}' if words else ''}"


def _text(answer: Answer) -> str:
    """A body that is no JSON, if it is meant to be read."""
    kind = answer.headers.get("content-type", "")
    return answer.body.decode("utf-8", "replace") if kind.startswith("text/plain") else ""


def _words(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
