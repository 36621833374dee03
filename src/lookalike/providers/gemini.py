"""Google's Gemini API: one entry of the request for each input, so that each has its own vector.

Parts of one content are put into one vector: that is what Google's own library does with a list of texts for
gemini-embedding-2. Shapes are those of google-genai 3.4.0 and of ai.google.dev/gemini-api/docs/embeddings (2026-06).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from lookalike.errors import LookalikeError, Refused
from lookalike.messages import Answer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.known import BOTH, Host, Known, KnownAdapter, count, known_one, open_known, pausing
from lookalike.providers.reference import ModelRef, ProviderSettings, Role
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.spaces import Modality

HOST = Host(
    url="https://generativelanguage.googleapis.com/v1",
    variable="GEMINI_API_KEY",
    key_header="x-goog-api-key",
    for_pictures="gemini-embedding-2",
)

MODELS: Mapping[str, Known] = {
    "gemini-embedding-001": Known(dim=3072, dims=range(128, 3073), limits=Limits(texts=100, input_chars=16_384)),
    "gemini-embedding-2": Known(
        dim=3072,
        dims=range(128, 3073),
        modalities=BOTH,
        limits=Limits(texts=100, images=6, input_chars=65_536, request_bytes=14_000_000, image_bytes=7_000_000),
    ),
}
"""100 entries, 6 pictures and 20 MB in one request; 2,048 and 8,192 tokens in one text, eight characters at most each.
The vectors of the one cannot be compared with those of the other."""

TASK_TYPES: Mapping[Role, str] = {"query": "RETRIEVAL_QUERY", "document": "RETRIEVAL_DOCUMENT"}
"""What gemini-embedding-001 is told in a field of its own."""

PREFIXES: Mapping[Role, str] = {"query": "task: search result | query: ", "document": "title: none | text: "}
"""What gemini-embedding-2 is told in the text itself; it has no field for it."""


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> KnownAdapter:
    """The adapter of one of Google's models.

    Raises:
        UnsupportedModel: There is no such model.
        ConfigError: There is no key, or an option does not fit the model.
    """
    model = known_one(ref, MODELS)
    tasks = PREFIXES if "image" in model.modalities else TASK_TYPES
    shape = _Shape(name=ref.model, task=tasks[ref.role], is_prefix=tasks is PREFIXES, dimensions=ref.dimensions)
    return open_known(ref, settings, model=model, shape=shape, host=HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """batchEmbedContents; see `known.Shape`.

    Attributes:
        name: The model's.
        task: What texts are embedded for.
        is_prefix: Whether that is written before the text; else it has a field.
        dimensions: The length that is asked for; 0 for the model's own.
    """

    name: str
    task: str
    is_prefix: bool
    dimensions: int

    def request(self, _: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:
        path = f"/models/{quote(self.name, safe='')}:batchEmbedContents"
        return path, {"requests": [self._entry(item) for item in inputs]}

    def _entry(self, item: Prepared) -> Mapping[str, object]:
        entry: dict[str, object] = {"model": f"models/{self.name}", "content": {"parts": [self._part(item)]}}
        if not self.is_prefix:
            entry["taskType"] = self.task
        if self.dimensions:
            entry["outputDimensionality"] = self.dimensions
        return entry

    def _part(self, item: Prepared) -> Mapping[str, object]:
        if isinstance(item, Upload):
            return {"inline_data": {"mime_type": item.media_type, "data": item.base64}}
        return {"text": self.task + item if self.is_prefix else item}

    def read(self, answer: Answer, _: int) -> Reading:
        said = json.loads(answer.body)
        usage = said.get("usageMetadata") or {}
        return Reading([entry["values"] for entry in said["embeddings"]], tokens=count(usage.get("promptTokenCount")))

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        said, details = Said.of(answer), list(_details(answer))
        used_up = next((quota for quota in _quotas(details) if "PerDay" in quota), "")
        if answer.status == 429 and used_up:
            return Refused(
                f"{asked.provider} has served this key's quota of the day ({used_up}); it begins anew at midnight, "
                "Pacific time. Wait until then, or ask Google for a larger one.",
                provider=asked.provider,
                status=answer.status,
            )
        if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
            answer = replace(answer, status=401)  # Google says 400, as if an input were to blame
        elif "FAILED_PRECONDITION" in said.codes:
            answer = replace(answer, status=403)  # the same, of a country or of an account without billing
        pause_s = next((_seconds(detail["retryDelay"]) for detail in details if "retryDelay" in detail), None)
        return error_of(pausing(answer, pause_s), said, asked, now_s)


def _details(answer: Answer) -> Iterator[Mapping[str, Any]]:
    """The details of an error (google.rpc.Status), as far as they are there."""
    try:
        details = json.loads(answer.body)["error"]["details"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return
    yield from (detail for detail in details if isinstance(detail, dict)) if isinstance(details, list) else ()


def _quotas(details: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The names of the quotas that are used up (google.rpc.QuotaFailure)."""
    for detail in details:
        violations = detail.get("violations")
        if isinstance(violations, list):
            yield from (str(each["quotaId"]) for each in violations if isinstance(each, dict) and "quotaId" in each)


def _seconds(duration: object) -> float | None:
    """The seconds of a duration in JSON ("17s", "0.5s": google.protobuf.Duration); None if it is none."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", duration, re.ASCII) if isinstance(duration, str) else None
    return float(found[1]) if found else None
