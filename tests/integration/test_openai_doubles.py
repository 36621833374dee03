"""The doubles of OpenAI and Azure speak the recorded wire: the official library takes them for the real thing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openai
import pytest
from openai import AzureOpenAI, OpenAI

from tests.doubles.azure import DEPLOYMENT, AzureDouble
from tests.doubles.azure import KEY as AZURE_KEY
from tests.doubles.double import broken, limited, out_of_quota, vector_of
from tests.doubles.openai import KEY, OpenAIDouble

SMALL = "text-embedding-3-small"


@pytest.fixture
def double() -> Iterator[OpenAIDouble]:
    with OpenAIDouble(dim=16) as started:
        yield started


@pytest.fixture
def client(double: OpenAIDouble) -> Iterator[OpenAI]:
    with OpenAI(base_url=double.base_url, api_key=KEY, max_retries=0) as made:
        yield made


def test_the_official_client_reads_the_double(double: OpenAIDouble, client: OpenAI) -> None:
    """It asks for base64 by itself, and finds every vector and the tokens."""
    answer = client.embeddings.create(model=SMALL, input=["a red dress", "two dogs"])
    assert double.seen[0].body["encoding_format"] == "base64"
    assert [row.index for row in answer.data] == [0, 1]
    expected = [vector_of(text, 16) for text in ("a red dress", "two dogs")]
    assert np.allclose([row.embedding for row in answer.data], expected, atol=1e-6)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens, answer.model) == (5, 5, SMALL)


def test_numbers_and_dimensions_are_as_asked(client: OpenAI) -> None:
    """Numbers come where numbers are asked for, and as many as asked for."""
    answer = client.embeddings.create(model=SMALL, input="a", encoding_format="float", dimensions=4)
    assert np.allclose(answer.data[0].embedding, vector_of("a", 4))


def test_the_official_client_reads_the_errors(double: OpenAIDouble, client: OpenAI) -> None:
    """Every error of the double is the class that the official client has for it, with its code and its param."""
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="gpt-embedding", input="a")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as shortened:
        client.embeddings.create(model="text-embedding-ada-002", input="a", dimensions=4)
    assert shortened.value.param == "dimensions"
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=SMALL, input=["a", ""])
    with pytest.raises(openai.BadRequestError, match="modality"):
        client.embeddings.create(model=SMALL, input="a", extra_body={"modality": "image"})
    with pytest.raises(openai.AuthenticationError) as wrong:
        client.with_options(api_key="sk-wrong").embeddings.create(model=SMALL, input="a")
    assert wrong.value.code == "invalid_api_key"
    double.faults = [limited(), out_of_quota, broken(503)]
    for code in ("rate_limit_exceeded", "insufficient_quota"):
        with pytest.raises(openai.RateLimitError) as limit:
            client.embeddings.create(model=SMALL, input="a")
        assert limit.value.code == code
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model=SMALL, input="a")


def test_the_official_client_waits_as_the_double_asks(double: OpenAIDouble, client: OpenAI) -> None:
    """A pause in milliseconds is one that the official client knows."""
    double.faults = [limited(retry_after_ms="1")]
    assert client.with_options(max_retries=1).embeddings.create(model=SMALL, input="a").data
    assert len(double.seen) == 2


def test_the_official_client_reads_the_double_of_azure() -> None:
    """Its class for Azure finds the deployment at both addresses, and errors with their codes."""
    with AzureDouble(dim=16) as double:
        older = AzureOpenAI(azure_endpoint=double.url, api_key=AZURE_KEY, api_version="2024-10-21", max_retries=0)
        newer = OpenAI(
            base_url=f"{double.url}/openai/v1", api_key="none", default_headers={"api-key": AZURE_KEY}, max_retries=0
        )
        with older, newer:
            for client in (older, newer):
                answer = client.embeddings.create(model=DEPLOYMENT, input=["a"])
                assert np.allclose(answer.data[0].embedding, vector_of("a", 16), atol=1e-6)
                with pytest.raises(openai.NotFoundError) as unknown:
                    client.embeddings.create(model="another", input="a")
                assert unknown.value.code == "DeploymentNotFound"
            with pytest.raises(openai.AuthenticationError):
                older.with_options(api_key="wrong").embeddings.create(model=DEPLOYMENT, input="a")
