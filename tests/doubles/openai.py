"""OpenAI's embeddings API as it was recorded, and a compatible server that embeds pictures."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.doubles.double import Content, Double, Exchange, Seen, vector_of

KEY = "sk-never-to-be-seen-0123456789"
MODELS = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")
FIELDS = {"model", "input", "dimensions", "encoding_format", "user"}


class OpenAIDouble(Double):
    """POST /v1/embeddings of OpenAI: strict about the key, the model, the fields and the inputs.

    Attributes:
        key: The only key that is known; empty if none is asked for.
        models: What is served; empty for whatever is asked for.
        fields: What a request may hold.
    """

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
        self.key = KEY
        self.models: Sequence[str] = MODELS
        self.fields = set(FIELDS)
        self.rule = as_specified

    @property
    def base_url(self) -> str:
        """What a client is told."""
        return f"{self.url}/v1"

    def inputs(self, seen: Seen) -> Sequence[Content]:
        several = seen.body["input"] if isinstance(seen.body["input"], list) else [seen.body["input"]]
        if seen.body.get("modality") != "image":
            return several
        return [base64.b64decode(uri.partition(";base64,")[2], validate=True) for uri in several]

    def vectors(self, seen: Seen) -> list[Any]:
        return [vector_of(content, seen.body.get("dimensions") or self.dim) for content in self.inputs(seen)]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        wanted = seen.body.get("encoding_format", "float")
        n_tokens = sum(len(content.split()) for content in self.inputs(seen) if isinstance(content, str))
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": written(vector, wanted)}
                for index, vector in enumerate(vectors)
            ],
            "model": seen.body["model"],
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }

    def error(self, status: int, message: str, code: str = "") -> object:
        kind = code if code == "insufficient_quota" else "server_error" if status >= 500 else "invalid_request_error"
        return said(message, kind, code=code or None)

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """What OpenAI has against a request."""
        body = seen.body
        if self.key and seen.headers.get("authorization") != f"Bearer {self.key}":
            message = f"Incorrect API key provided: {seen.headers.get('authorization', '')}."
            return 401, said(message, "invalid_request_error", code="invalid_api_key")
        if unknown := sorted(body.keys() - self.fields):
            return 400, said(f"Unrecognized request argument supplied: {unknown[0]}", "invalid_request_error")
        if self.models and body["model"] not in self.models:
            message = f"The model `{body['model']}` does not exist or you do not have access to it."
            return 404, said(message, "invalid_request_error", code="model_not_found")
        if "dimensions" in body and "ada" in body["model"]:
            message = "This model does not support specifying dimensions."
            return 400, said(message, "invalid_request_error", param="dimensions")
        if not body["input"] or "" in self.inputs(seen) or len(self.inputs(seen)) > 2048:
            return 400, said("'$.input' is invalid.", "invalid_request_error")
        return None


class CompatibleDouble(OpenAIDouble):
    """A server that speaks the same API, asks for no key and embeds pictures, as Infinity does."""

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
        self.key, self.models = "", ("org/clip",)
        self.fields |= {"modality"}


def as_specified(exchange: Exchange) -> None:
    """The right answer, or the complaint that OpenAI would have."""
    double = exchange.double
    assert isinstance(double, OpenAIDouble)
    complaint = double.complaint(exchange.seen)
    if complaint is None:
        exchange.succeed()
    else:
        exchange.say(complaint[1], complaint[0])


def said(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> object:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def written(vector: Any, encoding: str) -> Any:
    """A vector as it was asked for; one that a fault has made something else stays as it is."""
    if encoding != "base64" or not all(isinstance(value, float) for value in vector):
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
