"""Hugging Face: the router's requests and answers, and what is recognised at an address and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from lookalike.calls import Inputs, joined
from lookalike.errors import (
    ConfigError,
    LookalikeError,
    ProviderError,
    Refused,
    SpaceMismatch,
    Unavailable,
    UnsupportedModel,
)
from lookalike.messages import Answer
from lookalike.providers import huggingface
from lookalike.providers.adapter import Adapter
from lookalike.providers.believing import matrix
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.remote import RemoteVectorizer
from lookalike.providers.table import open_vectorizer
from lookalike.secret import Secret
from lookalike.spaces import digest_of
from lookalike.types import Vectors
from tests.doubles.double import Exchange, altered, broken, says, vector_of
from tests.doubles.huggingface import (
    KEY,
    MODEL,
    ClassifierDouble,
    HandlerDouble,
    HuggingFaceDouble,
    RouterDouble,
    SentenceTransformersDouble,
    TeiDouble,
)
from tests.pictures import noise

SETTINGS = ProviderSettings(keys={"huggingface": Secret(KEY)}, timeout_s=20.0)


def opened(name: str, settings: ProviderSettings = SETTINGS) -> Adapter:
    ref = ModelRef.parse(f"huggingface:{name}")
    assert ref is not None
    return huggingface.open_adapter(ref, settings)


@contextmanager
def vectorizer(name: str) -> Iterator[RemoteVectorizer]:
    ref = ModelRef.parse(f"huggingface:{name}")
    assert ref is not None
    remote = open_vectorizer(ref, SETTINGS)
    try:
        yield remote
    finally:
        remote.close()


def embedded(remote: RemoteVectorizer, texts: Sequence[str]) -> Vectors:
    inputs = Inputs(modality="text", payloads=texts, names=[f"texts[{i}]" for i in range(len(texts))])
    return joined(remote.embed(inputs), remote.tower)


def answered(content: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(content).encode())


def not_there(exchange: Exchange) -> None:
    exchange.say(b"Not Found", 404)


def test_the_router_is_told_the_pipeline() -> None:
    """The pipeline stands in the path, the parameters at the root; what is too long is to be refused, not cut."""
    adapter = opened(f"{MODEL}?dimensions=64")
    request = adapter.request("text", ["a", "b"])
    assert adapter.base_url + request.path == (
        f"https://router.huggingface.co/hf-inference/models/{MODEL}/pipeline/feature-extraction"
    )
    assert request.headers == {"Authorization": f"Bearer {KEY}"}
    assert json.loads(request.body) == {"inputs": ["a", "b"], "truncate": False, "dimensions": 64}


def test_vectors_per_token_are_refused() -> None:
    """A model without pooling has a vector for each token: an error that says what to choose instead."""
    adapter = opened(MODEL)
    for tokens in ([[[1.0, 2.0]]], [[[1.0, 2.0], [3.0, 4.0]]]):
        with pytest.raises(ProviderError, match="pooling"):
            matrix(adapter.read(answered(tokens), "text", 1), 1, provider="huggingface")
    for other in ({"error": "x"}, [], [1.0, 2.0], "text", None):
        with pytest.raises(ProviderError):
            adapter.read(answered(other), "text", 1)


@pytest.mark.parametrize("name", [f"https://api-inference.huggingface.co/models/{MODEL}", MODEL])
def test_the_old_address_is_said_to_be_gone(name: str) -> None:
    """The address that was switched off is an error that names the new one, however it is given."""
    old = "" if "://" in name else "?base_url=https://api-inference.huggingface.co"
    with pytest.raises(ConfigError, match=r"410.*router\.huggingface\.co"):
        opened(name + old)


def test_pictures_need_an_endpoint() -> None:
    """The router embeds texts; who asks for pictures is told of the handler."""
    with pytest.raises(UnsupportedModel, match=r"handler\.py"):
        opened(MODEL).request("image", [])
    with pytest.raises(ConfigError, match=r"handler\.py"):
        opened(f"{MODEL}?images=1")


def test_credit_that_is_used_up_is_not_waited_for() -> None:
    """402 is for good, until somebody pays."""
    error = opened(MODEL).refusal(answered({"error": "You have exceeded your monthly included credits"}, 402), 0.0)
    assert isinstance(error, Refused)
    assert "paid" in str(error)


def test_our_handler_is_known_by_its_name() -> None:
    """One question is enough; the recipe, the limits and both modalities are known then."""
    with HandlerDouble() as double:
        adapter = opened(double.url)
        assert len(double.seen) == 1
        assert double.seen[0].body["inputs"] == {"text": ["a photo", "two dogs"]}
    assert adapter.tower is not None
    assert adapter.tower.space.modalities == ("image", "text")
    assert dict(adapter.tower.recipe) == {"dtype": "float32", "orientation": "apply"}
    assert adapter.tower.space.preprocessing == digest_of(double.facts["preprocessing"])
    assert adapter.tower.space.model == f"huggingface:{double.url}"


def test_another_model_behind_the_handler_is_found_out() -> None:
    """Every answer says whose vectors it has: those of other weights are of another space, and are not taken."""
    with HandlerDouble() as double, vectorizer(double.url) as remote:
        embedded(remote, ["a"])
        double.facts["weights"] = "cd" * 32
        with pytest.raises(SpaceMismatch):
            embedded(remote, ["a"])


def test_a_handler_of_another_version_is_refused() -> None:
    """It is not guessed at."""
    with HandlerDouble() as double:
        double.facts["handler"] = "lookalike-clip/2"
        with pytest.raises(UnsupportedModel, match="lookalike-clip/2"):
            opened(double.url)


def test_the_handlers_own_failures_are_in_their_places() -> None:
    """An input that it could not use is a failure of that input; a text that it cut has a warning."""

    def some(said: Any) -> Any:
        error = {"index": 1, "kind": "TooLarge", "error": "has 9 characters.", "actual": 9, "limit": 8}
        return {**said, "embeddings": [said["embeddings"][0], None, *said["embeddings"][2:]], "errors": [error]} | {
            "truncated": [2]
        }

    with HandlerDouble() as double, vectorizer(double.url) as remote:
        double.faults = [altered(some)]
        found = embedded(remote, ["a", "b", "c"])
        assert [(f.position, f.kind, f.actual, f.limit) for f in found.failures] == [(1, "TooLarge", 9, 8)]
        assert found.positions.tolist() == [0, 2]
        assert np.allclose(found.values[1], vector_of("c", 8), atol=1e-6)
        assert found.warnings == ("texts[2]: longer than the model reads; its end was left out.",)
        double.faults = [altered(lambda said: {**said, "errors": [{"index": 0, "kind": "InputError", "error": "x"}]})]
        with pytest.raises(ProviderError):
            embedded(remote, ["a", "b"])


def test_a_400_of_the_handler_may_pass() -> None:
    """The handler tells bad inputs apart, so a 400 is a failure of its server; of a proxy, 413 is about the inputs."""
    with HandlerDouble() as double:
        adapter = opened(double.url)
    assert isinstance(adapter.refusal(answered({"error": "CUDA out of memory"}, 400), 0.0), Unavailable)
    too_large = adapter.refusal(answered({"error": "Payload Too Large"}, 413), 0.0)
    assert isinstance(too_large, Refused)
    assert too_large.status == 413


def test_text_embeddings_inference_is_known_by_what_it_says() -> None:
    """Its limits are its own; its space is that of the commit of the weights, at whatever address."""
    with TeiDouble() as double, TeiDouble() as twin:
        adapter = opened(double.url)
        assert adapter.limits.texts == 16
        assert adapter.tower is not None
        assert adapter.tower.space.modalities == ("text",)
        twins = opened(twin.url).tower
        assert twins is not None
        assert twins.space.key == adapter.tower.space.key
        twin.info["model_sha"] = None
        unknown = opened(twin.url).tower
        assert unknown is not None
        assert unknown.space.key != adapter.tower.space.key
        with vectorizer(double.url) as remote:
            assert len(embedded(remote, [f"text {i}" for i in range(40)])) == 40


def test_text_embeddings_inference_without_embeddings_is_refused() -> None:
    """One that serves a classifier makes no vectors; pictures it never embeds."""
    with TeiDouble() as double:
        with pytest.raises(UnsupportedModel, match="images=1"):
            opened(f"{double.url}?images=1")
        double.info["model_type"] = {"reranker": {"id2label": {"0": "LABEL_0"}}}
        with pytest.raises(UnsupportedModel, match="makes no embeddings"):
            opened(double.url)


def test_sentence_transformers_are_known_by_their_vectors() -> None:
    """Vectors that are not of unit length are made so; pictures are sent as files, one a request, never as JSON."""
    with SentenceTransformersDouble() as double, vectorizer(f"{double.url}?images=1") as remote:
        assert np.allclose(embedded(remote, ["a"]).values[0], vector_of("a", 8), atol=1e-6)
        pictures = [noise(1), noise(2)]
        inputs = Inputs(modality="image", payloads=pictures, names=["1", "2"])
        found = joined(remote.embed(inputs), remote.tower)
        assert np.allclose(found.values, [vector_of(picture, 8) for picture in pictures], atol=1e-6)
        sent = [seen for seen in double.seen if seen.headers.get("content-type") == "image/png"]
        assert [seen.raw in pictures for seen in sent[-2:]] == [True, True]


def test_pictures_that_are_read_as_texts_are_refused() -> None:
    """A server that embeds a picture's name answers with vectors like any others: with images=1 it is found out."""
    with SentenceTransformersDouble() as double:
        double.eyes = False
        with pytest.raises(UnsupportedModel, match=r"as a text.*handler\.py"):
            opened(f"{double.url}?images=1")
        texts_only = opened(double.url)
        with pytest.raises(UnsupportedModel, match="images=1"):
            texts_only.request("image", [])


