"""Amazon Bedrock's InvokeModel for Titan and Nova, as AWS documents it; the kind of an error is in a header."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np

from tests.doubles.double import Content, Fault, Seen, broken, vector_of
from tests.doubles.strict import StrictDouble

KEY = "ABSK-never-to-be-seen-0123456789"
TITAN = "amazon.titan-embed-image-v1"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
KINDS = {400: "ValidationException", 403: "AccessDeniedException", 404: "ResourceNotFoundException"}


class BedrockDouble(StrictDouble):
    """POST /model/MODEL/invoke: one input, one vector. Text and picture at once are one averaged vector of Titan."""

    def inputs(self, seen: Seen) -> Sequence[Content]:
        params = seen.body.get("singleEmbeddingParams")
        if params is None:
            pictures = [seen.body["inputImage"]] if "inputImage" in seen.body else []
            texts = [seen.body["inputText"]] if "inputText" in seen.body else []
        else:
            pictures = [params["image"]["source"]["bytes"]] if "image" in params else []
            texts = [params["text"]["value"]] if "text" in params else []
        return [*texts, *(base64.b64decode(picture, validate=True) for picture in pictures)]

    def vectors(self, seen: Seen) -> list[Any]:
        rows = [vector_of(content, _length(seen)) for content in self.inputs(seen)]
        return [np.mean(rows, axis=0).tolist()]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        if "singleEmbeddingParams" in seen.body:
            kind = "TEXT" if isinstance(self.inputs(seen)[0], str) else "IMAGE"
            return {"embeddings": [{"embeddingType": kind, "embedding": vector} for vector in vectors]}
        n_tokens = sum(len(content.split()) for content in self.inputs(seen) if isinstance(content, str))
        return {"embedding": vectors[0] if vectors else None, "inputTextTokenCount": n_tokens, "message": None}

    def error(self, status: int, message: str, code: str = "") -> object:
        return {"message": message}

    def error_headers(self, status: int) -> dict[str, str]:
        return {"x_amzn_errortype": f"{KINDS[status]}:http://internal.amazon.com/coral/com.amazon.bedrock/"}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """What Bedrock has against a request."""
        model = unquote(seen.path.removeprefix("/model/").removesuffix("/invoke"))
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return 403, {"Message": "Authentication failed: Please make sure your API Key is valid."}
        if model not in (TITAN, NOVA):
            return 400, self.error(400, "The provided model identifier is invalid.")
        n_inputs = len(self.inputs(seen))
        if n_inputs == 0 or (model == NOVA and n_inputs != 1):
            return 400, self.error(400, "Malformed input request: exactly one input must be present.")
        lengths = (256, 384, 1024) if model == TITAN else (256, 384, 1024, 3072)
        if _length(seen) not in lengths:
            return 400, self.error(400, "Malformed input request: no such length.")
        return None


def typed(status: int, kind: str, message: str = "It is not served.") -> Fault:
    """An error whose kind is in the header, as AWS has it."""
    return broken(status, message, x_amzn_errortype=f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/")


def _length(seen: Seen) -> int:
    params = seen.body.get("singleEmbeddingParams")
    return params["embeddingDimension"] if params else seen.body["embeddingConfig"]["outputEmbeddingLength"]
