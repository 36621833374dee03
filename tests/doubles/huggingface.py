"""Hugging Face as it was recorded: the router, and what may answer at the address of an Inference Endpoint.

The default server of an endpoint (huggingface-inference-toolkit 0.5.6, run on a small CLIP) says 400 and
`{"error": "..."}` to everything that goes wrong, failures of its own included.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tests.doubles.double import Content, Seen, vector_of
from tests.doubles.strict import StrictDouble

KEY = "hf_never_to_be_seen_0123456789"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"

NOT_AN_IMAGE = (
    "Incorrect image source. Must be a valid URL starting with `http://` or `https://`, a valid path to an image file, "
    "or a base64 encoded string."
)


class HuggingFaceDouble(StrictDouble):
    """What they have in common: a key, errors that are a string, and a complaint before an answer."""

    def error(self, status: int, message: str, code: str = "") -> object:
        return {"error": message}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        """What it answers instead of vectors."""
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return 401, self.error(401, "Invalid username or password.")
        return None


class RouterDouble(HuggingFaceDouble):
    """POST /models/MODEL/pipeline/feature-extraction -> a bare list."""

    def inputs(self, seen: Seen) -> Sequence[Content]:
        return seen.body["inputs"]

    def vectors(self, seen: Seen) -> list[Any]:
        return [vector_of(text, seen.body.get("dimensions") or self.dim) for text in self.inputs(seen)]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        return vectors

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        denied = super().complaint(seen)
        if denied or seen.path == f"/models/{MODEL}/pipeline/feature-extraction":
            return denied
        return 404, self.error(404, "Model not supported by provider hf-inference")


class TeiDouble(RouterDouble):
    """Text Embeddings Inference 1.9: GET /info, POST /embed; a dictionary in `inputs` is not understood."""

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
        self.info: dict[str, object] = {
            "model_id": MODEL,
            "model_sha": "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
            "model_dtype": "float16",
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_concurrent_requests": 512,
            "max_input_length": 512,
            "max_batch_tokens": 16384,
            "max_client_batch_size": 16,
            "auto_truncate": True,
            "version": "1.9.3",
        }

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        if denied := HuggingFaceDouble.complaint(self, seen):
            return denied
        if (seen.method, seen.path) == ("GET", "/info"):
            return 200, self.info
        if not isinstance(seen.body["inputs"], list):
            return 422, {"error": "Input validation error", "error_type": "Validation"}
        if len(seen.body["inputs"]) > 16:
            return 413, {"error": "batch size 17 > maximum allowed batch size 16", "error_type": "Validation"}
        return None if seen.path == "/embed" else (404, b"")


class HandlerDouble(HuggingFaceDouble):
    """deploy/huggingface/handler.py behind the default server; `facts` are what it says of itself."""

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
        self.facts: dict[str, object] = {
            "handler": "lookalike-clip/1",
            "model": "openai/clip-vit-base-patch32",
            "revision": "",
            "weights": "ab" * 32,
            "dimensions": dim,
            "preprocessing": {"size": {"shortest_edge": 224}, "do_resize": True},
            "dtype": "float32",
            "max_tokens": 77,
            "orientation": "apply",
        }

    def inputs(self, seen: Seen) -> Sequence[Content]:
        ((modality, values),) = seen.body["inputs"].items()
        return values if modality == "text" else [base64.b64decode(value, validate=True) for value in values]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        return {"embeddings": vectors, "errors": [], "truncated": [], **self.facts}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        denied = super().complaint(seen)
        return denied if denied or (seen.method, seen.path) == ("POST", "/") else (405, b"Method Not Allowed")


class SentenceTransformersDouble(HuggingFaceDouble):
    """The default server of a sentence-transformers CLIP: vectors are not unit, a picture is a request's whole body.

    Attributes:
        eyes: Whether it sees pictures; a model of texts embeds the name that a picture has in Python.
    """

    def __init__(self, *, dim: int = 8, tls: Path | None = None) -> None:
        super().__init__(dim=dim, tls=tls)
        self.eyes = True

    def inputs(self, seen: Seen) -> Sequence[Content]:
        if seen.body is not None:
            several = seen.body["inputs"]
            return several if isinstance(several, list) else [several]
        return [seen.raw]

    def vectors(self, seen: Seen) -> list[Any]:
        return [[6.9 * value for value in vector_of(self._read(item), self.dim)] for item in self.inputs(seen)]

    def success(self, seen: Seen, vectors: list[Any]) -> object:
        return {"embeddings": vectors if seen.body is not None else vectors[0]}

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        if denied := super().complaint(seen):
            return denied
        if seen.method == "GET":
            return 404, b"Not Found"
        if isinstance(seen.body, dict) and not isinstance(seen.body["inputs"], str | list):
            return 400, self.error(400, "0")  # the text of a KeyError
        return None

    def _read(self, item: Content) -> Content:
        if isinstance(item, str):
            return item
        image = Image.open(BytesIO(item)).convert("RGB")
        if not self.eyes:
            return f"<PIL.Image.Image image mode=RGB size={image.width}x{image.height} at 0x7F>"
        # One colour is the same picture at any size; all others are what their bytes are.
        return str(image.getpixel((0, 0))) if image.getcolors(1) else item


class ClassifierDouble(SentenceTransformersDouble):
    """The default endpoint of a CLIP: it classifies, and never answers with a vector."""

    def complaint(self, seen: Seen) -> tuple[int, object] | None:
        denied = HuggingFaceDouble.complaint(self, seen)
        return denied or ((404, b"Not Found") if seen.method == "GET" else (400, self.error(400, NOT_AN_IMAGE)))