def test_vectors_that_are_all_alike_are_refused_as_pictures() -> None:
    """A server that answers every picture with one vector has not looked at it."""
    with SentenceTransformersDouble() as double:
        same = says({"embeddings": [1.0] * 8})
        right = Exchange.succeed
        double.faults = [broken(400), not_there, right, same, same, same]
        with pytest.raises(UnsupportedModel, match="as a text"):
            opened(f"{double.url}?images=1")


def test_the_default_endpoint_of_a_clip_is_refused() -> None:
    """It never returns vectors, whatever it is sent: the error says what to deploy, and repeats what it said."""
    with ClassifierDouble() as double:
        with pytest.raises(UnsupportedModel, match=r"Incorrect image source.*deploy/huggingface/handler\.py"):
            opened(double.url)
        double.rule = None
        double.faults = [broken(400), not_there, says([{"score": 0.9, "label": "cat"}])]
        with pytest.raises(UnsupportedModel, match="labels and scores"):
            opened(double.url)


@pytest.mark.parametrize(
    "content", [b"Ok", b"", b"[" * 100_000, b'{"embeddings": []}', b'{"embeddings": [1, 2]}', b"7"]
)
def test_a_stranger_is_refused(content: bytes) -> None:
    """Whatever says 200 and is none of the three has no vectors."""
    with HuggingFaceDouble() as double:
        double.rule = says(content)
        with pytest.raises((UnsupportedModel, ProviderError)):
            opened(double.url)


