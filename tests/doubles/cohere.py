"""Cohere's embeddings API, version 2, as it was recorded."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.doubles.double import Content, Seen, vector_of
from tests.doubles.strict import StrictDouble

KEY = "co-never-to-be-seen-0123456789"
FIELDS = {"model", "input_type", "texts", "images", "embedding_types", "output_dimension", "truncate"}
IMAGE_TOKENS = 260


class CohereDouble(StrictDouble):
    """POST /v2/embed: strict about the key, the fields and how many inputs there are."""

    def inputs(self, seen: Seen) -> Sequence[Content]:
        if "texts" in seen.body:
            return seen.body["texts"]
        return [base64.b64decode(uri.partition(";base64,")[2], validate=True) for uri in seen.body["images"]]

    def vectors(self, seen: Seen) -> list[Any]:
        return [vector_of(content, seen.body.get("output_dimension") or self.dim) for content in self.inputs(seen)]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        n_words = sum(len(text.split()) for text in seen.body.get("texts", ()))
        n_images = len(seen.body.get("images", ()))
        billed = {"input_tokens": n_words} if n_words else {"image_tokens": IMAGE_TOKENS * n_images, "images": n_images}
        return {
            "id": "5807ee2e-0cda-445a-9ec8-864c60a06606",
            "response_type": "embeddings_by_type",
            "embeddings": {"float": vectors},
            "texts": seen.body.get("texts", []),
            "meta": {"api_version": {"version": "2"}, "billed_units": billed},
        }

    def error(self, status: int, message: str, code: str = "") -> object:
        return {"id": "9b5d1bd6", "message": message}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """What Cohere has against a request."""
        body = seen.body
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return 401, self.error(401, "invalid api token")
        if seen.path != "/v2/embed":
            return 404, self.error(404, "not found")
        if unknown := sorted(body.keys() - FIELDS):
            return 400, self.error(400, f"unknown field: parameter '{unknown[0]}' is not a valid field")
        if ("texts" in body) == ("images" in body) or ("images" in body) != (body["input_type"] == "image"):
            return 400, self.error(400, "invalid request: input_type does not fit the inputs")
        if len(body.get("texts", ())) > 96 or (len(body.get("images", ())) > 1 and "-v3.0" in body["model"]):
            return 400, self.error(400, "invalid request: too many inputs")
        if "" in self.inputs(seen):
            return 400, self.error(400, "invalid request: valid input texts must be provided")
        return None


class CohereV3Double(CohereDouble):
    """The same with a model of the third family, whose vectors have one length."""

    def __init__(self, *, dim: int = 384, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
