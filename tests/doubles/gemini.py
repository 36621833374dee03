"""Google's Gemini API as google-genai 3.4.0 speaks it, with the trap that its parts of one content are one vector."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.doubles.double import Content, Fault, Seen, says, vector_of
from tests.doubles.strict import StrictDouble

KEY = "AIza-never-to-be-seen-0123456789"
ROUTE = re.compile(r"/v1(?:beta)?/models/([^/:?]+):batchEmbedContents")
MODELS = ("gemini-embedding-001", "gemini-embedding-2")
STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
UNNORMALISED = 0.69


class GeminiDouble(StrictDouble):
    """POST /v1/models/MODEL:batchEmbedContents."""

    def inputs(self, seen: Seen) -> Sequence[Content]:
        return [aggregated([_content(part) for part in entry["content"]["parts"]]) for entry in seen.body["requests"]]

    def vectors(self, seen: Seen) -> list[Any]:
        dims = [entry.get("outputDimensionality", 3072) for entry in seen.body["requests"]]
        found = [vector_of(content, dim) for content, dim in zip(self.inputs(seen), dims, strict=True)]
        if "gemini-embedding-001" not in seen.path:
            return found
        return [row if len(row) == 3072 else [UNNORMALISED * value for value in row] for row in found]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        return {
            "embeddings": [{"values": vector} for vector in vectors],
            "usageMetadata": {"promptTokenCount": 4 * len(vectors)},
        }

    def error(self, status: int, message: str, code: str = "") -> object:
        return exhausted("EmbedContentRequestsPerDayPerProjectPerModel") if "quota" in code else said(status, message)

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """What Google has against a request."""
        route = ROUTE.fullmatch(seen.path)
        key = seen.headers.get("x-goog-api-key")
        if key is None:
            message = "Method doesn't allow unregistered callers (callers without established identity)."
            return 403, said(403, message)
        if key != KEY:
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            return 400, said(400, "API key not valid. Please pass a valid API key.", reason)
        if route is None or route[1] not in MODELS:
            return 404, said(404, f"models/{route[1] if route else ''} is not found for API version v1.")
        entries = seen.body["requests"]
        if len(entries) > 100:
            return 400, said(400, "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n")
        if any(entry["model"] != f"models/{route[1]}" for entry in entries):
            return 400, said(400, "The model of a request is not that of the batch.")
        if route[1] == "gemini-embedding-001" and any(isinstance(content, bytes) for content in self.inputs(seen)):
            return 400, said(400, "This model embeds texts only.")
        return None


def said(status: int, message: str, *details: Mapping[str, object]) -> object:
    """The body of an error: google.rpc.Status."""
    error = {"code": status, "message": message, "status": STATUSES.get(status, "INTERNAL")}
    return {"error": {**error, "details": list(details)} if details else error}


def exhausted(*quotas: str, retry: str = "") -> object:
    """The body of a 429, as it was recorded in github.com/google/langextract/issues/50."""
    violations = [{"quotaMetric": "generativelanguage.googleapis.com/embed", "quotaId": quota} for quota in quotas]
    details: list[Mapping[str, object]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "Learn more", "url": "https://x"}]},
    ]
    if retry:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry})
    return said(429, "You exceeded your current quota, please check your plan and billing details.", *details)


def used_up(*quotas: str, retry: str = "") -> Fault:
    """429, with the quotas that are used up and the pause that is asked for."""
    return says(exhausted(*quotas, retry=retry), 429)


def aggregated(contents: Sequence[Content]) -> Content:
    """What one vector stands for: of several parts it is all of them together."""
    if len(contents) == 1:
        return contents[0]
    return b"\0".join(content.encode() if isinstance(content, str) else content for content in contents)


def _content(part: Mapping[str, Any]) -> Content:
    return base64.b64decode(part["inline_data"]["data"], validate=True) if "inline_data" in part else part["text"]
