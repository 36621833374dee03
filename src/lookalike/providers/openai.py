"""OpenAI's embeddings API, and every server that speaks it: Infinity, TEI, llama.cpp, vLLM, Ollama, LiteLLM, ours.

Requests and answers are those of OpenAI's specification (github.com/openai/openai-openapi, 2026-08-21); `modality` is
Infinity's. Vectors are asked for in base64, a quarter of the bytes of numbers; a server that does not know it sends
numbers, which are read as well.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lookalike.errors import ConfigError, LookalikeError, ProviderError, Refused, UnsupportedModel
from lookalike.messages import Answer, Request, bearer
from lookalike.providers.adapter import Limits, Prepared, Reading, Upload
from lookalike.providers.known import count
from lookalike.providers.reference import ModelRef, ProviderSettings, placed
from lookalike.providers.refusals import Asked, Said, error_of
from lookalike.providers.towers import hosted_tower
from lookalike.secret import Secret
from lookalike.spaces import Modality, Tower
from lookalike.types import Rows

URL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"

DIMS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""Lengths of the vectors of OpenAI's own models; that of any other is seen in its first answer."""

SHORTENED = "text-embedding-3-"
"""How the names of OpenAI's models begin whose vectors can be asked for at a smaller length."""

OWN_LIMITS = Limits(texts=2_048, request_tokens=300_000, input_chars=65_536)
"""OpenAI's: a text has 8,192 tokens at most, and no language needs more than eight characters for one."""

OTHER_LIMITS = Limits(texts=32, images=32)
"""What Text Embeddings Inference and Infinity take in one request unless they are told otherwise."""


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> EmbeddingsApi:
    """The adapter of a model of OpenAI, or of a server that speaks its API.

    Raises:
        ConfigError: It is OpenAI's own and there is no key, or an option does not fit the model.
    """
    ref, base_url = placed(ref, settings, usual=URL, variable="OPENAI_BASE_URL")
    key = settings.keys.get("openai") or Secret("")
    is_own = not ref.base_url
    if is_own:
        _require_usable(ref, key)
    return EmbeddingsApi(
        ref=ref,
        asked=Asked(provider="openai" if is_own else f"openai at {base_url}", model=ref.model, variable=KEY, key=key),
        base_url=base_url,
        path="/embeddings",
        headers=bearer(key.reveal(), setting=KEY) if key else {},
        dim=ref.dimensions or (DIMS.get(ref.model, 0) if is_own else 0),
        limits=OWN_LIMITS if is_own else OTHER_LIMITS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsApi:
    """An adapter of one model behind OpenAI's API; see `adapter.Adapter`.

    Attributes:
        ref: The model, with its address where that is not OpenAI's.
        asked: Who is asked, for errors.
        base_url: Where it is.
        path: The route below it, with its query.
        headers: Sent with every request; they hold the key.
        dim: Length of its vectors; 0 if the first answer will show it.
        limits: What its requests may hold.
    """

    ref: ModelRef
    asked: Asked
    base_url: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    dim: int
    limits: Limits

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.ref.provider

    @property
    def tower(self) -> Tower | None:
        """The recipe; None if the length of the vectors is not known."""
        return self.tower_of(self.dim) if self.dim else None

    def tower_of(self, dim: int) -> Tower:
        """The recipe, with vectors of this length."""
        return hosted_tower(self.ref, dim=dim, modalities=("image", "text") if self.ref.images else ("text",))

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> Request:
        """The request for these inputs' vectors."""
        if modality == "image" and not self.ref.images:
            raise UnsupportedModel(
                f"{self.ref} embeds texts only: choose a model that embeds pictures, or, if a server of your own does "
                "(Infinity with a CLIP), say so with images=1 behind the model's name.",
                model=str(self.ref),
            )
        body: dict[str, object] = {
            "model": self.ref.model,
            "input": [item.data_uri if isinstance(item, Upload) else item for item in inputs],
            "encoding_format": "base64",
        }
        if self.ref.dimensions:
            body["dimensions"] = self.ref.dimensions
        if self.ref.images:
            body["modality"] = modality
        return Request("POST", self.path, json.dumps(body).encode(), self.headers)

    def read(self, answer: Answer, modality: Modality, n: int) -> Reading:
        """The vectors of an answer, by their `index`, and the tokens that were billed."""
        said = read_embeddings(answer, n, who=self.asked.provider)
        return said if modality == "text" else Reading(said.rows)

    def refusal(self, answer: Answer, now_s: float) -> LookalikeError:
        """The error that any other answer stands for."""
        said = Said.of(answer)
        if "insufficient_quota" in said.codes:
            return Refused(
                f"{self.asked.provider} will not serve this key any more (insufficient_quota): its credit or its "
                "monthly limit is used up. Add credit there, or use another key.",
                provider=self.asked.provider,
                status=answer.status,
            )
        if said.field == "dimensions" and self.ref.dimensions:
            return ConfigError(
                f"{self.ref.model} has no vectors of {self.ref.dimensions} numbers: choose other dimensions, or none."
            )
        if "model_not_found" in said.codes or said.field == "model":
            answer = replace(answer, status=404)  # OpenAI has 403 for a model that a project may not use, others 400
        return error_of(answer, said, self.asked, now_s)


def read_embeddings(answer: Answer, n: int, *, who: str) -> Reading:
    """What an answer of OpenAI's shape says about n inputs.

    Args:
        answer: What came back.
        n: How many inputs were sent.
        who: Who answers, for errors.

    Raises:
        ProviderError: It is not of that shape, or its `index`es are not one for each input.
    """
    try:
        said = json.loads(answer.body)
        # A server that leaves out every index means the order in which they stand; one that leaves out 0 does too.
        found = {entry.get("index", place): _row(entry["embedding"]) for place, entry in enumerate(said["data"])}
        n_entries, tokens = len(said["data"]), _tokens(said)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _stranger(who, "is not of the shape of OpenAI's: check that the address is that of its API") from error
    if n_entries != n or found.keys() != set(range(n)):
        raise _stranger(who, f"has {n_entries} vectors for {n} inputs, or does not say which is whose")
    return Reading([found[place] for place in range(n)], tokens=tokens)


def _require_usable(ref: ModelRef, key: Secret) -> None:
    """Raise ConfigError unless OpenAI itself can be asked for this."""
    if not key:
        raise ConfigError(f"{ref} needs a key of OpenAI: set the variable {KEY} to it.")
    if ref.images:
        raise ConfigError(f"{ref}: OpenAI's own models embed texts only; leave out images=1.")
    longest = DIMS.get(ref.model, ref.dimensions)
    if ref.dimensions > longest or (ref.dimensions not in (0, longest) and not ref.model.startswith(SHORTENED)):
        raise ConfigError(f"{ref}: the vectors of {ref.model} have {longest} numbers; leave out dimensions.")


def _row(embedding: object) -> Sequence[float] | Rows:
    """A vector in base64 of little-endian float32, or in whatever was sent as a list."""
    if isinstance(embedding, list):
        return embedding
    if not isinstance(embedding, str):
        raise TypeError("a vector is a list of numbers, or base64")
    return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float32)


def _tokens(said: Mapping[str, object]) -> int:
    usage = said.get("usage")
    counts = [usage.get(name) for name in ("prompt_tokens", "total_tokens")] if isinstance(usage, dict) else []
    return next(filter(None, map(count, counts)), 0)


def _stranger(who: str, what: str) -> ProviderError:
    return ProviderError(f"The answer of {who} {what}.", provider=who, status=200)
