"""Jina AI's embeddings, as its OpenAPI document of 2026-03-11 says it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from tests.doubles.double import Content, Seen, vector_of
from tests.doubles.strict import StrictDouble

KEY = "jina_never-to-be-seen-0123456789"
TASKS = {
    "jina-clip-v2": {"retrieval.query"},
    "jina-clip-v1": set[str](),
    "jina-embeddings-v3": {"retrieval.query", "retrieval.passage", "text-matching"},
    "jina-embeddings-v4": {"retrieval.query", "retrieval.passage", "text-matching"},
}
WITH_PICTURES = {"jina-clip-v1", "jina-clip-v2", "jina-embeddings-v4"}
DIMS = {"jina-clip-v1": 768, "jina-embeddings-v4": 2048}
CODES = {401: "AUTH_INVALID_API_KEY", 429: "RATE_TOKEN_LIMIT_EXCEEDED"}


class JinaDouble(StrictDouble):
    """POST /v1/embeddings."""

    def inputs(self, seen: Seen) -> Sequence[Content]:
        return [_content(each) for each in seen.body["input"]]

    def vectors(self, seen: Seen) -> list[Any]:
        dim = seen.body.get("dimensions", DIMS.get(seen.body["model"], 1024))
        return [vector_of(content, dim) for content in self.inputs(seen)]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        n_tokens = 3 * len(vectors)
        return {
            "model": seen.body["model"],
            "object": "list",
            "usage": {"total_tokens": n_tokens, "prompt_tokens": n_tokens},
            "data": [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)],
        }

    def error(self, status: int, message: str, code: str = "") -> object:
        known = "AUTHZ_INSUFFICIENT_BALANCE" if code == "insufficient_quota" else code or CODES.get(status, "")
        return {"detail": message, "code": known, "request_id": "03f58cd9da22fabf"}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """What Jina has against a request."""
        body = seen.body
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return 401, self.error(401, "Invalid API key.")
        if seen.path != "/v1/embeddings" or body["model"] not in TASKS:
            return 400, self.error(400, f"Model '{body['model']}' not found.", "INPUT_MODEL_NOT_FOUND")
        has_pictures = any(isinstance(content, bytes) for content in self.inputs(seen))
        if "task" in body and body["task"] not in TASKS[body["model"]]:
            return 422, {"detail": [{"loc": ["body", body["model"], "task"], "msg": "Input should be another"}]}
        if has_pictures and body["model"] not in WITH_PICTURES:
            return 422, {"detail": [{"loc": ["body", body["model"], "input"], "msg": "Input should be text"}]}
        return None


def _content(each: str | Mapping[str, str]) -> Content:
    if isinstance(each, str):
        return each
    [(kind, content)] = each.items()
    return base64.b64decode(content, validate=True) if kind == "image" else content
