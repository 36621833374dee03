"""Jina AI: CLIP and other models, some of which embed texts and pictures in one space.

Shapes and limits are those of api.jina.ai/openapi.json (2026-03-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lookalike.errors import LookalikeError, Refused
from lookalike.messages import Answer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.known import BOTH, Host, Known, KnownAdapter, open_known, pausing
from lookalike.providers.openai import read_embeddings
from lookalike.providers.reference import ModelRef, ProviderSettings, Role
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.spaces import Modality

HOST = Host(url="https://api.jina.ai/v1", variable="JINA_API_KEY", for_pictures="jina-clip-v2")

LIMITS = Limits(
    texts=512,
    images=32,
    request_bytes=16_000_000,
    image_bytes=6_000_000,
    requests_per_minute=500,
    tokens_per_minute=1_000_000,
    concurrency=4,
    queries=1,
)
"""What any key may do: 500 requests, a million tokens a minute, five at once; 8 MB a picture, which are 6 before
base64. Texts and pictures in one request have no documented limit; these are moderate."""

MODELS: Mapping[str, Known] = {
    "jina-clip-v2": Known(dim=1024, dims=range(1, 1025), modalities=BOTH, limits=LIMITS),
    "jina-clip-v1": Known(dim=768, modalities=BOTH, limits=LIMITS),
    "jina-embeddings-v4": Known(dim=2048, dims=range(1, 2049), modalities=BOTH, limits=LIMITS),
    "jina-embeddings-v5-text-small": Known(dim=1024, dims=range(1, 1025), limits=LIMITS),
    "jina-embeddings-v5-text-nano": Known(dim=768, dims=range(1, 769), limits=LIMITS),
    "jina-embeddings-v3": Known(dim=1024, dims=range(1, 1025), limits=LIMITS),
}

TASKS: Mapping[Role, str] = {"query": "retrieval.query", "document": "retrieval.passage"}

ONLY_QUERIES = ("jina-clip-v2",)
"""Models that have a task for queries, and none for what is found."""

WITHOUT_TASK = ("jina-clip-v1",)

ALWAYS_UNIT = ("jina-embeddings-v4",)
"""Models whose requests have no field `normalized`."""

WINDOW_PAUSE_S = 15.0
"""Jina counts by the minute and does not say when the minute is over: five pauses of this length outlast it."""

WINDOWS = frozenset({"RATE_REQUEST_LIMIT_EXCEEDED", "RATE_TOKEN_LIMIT_EXCEEDED"})


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> KnownAdapter:
    """The adapter of one of Jina's models; of a new one images=1 says that it embeds pictures.

    Raises:
        ConfigError: There is no key, or an option does not fit the model.
    """
    new = Known(modalities=BOTH if ref.images else ("text",), limits=LIMITS)
    shape = _Shape(name=ref.model, task=_task(ref), dimensions=ref.dimensions)
    return open_known(ref, settings, model=MODELS.get(ref.model, new), shape=shape, host=HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """embeddings; see `known.Shape`.

    Attributes:
        name: The model's.
        task: What texts are embedded for; empty if that is not said.
        dimensions: The length that is asked for; 0 for the model's own.
    """

    name: str
    task: str
    dimensions: int

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:
        body: dict[str, object] = {"model": self.name, "input": [_item(each) for each in inputs]}
        body["embedding_type"] = "float"
        if self.name not in ALWAYS_UNIT:
            body["normalized"] = True
        if self.dimensions:
            body["dimensions"] = self.dimensions
        if task := self.task if modality == "text" else self._task_of_pictures():
            body["task"] = task
        return "/embeddings", body

    def _task_of_pictures(self) -> str:
        """Pictures are what is found, whether they are asked with or not."""
        return TASKS["document"] if self.task and self.name not in ONLY_QUERIES else ""

    def read(self, answer: Answer, n: int) -> Reading:
        return read_embeddings(answer, n, who="jina")

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        said = Said.of(answer)
        if "AUTHZ_INSUFFICIENT_BALANCE" in said.codes:
            return Refused(
                f"{asked.provider} will not serve this key any more: its tokens are used up. Add some at "
                f"jina.ai/api-dashboard, or set {asked.variable} to another key.",
                provider=asked.provider,
                status=answer.status,
            )
        if "INPUT_MODEL_NOT_FOUND" in said.codes:
            answer = replace(answer, status=404)  # Jina says 400, as if an input were to blame
        pause_s = WINDOW_PAUSE_S if said.codes & WINDOWS else None
        return error_of(pausing(answer, pause_s), said, asked, now_s)


def _task(ref: ModelRef) -> str:
    """What a model is told that texts are embedded for; nothing if it is not known to ask."""
    silent = ref.model in ONLY_QUERIES and ref.role != "query"
    return "" if silent or ref.model in WITHOUT_TASK or ref.model not in MODELS else TASKS[ref.role]


def _item(each: Prepared) -> Mapping[str, str]:
    return {"image": each.base64} if isinstance(each, Upload) else {"text": each}
