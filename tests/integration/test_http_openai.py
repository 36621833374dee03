"""OpenAI's API: the official client works against the service as it is, and pictures go the way Infinity takes them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from openai import OpenAI

from lookalike import Embedder
from lookalike.config import ServeSettings
from lookalike.errors import Overloaded
from lookalike.spaces import Tower
from tests.integration.test_http_embed import Scripted, tiny_service
from tests.pictures import noise
from tests.serving import InlineService, Running, serving

PICTURES = [noise(seed, size=(60, 50), kind="JPEG") for seed in range(2)]
URIS = [f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for data in PICTURES]
KEY = "0123456789abcdef"
KEYS = f"shop embed {KEY}; viewer search fedcba9876543210"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """The model, in this process."""
    return Embedder.open("tiny")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A service with the same model, and with keys."""
    with tiny_service(ServeSettings(api_keys=KEYS)) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def vectors(answer: Any) -> np.ndarray:
    """The rows of an answer, in its order."""
    assert [row.index for row in answer.data] == list(range(len(answer.data)))
    return np.array([row.embedding for row in answer.data], np.float32)


def refused(client: OpenAI, kind: type[openai.APIStatusError], **wanted: Any) -> dict[str, Any]:
    """OpenAI's error to a request, which the client raises as `kind`."""
    with pytest.raises(kind) as caught:
        client.embeddings.create(**{"model": "tiny", "input": "a"} | wanted)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body.keys() == {"message", "type", "param", "code"}
    return caught.value.body


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}], ids=str)
def test_the_official_client_gets_the_same_vectors(client: OpenAI, embedder: Embedder, encoding: Any) -> None:
    """One text or a list, in the client's own base64 or as numbers: what Python gives."""
    texts = ["a red dress", "שמלה אדומה", "two dogs"]
    expected = embedder.embed_texts(texts).values
    many = client.embeddings.create(model="tiny", input=texts, **encoding)
    one = client.embeddings.create(model="tiny", input=texts[0], user="somebody", dimensions=128, **encoding)
    if encoding.get("encoding_format") == "base64":  # asked for by name, the client hands it on as it is
        decoded = [np.frombuffer(base64.b64decode(row.embedding), "<f4") for row in (*many.data, *one.data)]
        np.testing.assert_allclose(decoded, [*expected, expected[0]], atol=1e-6)
    else:
        np.testing.assert_allclose(vectors(many), expected, atol=1e-6)
        np.testing.assert_allclose(vectors(one), expected[:1], atol=1e-6)
    assert (many.object, many.model) == ("list", "tiny")


def test_null_is_as_good_as_nothing(running: Running) -> None:
    """Clients that write null for what they leave out are understood."""
    nothing = dict.fromkeys(("encoding_format", "dimensions", "user", "modality"))
    body = {"model": "tiny", "input": "a"} | nothing
    answer = running.client.post("/v1/embeddings", json=body, headers={"Authorization": f"Bearer {KEY}"})
    assert len(answer.json()["data"][0]["embedding"]) == 128


def test_usage_counts_what_the_model_read(client: OpenAI, embedder: Embedder) -> None:
    """Tokens are those of the model, begin and end included, after cutting; pictures have none."""
    texts = ["a red dress", "word " * 500]
    usage = client.embeddings.create(model="tiny", input=texts).usage
    assert usage.prompt_tokens == usage.total_tokens == embedder.embed_texts(texts).n_tokens.sum()
    assert client.embeddings.create(model="tiny", input=URIS).usage.total_tokens == 0


def test_pictures_are_inputs_too(client: OpenAI, embedder: Embedder) -> None:
    """Data URIs are pictures, with `modality` or without, alone or among texts; bare base64 is one with it."""
    images = embedder.embed_images(PICTURES).values
    words = embedder.embed_texts(["red"]).values
    asked = {"modality": "image"}
    np.testing.assert_allclose(vectors(client.embeddings.create(model="tiny", input=URIS)), images, atol=1e-6)
    mixed = client.embeddings.create(model="tiny", input=[URIS[0], "red"])
    np.testing.assert_allclose(vectors(mixed), [images[0], words[0]], atol=1e-6)
    for value in (URIS[0], URIS[0].partition(",")[2]):
        found = client.embeddings.create(model="tiny", input=value, extra_body=asked)
        np.testing.assert_allclose(vectors(found), images[:1], atol=1e-6)


def test_a_text_stays_a_text(client: OpenAI, embedder: Embedder) -> None:
    """What only resembles a picture, or is declared a text, is embedded as the words that it is."""
    for text, more in (("data:image/ is how they begin", {}), ("https://a/b.jpg", {}), (URIS[0], {"modality": "text"})):
        found = vectors(client.embeddings.create(model="tiny", input=text, extra_body=more))
        np.testing.assert_allclose(found, embedder.embed_texts([text]).values, atol=1e-6)


