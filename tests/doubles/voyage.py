"""Voyage AI's two routes, as voyageai 0.5.0 speaks them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.doubles.double import Content, Seen, vector_of
from tests.doubles.openai import written
from tests.doubles.strict import StrictDouble

KEY = "pa-never-to-be-seen-0123456789"
FIELDS = {"model", "input_type", "truncation", "output_dimension", "output_dtype", "encoding_format"}
DATA_URI = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,(.+)")


class VoyageDouble(StrictDouble):
    """POST /v1/multimodalembeddings and /v1/embeddings."""

    def inputs(self, seen: Seen) -> Sequence[Content]:
        if seen.path == "/v1/embeddings":
            return seen.body["input"]
        return [_content(entry["content"]) for entry in seen.body["inputs"]]

    def vectors(self, seen: Seen) -> list[Any]:
        dim = seen.body.get("output_dimension", 1024)
        return [vector_of(content, dim) for content in self.inputs(seen)]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        wanted = seen.body.get("encoding_format", "float")
        contents = self.inputs(seen)
        n_tokens = sum(len(content.split()) for content in contents if isinstance(content, str))
        n_pixels = sum(len(content) for content in contents if isinstance(content, bytes))
        usage = {"total_tokens": n_tokens + n_pixels // 560}
        if seen.path == "/v1/multimodalembeddings":
            usage |= {"text_tokens": n_tokens, "image_pixels": n_pixels}
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "embedding": written(vector, wanted), "index": index}
                for index, vector in enumerate(vectors)
            ],
            "model": seen.body["model"],
            "usage": usage,
        }

    def error(self, status: int, message: str, code: str = "") -> object:
        return {"detail": message}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """What Voyage has against a request."""
        body = seen.body
        is_multimodal = body["model"].startswith("voyage-multimodal-")
        route = "/v1/multimodalembeddings" if is_multimodal else "/v1/embeddings"
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return 401, self.error(401, "Provided API key is invalid.")
        if seen.path != route:
            return 400, self.error(400, f"Model {body['model']} is not supported.")
        if unknown := sorted(body.keys() - FIELDS - {"inputs" if is_multimodal else "input"}):
            return 400, self.error(400, f"Argument '{unknown[0]}' is not supported by our API")
        if body.get("input_type") not in (None, "query", "document"):
            return 400, self.error(400, "input_type must be query, document or null.")
        if not 1 <= len(self.inputs(seen)) <= 1000:
            return 400, self.error(400, "The batch size limit is 1000.")
        return None


def _content(parts: Sequence[Mapping[str, str]]) -> Content:
    [part] = parts
    if part["type"] == "text":
        return part["text"]
    found = DATA_URI.fullmatch(part["image_base64"])
    assert found, "a picture is a data URI"
    return base64.b64decode(found[1], validate=True)
