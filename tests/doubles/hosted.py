"""Every provider's double, and the name of a model there: what the contract of vectorizers is run over."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import pytest

from lookalike.providers import table
from lookalike.providers.adapter import Limits
from lookalike.providers.pacing import Pace
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.remote import RemoteVectorizer
from lookalike.secret import Secret
from tests.doubles.double import Double


@dataclass(frozen=True)
class Hosted:
    """A provider and its double.

    Attributes:
        double: The module below tests.doubles and the class of the double.
        model: The model's name; {url} is where the double is.
    """

    double: str
    model: str


# A provider is a line here; its double's module has its KEY, if it wants one.
HOSTED: Mapping[str, Hosted] = {
    "openai": Hosted("openai.OpenAIDouble", "openai:text-embedding-3-small?dimensions=8&base_url={url}/v1"),
    "compatible": Hosted("openai.CompatibleDouble", "openai:org/clip?images=1&base_url={url}/v1"),
    "azure": Hosted("azure.AzureDouble", "azure:mine?base_url={url}"),
    "cohere": Hosted("cohere.CohereDouble", "cohere:embed-v4.0?dimensions=256&base_url={url}/v2"),
    "cohere-v3": Hosted("cohere.CohereV3Double", "cohere:embed-english-light-v3.0?base_url={url}/v2"),
    "router": Hosted("huggingface.RouterDouble", "huggingface:sentence-transformers/all-MiniLM-L6-v2?base_url={url}"),
    "tei": Hosted("huggingface.TeiDouble", "huggingface:{url}"),
    "handler": Hosted("huggingface.HandlerDouble", "huggingface:{url}"),
    "sentence-transformers": Hosted("huggingface.SentenceTransformersDouble", "huggingface:{url}?images=1"),
    "gemini 001": Hosted("gemini.GeminiDouble", "gemini:gemini-embedding-001?dimensions=128&base_url={url}/v1"),
    "gemini 2": Hosted("gemini.GeminiDouble", "gemini:gemini-embedding-2?dimensions=128&base_url={url}/v1"),
    "voyage": Hosted("voyage.VoyageDouble", "voyage:voyage-multimodal-3.5?dimensions=256&base_url={url}/v1"),
    "voyage texts": Hosted("voyage.VoyageDouble", "voyage:voyage-3.5?dimensions=256&base_url={url}/v1"),
    "jina": Hosted("jina.JinaDouble", "jina:jina-clip-v2?dimensions=64&base_url={url}/v1"),
    "titan": Hosted(
        "bedrock.BedrockDouble",
        "bedrock:amazon.titan-embed-image-v1?dimensions=256&region=us-east-1&base_url={url}",
    ),
    "nova": Hosted(
        "bedrock.BedrockDouble",
        "bedrock:amazon.nova-2-multimodal-embeddings-v1:0?dimensions=256&region=us-east-1&base_url={url}",
    ),
}


@contextmanager
def doubled(name: str) -> Iterator[tuple[Double, ModelRef, ProviderSettings]]:
    """The double of a line of HOSTED, its model, and settings with its key."""
    module_name, _, kind = HOSTED[name].double.partition(".")
    module = import_module(f"tests.doubles.{module_name}")
    with getattr(module, kind)() as double:
        ref = ModelRef.parse(HOSTED[name].model.format(url=double.url))
        assert ref is not None
        keys = {ref.provider: Secret(double_key)} if (double_key := getattr(module, "KEY", "")) else {}
        yield double, ref, ProviderSettings(keys=keys, timeout_s=20.0)


def unhurried(name: str, *_: object) -> Pace:
    """The pace of a provider that allows everything at once."""
    return Pace(Limits(texts=1), provider=name, clock=time.monotonic)


@contextmanager
def hosted(name: str) -> Iterator[RemoteVectorizer]:
    """The model of a line of HOSTED, opened as the application opens it, but in no need to go slowly."""
    with doubled(name) as (_, ref, settings), pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_pace", unhurried)
        vectorizer = table.open_vectorizer(ref, settings)
        try:
            yield vectorizer
        finally:
            vectorizer.close()
