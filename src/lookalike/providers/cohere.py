"""Cohere's embeddings API, version 2 (https://docs.cohere.com/reference/embed): texts, and pictures as data URIs.

Texts that are looked for and texts that are found are embedded differently (`role`). A text that is too long is refused
by Cohere and not cut: cut, it would not be said. Embed 5 Pro and Fast write into one space, as Cohere states
(https://docs.cohere.com/changelog/embed-v5): what was indexed by one can be searched with the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lookalike.errors import LookalikeError, Refused
from lookalike.messages import Answer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.known import BOTH, Host, Known, KnownAdapter, count, known_one, open_known
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.spaces import Modality

HOST = Host(url="https://api.cohere.com/v2", variable="COHERE_API_KEY", for_pictures="embed-v4.0")

TASKS: Mapping[str, str] = {"query": "search_query", "document": "search_document"}

IN_BASE64 = 3 / 4
"""Cohere does not say whether its limits are of pictures or of their base64: of the larger."""

V3 = Limits(
    texts=96,
    images=1,
    image_bytes=int(5e6 * IN_BASE64),
    texts_per_minute=2000,
    images_per_minute=400,
)
"""Rates are those of production keys (docs.cohere.com/docs/rate-limits); a trial key is told to wait."""

V4 = replace(V3, images=96, request_bytes=int(20e6 * IN_BASE64), image_bytes=int(20e6 * IN_BASE64))

EMBED_5 = Known(dim=2048, dims=(256, 512, 768, 1024, 1536), modalities=BOTH, limits=V4, space="embed-v5.0")

MODELS: Mapping[str, Known] = {
    "embed-v5.0-pro": EMBED_5,
    "embed-v5.0-fast": EMBED_5,
    "embed-v4.0": Known(dim=1536, dims=(256, 512, 1024), modalities=BOTH, limits=V4),
    "embed-english-v3.0": Known(dim=1024, modalities=BOTH, limits=V3),
    "embed-multilingual-v3.0": Known(dim=1024, modalities=BOTH, limits=V3),
    "embed-english-light-v3.0": Known(dim=384, modalities=BOTH, limits=V3),
    "embed-multilingual-light-v3.0": Known(dim=384, modalities=BOTH, limits=V3),
}


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> KnownAdapter:
    """The adapter of a model of Cohere.

    Raises:
        ConfigError: There is no key, or an option does not fit the model.
        UnsupportedModel: There is no such model.
    """
    shape = ByCohere(model=ref.model, task=TASKS[ref.role], dimensions=ref.dimensions)
    return open_known(ref, settings, model=known_one(ref, MODELS), shape=shape, host=HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCohere:
    """Requests and answers of one model; see `known.Shape`.

    Attributes:
        model: Its name.
        task: What texts are embedded for.
        dimensions: Length of the vectors; 0 for the model's own.
    """

    model: str
    task: str
    dimensions: int

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:
        """Texts or pictures, never both: Cohere takes the kind of all of them from one field."""
        sent = [item.data_uri if isinstance(item, Upload) else item for item in inputs]
        what = {"texts": sent, "input_type": self.task, "truncate": "NONE"}
        if modality == "image":
            what = {"images": sent, "input_type": "image"}
        length = {"output_dimension": self.dimensions} if self.dimensions else {}
        return "/embed", {"model": self.model, **what, "embedding_types": ["float"], **length}

    def read(self, answer: Answer, n: int) -> Reading:  # noqa: ARG002 (there is no index to check)
        """The vectors, and the tokens that were billed, of texts or of pictures."""
        said = json.loads(answer.body)
        billed = (said.get("meta") or {}).get("billed_units") or {}
        tokens = count(billed.get("input_tokens")) or count(billed.get("image_tokens"))
        return Reading(said["embeddings"]["float"], tokens=tokens)

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        """A trial key's calls of the month are used up for good, though the status is that of a pause."""
        said = Said.of(answer)
        if answer.status == 429 and "trial" in said.message.lower() and "month" in said.message.lower():
            return Refused(
                f"{asked.provider} will not serve this trial key any more this month: set {asked.variable} to a "
                "production key.",
                provider=asked.provider,
                status=answer.status,
            )
        return error_of(answer, said, asked, now_s)
