"""The simplest provider there could be, for the rules that hold for all of them: its double and its adapter."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lookalike.calls import Inputs
from lookalike.errors import LookalikeError, ProviderError, RateLimited, Refused, Unavailable
from lookalike.messages import Answer, Request
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.pacing import Patience
from lookalike.providers.reference import ModelRef
from lookalike.providers.remote import RemoteVectorizer
from lookalike.providers.towers import hosted_tower
from lookalike.retry import RetryPolicy, asked_pause_s
from lookalike.secret import Secret
from lookalike.spaces import Modality, Tower
from lookalike.wire import Wire
from tests.doubles.double import Content, Double, Seen

KEY = "sk-never-to-be-seen-0123456789"
REF = ModelRef(provider="openai", model="simple")
WALL_S = 1_800_000_000.0
"""Seconds since the epoch when a Clock starts."""


class SimpleDouble(Double):
    """{"texts": [...]} or {"images": [base64]} -> {"vectors": [...], "tokens": a letter is a token}."""

    def inputs(self, seen: Seen) -> Sequence[Content]:
        return seen.body["texts"] if "texts" in seen.body else [base64.b64decode(i) for i in seen.body["images"]]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        return {"vectors": vectors, "tokens": sum(len(text) for text in seen.body.get("texts", ()))}

    def error(self, status: int, message: str, code: str = "") -> object:
        return {"message": message, "code": code}


@dataclass(frozen=True)
class SimpleAdapter:
    """Speaks to a SimpleDouble."""

    base_url: str
    dim: int | None = 8
    limits: Limits = field(default=Limits(texts=8, images=4, concurrency=4))
    key: Secret = field(default=Secret(KEY))
    name: str = "simple"

    @property
    def tower(self) -> Tower | None:
        return self.tower_of(self.dim) if self.dim else None

    def tower_of(self, dim: int) -> Tower:
        return hosted_tower(REF, dim=dim, modalities=("image", "text"))

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        body = (
            {"texts": list(inputs)}
            if modality == "text"
            else {"images": [image.base64 for image in inputs if isinstance(image, Upload)]}
        )
        return Request("POST", "/embed", json.dumps(body).encode(), {"Authorization": f"Bearer {self.key.reveal()}"})

    def read(self, answer: Answer, modality: Modality, n: int) -> Reading:
        try:
            said = json.loads(answer.body)
            return Reading(said["vectors"], tokens=said["tokens"])
        except (ValueError, LookupError, TypeError) as error:
            raise ProviderError("simple's answer is not what it promises.", provider=self.name) from error

    def refusal(self, answer: Answer, now_s: float) -> LookalikeError:
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = {"message": "it does not say why", "code": ""}
        sentence, status = f"simple answered {answer.status}: {said['message']}.", answer.status
        if status == 429 and said["code"] != "insufficient_quota":
            wait_s = asked_pause_s(answer.headers, now_s)
            return RateLimited(sentence, provider=self.name, retry_after_s=wait_s)
        kind = Unavailable if status >= 500 else Refused
        return kind(sentence, provider=self.name, status=status)


class Clock:
    """Time that passes only by waiting: for a `Patience` whose pauses cost a test nothing.

    Attributes:
        pauses: The seconds of every pause that was waited for.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []

    def wait(self, event: threading.Event, seconds: float) -> None:
        if seconds > 0 and not event.is_set():
            self.pauses.append(seconds)
            self.now_s += seconds

    def patience(self, **settings: float) -> Patience:
        """A patience that lives by this clock, without jitter."""
        times = {"clock": lambda: self.now_s, "wall_clock": lambda: WALL_S + self.now_s, "jitter": lambda: 1.0}
        return Patience(retry=RetryPolicy(**{**times, **settings}), wait=self.wait)  # type: ignore[arg-type]


def remote(double: Double, patience: Patience | None = None, **adapter: Any) -> RemoteVectorizer:
    """A vectorizer of a SimpleDouble; `adapter` is what its SimpleAdapter has other than usual."""
    wire = Wire(double.url, host="simple", headers={})
    return RemoteVectorizer(SimpleAdapter(double.url, **adapter), wire=wire, patience=patience)


def texts(*payloads: Any) -> Inputs:
    """Texts, each named after itself."""
    return Inputs(modality="text", payloads=payloads, names=[str(payload) for payload in payloads])