@pytest.mark.parametrize("content", [{"weights": None}, {"dimensions": "many"}, {"preprocessing": 5, "dimensions": []}])
def test_a_handler_that_cannot_be_read_is_an_error_of_the_provider(content: dict[str, object]) -> None:
    """What an endpoint says of itself may be anything: it is a sentence, and no defect of the program."""
    with HandlerDouble() as double:
        double.rule = altered(lambda said: {**{k: v for k, v in said.items() if k != "dtype"}, **content})
        with pytest.raises(ProviderError, match="cannot be read"):
            opened(double.url)


@pytest.mark.parametrize("info", [{"model_type": 5}, {"max_client_batch_size": "few"}])
def test_text_embeddings_inference_that_cannot_be_read_is_one_too(info: dict[str, object]) -> None:
    """The same of what GET /info says."""
    with TeiDouble() as double:
        double.info = {**double.info, **info}
        with pytest.raises(ProviderError, match="cannot be read"):
            opened(double.url)


@pytest.mark.parametrize("kind", [HandlerDouble, TeiDouble, SentenceTransformersDouble, RouterDouble])
def test_a_wrong_key_is_said_to_be_one(kind: type[HuggingFaceDouble]) -> None:
    """401 names the variable, and never the key."""
    wrong = ProviderSettings(keys={"huggingface": Secret("hf_wrong_and_secret")}, timeout_s=20.0)
    name = "{}" if kind is not RouterDouble else MODEL + "?base_url={}"
    with kind() as double, pytest.raises(LookalikeError, match="HF_TOKEN") as caught:
        ref = ModelRef.parse(f"huggingface:{name.format(double.url)}")
        assert ref is not None
        remote = open_vectorizer(ref, wrong)
        embedded(remote, ["a"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [HandlerDouble, SentenceTransformersDouble])
def test_a_length_that_an_endpoint_has_not_is_refused(kind: type[HuggingFaceDouble]) -> None:
    """Where an endpoint knows nothing of lengths, another one than its own is a wrong setting and not left out."""
    with kind() as double:
        assert opened(f"{double.url}?dimensions={double.dim}").tower is not None
        with pytest.raises(ConfigError, match=f"have {double.dim} numbers"):
            opened(f"{double.url}?dimensions=7")


def test_an_endpoint_that_is_waking_up_is_waited_for() -> None:
    """503 and 429 are asked again before anything is concluded of an address."""
    with HandlerDouble() as double:
        double.faults = [broken(503), broken(429, retry_after_ms="1")]
        assert opened(double.url).tower is not None
        assert len(double.seen) == 3


def test_nobody_there_is_unavailable_in_time() -> None:
    """An address where nothing listens is Unavailable, or too late, and never hangs."""
    with HandlerDouble() as double:
        url = double.url
    with pytest.raises(LookalikeError) as caught:
        opened(url, ProviderSettings(timeout_s=0.3))
    assert caught.value.retryable
