"""Hugging Face: texts by its router, and whatever answers at the address of an Inference Endpoint.

The router serves models of sentences by their names (https://huggingface.co/docs/inference-providers). An endpoint is
named by its address ("huggingface:https://NAME.endpoints.huggingface.cloud") and asked what it is when it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from lookalike.errors import ConfigError, LookalikeError
from lookalike.messages import Answer
from lookalike.providers.adapter import Adapter, Limits, Prepared, Reading
from lookalike.providers.endpoint_shapes import ByTei
from lookalike.providers.endpoints import open_endpoint
from lookalike.providers.known import Host, Known, open_known
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.refusals import Asked
from lookalike.spaces import Modality

URL = "https://router.huggingface.co/hf-inference"
KEY = "HF_TOKEN"

GONE = "api-inference.huggingface.co"
"""Where the router was before."""

LIMITS = Limits(texts=32)
"""What Text Embeddings Inference, which answers behind the router, takes in one request."""

HOST = Host(
    url=URL,
    variable=KEY,
    for_pictures="https://NAME.endpoints.huggingface.cloud, an endpoint with deploy/huggingface/handler.py",
)


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> Adapter:
    """The adapter of a model behind the router, or of an endpoint, which is asked what it is.

    Raises:
        ConfigError: There is no key, the address cannot be used, or an option does not fit.
        UnsupportedModel: The endpoint returns no vectors, or none of what is asked for.
        ProviderError: The endpoint cannot be reached, or refuses the key.
    """
    place = ref.model if "://" in ref.model else ref.base_url
    if urlsplit(place).hostname == GONE:
        raise ConfigError(
            f"{GONE} has been switched off (HTTP 410): name the model alone, huggingface:owner/name, and {URL} is "
            "asked; or name the address of an Inference Endpoint of your own."
        )
    if "://" in ref.model:
        return open_endpoint(ref, settings, variable=KEY)
    if ref.images:
        raise ConfigError(f"{ref}: the router embeds texts only; for pictures name {HOST.for_pictures}.")
    return open_known(ref, settings, model=Known(limits=LIMITS), shape=ByRouter(ref.model, ref.dimensions), host=HOST)


@dataclass(frozen=True, slots=True)
class ByRouter:
    """The router's feature extraction; see `known.Shape`.

    Attributes:
        model: Its name on the hub.
        dimensions: Length of the vectors; 0 for the model's own.
    """

    model: str
    dimensions: int = 0

    @property
    def task(self) -> str:
        """Texts are embedded as they are."""
        return ""

    def request(self, modality: Modality, inputs: Sequence[Prepared]) -> tuple[str, Mapping[str, object]]:  # noqa: ARG002
        """The pipeline has to be named: of a model of sentences the usual one compares."""
        return f"/models/{quote(self.model)}/pipeline/feature-extraction", self._behind.body(inputs)

    def read(self, answer: Answer, n: int) -> Reading:
        """A bare list of vectors; a model without pooling has one for each token, which is refused where it is seen."""
        return self._behind.read(answer, n)

    def refusal(self, answer: Answer, asked: Asked, now_s: float) -> LookalikeError:
        """By its status."""
        return self._behind.refusal(answer, asked, now_s)

    @property
    def _behind(self) -> ByTei:
        return ByTei(dimensions=self.dimensions)