def test_2048_texts_fit_into_a_request(client: OpenAI, embedder: Embedder) -> None:
    """As many texts as OpenAI takes are taken, whatever the limit of the other routes; one more is not."""
    texts = [f"text {number}" for number in range(2_048)]
    found = vectors(client.embeddings.create(model="tiny", input=texts))
    np.testing.assert_allclose(found[-5:], embedder.embed_texts(texts[-5:]).values, atol=1e-6)
    body = refused(client, openai.APIStatusError, input=[*texts, "one more"])
    assert body["message"].startswith("input: has 2,049 entries")


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "tokens": ({"input": [1, 2, 3]}, "input", "Token ids are not taken"),
    "lists of tokens": ({"input": [[1, 2], [3]]}, "input", "Token ids are not taken"),
    "empty text": ({"input": ""}, "input", "is empty"),
    "empty text in a list": ({"input": ["a", ""]}, "input[1]", "is empty"),
    "empty list": ({"input": []}, "input", "not empty"),
    "other dimensions": ({"dimensions": 64}, "dimensions", "must be 128 or left out"),
    "half a picture": ({"input": ["a", URIS[0][:700]]}, "input[1]", "input[1]: "),
    "no picture": ({"input": ["data:image/png;base64,QUJD"]}, "input[0]", "not a picture of a kind"),
    "no base64": ({"input": "data:image/png;base64,{}"}, "input", "neither base64"),
    "words as a picture": ({"input": ["red"], "extra_body": {"modality": "image"}}, "input[0]", "neither base64"),
    "other modality": ({"extra_body": {"modality": "audio"}}, "modality", "must be 'text' or 'image'"),
    "number": ({"input": 5}, "input", "must be a text"),
    "null": ({"input": None}, "input", "must be a text"),
    "model": ({"model": 5}, "model", "must be a text"),
}


@pytest.mark.parametrize(("wanted", "param", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_input_fails_the_request(client: OpenAI, wanted: dict[str, Any], param: str, message: str) -> None:
    """One bad input is a BadRequestError for the whole request, as OpenAI has it, which names the input."""
    body = refused(client, openai.BadRequestError, **wanted)
    assert (body["type"], body["param"]) == ("invalid_request_error", param)
    assert message in body["message"]


def test_urls_are_not_fetched(client: OpenAI) -> None:
    """A picture by URL is refused: nothing is fetched unless the service was told to."""
    body = refused(
        client, openai.PermissionDeniedError, input="http://127.0.0.1/a.jpg", extra_body={"modality": "image"}
    )
    assert "LOOKALIKE_ALLOW_URLS=1" in body["message"]


def test_other_models_are_not_found(client: OpenAI, running: Running) -> None:
    """A model that is not served is OpenAI's 404, for embeddings and by itself; an alias is known."""
    assert refused(client, openai.NotFoundError, model="text-embedding-3-small")["code"] == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/clip-vit-base-patch32")
    assert client.embeddings.create(model="builtin", input="a").model == "tiny"


def test_models_are_listed(client: OpenAI, embedder: Embedder) -> None:
    """The list has the model that is served, with the facts of its space."""
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "lookalike")
    assert model.to_dict()["space"] == embedder.space.id
    assert Tower.from_dict(model.to_dict()["tower"]) == embedder.tower
    assert client.models.retrieve("tiny") == model


def test_keys_are_openais_errors(running: Running) -> None:
    """An unknown key and a key without the scope are the client's own errors for that."""
    with OpenAI(base_url=f"{running.url}/v1", api_key="sk-unknown-unknown", max_retries=0) as stranger:
        assert refused(stranger, openai.AuthenticationError)["code"] == "invalid_api_key"
    with OpenAI(base_url=f"{running.url}/v1", api_key="fedcba9876543210", max_retries=0) as viewer:
        refused(viewer, openai.PermissionDeniedError)


def test_an_overload_is_a_rate_limit(embedder: Embedder) -> None:
    """Who has sent too much gets RateLimitError; a service that is full is an InternalServerError."""
    service = InlineService(embedder)
    with (
        serving(service, settings=ServeSettings(requests_per_minute=1)) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client,
    ):
        client.embeddings.create(model="tiny", input="a")
        assert refused(client, openai.RateLimitError)["type"] == "rate_limit_error"
    with (
        serving(Scripted(service, Overloaded("Full.", retry_after_s=1))) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client,
    ):
        assert refused(client, openai.InternalServerError)["type"] == "server_error"
    service.close(drain_s=0)


def test_what_is_not_json_has_openais_shape(running: Running) -> None:
    """Even a body that cannot be read is answered in OpenAI's shape."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = running.client.post("/v1/embeddings", content=b"{", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("The body is not JSON")
