"""Voyage AI: models for texts and pictures in one space, and models for texts, which have another route.

Shapes are those of voyageai 0.5.0 and of docs.voyageai.com/reference (2026). What is too long is refused there instead
of being cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lookalike.errors import LookalikeError
from lookalike.messages import Answer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.known import BOTH, Host, Known, KnownAdapter, open_known
from lookalike.providers.openai import read_embeddings
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.spaces import Modality

HOST = Host(url="https://api.voyageai.com/v1", variable="VOYAGE_API_KEY", for_pictures="voyage-multimodal-3.5")

MULTIMODAL = "voyage-multimodal-"
"""How the names of models begin that embed pictures."""

DIMS = (256, 512, 1024, 2048)

MULTIMODAL_LIMITS = Limits(
    texts=1000,
    images=40,
    request_tokens=320_000,
    input_chars=256_000,
    request_bytes=20_000_000,
    image_bytes=15_000_000,
    image_side_px=2000,
    requests_per_minute=2000,
    tokens_per_minute=2_000_000,
)
"""1,000 inputs and 320,000 tokens in a request; 32,000 tokens in a text, eight characters at most each; 20 MB and 16
million pixels in a picture. 560 pixels are a token and the models look at two million of a picture, so none is sent
larger than four, and 40 of those stay below 320,000 tokens."""


def _texts(request_tokens: int, tokens_per_minute: int = 3_000_000) -> Limits:
    """Limits of a text model: 1,000 texts and so many tokens in a request, 32,000 tokens in a text."""
    return Limits(
        texts=1000,
        request_tokens=request_tokens,
        input_chars=256_000,
        requests_per_minute=2000,
        tokens_per_minute=tokens_per_minute,
    )


MODELS: Mapping[str, Known] = {
    "voyage-multimodal-3.5": Known(dim=1024, dims=DIMS, modalities=BOTH, limits=MULTIMODAL_LIMITS),
    "voyage-multimodal-3": Known(dim=1024, modalities=BOTH, limits=MULTIMODAL_LIMITS),
    "voyage-4-large": Known(dim=1024, dims=DIMS, limits=_texts(120_000), space="voyage-4"),
    "voyage-4": Known(dim=1024, dims=DIMS, limits=_texts(320_000, 8_000_000), space="voyage-4"),
    "voyage-4-lite": Known(dim=1024, dims=DIMS, limits=_texts(1_000_000, 16_000_000), space="voyage-4"),
    "voyage-3-large": Known(dim=1024, dims=DIMS, limits=_texts(120_000)),
    "voyage-3.5": Known(dim=1024, dims=DIMS, limits=_texts(320_000, 8_000_000)),
    "voyage-3.5-lite": Known(dim=1024, dims=DIMS, limits=_texts(1_000_000, 16_000_000)),
    "voyage-code-3": Known(dim=1024, dims=DIMS, limits=_texts(120_000)),
    "voyage-finance-2": Known(dim=1024, limits=_texts(120_000)),
    "voyage-law-2": Known(dim=1024, limits=_texts(120_000)),
}
"""The models of the fourth series write into one space, as Voyage states: what one has indexed, another can search.
Tokens a minute are those of keys with a payment method (docs.voyageai.com/docs/rate-limits); others get a refusal
that says so, and wait."""


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> KnownAdapter:
    """The adapter of one of Voyage's models; a new one's route goes by its name, its first answer shows its length.

    Raises:
        ConfigError: There is no key, or an option does not fit the model.
    """
    is_multimodal = ref.model.startswith(MULTIMODAL)
    new = Known(modalities=BOTH, limits=MULTIMODAL_LIMITS) if is_multimodal else Known(limits=_texts(120_000))
    shape = _Shape(name=ref.model, task=ref.role, is_multimodal=is_multimodal, dimensions=ref.dimensions)
    return open_known(ref, settings, model=MODELS.get(ref.model, new), shape=shape, host=HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """multimodalembeddings and embeddings; see `known.Shape`.

    Attributes:
        name: The model's.
        task: What texts are embedded for.
        is_multimodal: Which of the two routes.
        dimensions: The length that is asked for; 0 for the model's own.
    """

    name: str
    task: str
    is_multimodal: bool
    dimensions: int

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:
        # Pictures are what is found, whether they are asked with or not: alike pictures must have alike vectors.
        body: dict[str, object] = {
            "model": self.name,
            "input_type": self.task if modality == "text" else "document",
            "truncation": False,
            "encoding_format": "base64",
        }
        if self.dimensions:
            body["output_dimension"] = self.dimensions
        if not self.is_multimodal:
            return "/embeddings", {**body, "input": list(inputs)}
        return "/multimodalembeddings", {**body, "inputs": [{"content": [_part(item)]} for item in inputs]}

    def read(self, answer: Answer, n: int) -> Reading:
        return read_embeddings(answer, n, who="voyage")

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        return error_of(answer, Said.of(answer), asked, now_s)


def _part(item: Prepared) -> Mapping[str, str]:
    if isinstance(item, Upload):
        return {"type": "image_base64", "image_base64": item.data_uri}
    return {"type": "text", "text": item}
