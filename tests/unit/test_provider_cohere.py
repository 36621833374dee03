"""Cohere: what is sent, how answers and refusals are read; no network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lookalike.errors import ConfigError, ProviderError, RateLimited, Refused, UnsupportedModel
from lookalike.messages import Answer
from lookalike.providers import cohere
from lookalike.providers.adapter import Upload
from lookalike.providers.believing import matrix
from lookalike.providers.known import KnownAdapter
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.secret import Secret
from lookalike.spaces import Tower

KEY = "co-never-to-be-seen"
SETTINGS = ProviderSettings(keys={"cohere": Secret(KEY)})
PNG = Upload(b"\x89PNG", "image/png")
TRIAL = "You are using a Trial key, which is limited to {}. You can continue to use the Trial key for free."


def opened(name: str) -> KnownAdapter:
    ref = ModelRef.parse(f"cohere:{name}")
    assert ref is not None
    return cohere.open_adapter(ref, SETTINGS)


def tower(name: str) -> Tower:
    found = opened(name).tower
    assert found is not None
    return found


def answered(content: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(content).encode())


def refused(status: int, message: str) -> Exception:
    return opened("embed-v4.0").refusal(answered({"message": message}, status), 0.0)


def test_texts_are_sent_by_their_role() -> None:
    """The path, the key, what the text is for, numbers, and that nothing may be cut unsaid."""
    adapter = opened("embed-v4.0")
    request = adapter.request("text", ["a", "b"])
    assert (request.method, adapter.base_url + request.path) == ("POST", "https://api.cohere.com/v2/embed")
    assert request.headers == {"Authorization": f"Bearer {KEY}"}
    expected = {
        "model": "embed-v4.0",
        "texts": ["a", "b"],
        "input_type": "search_query",
        "truncate": "NONE",
        "embedding_types": ["float"],
    }
    assert json.loads(request.body) == expected
    document = json.loads(opened("embed-v4.0?role=document&dimensions=256").request("text", ["a"]).body)
    assert (document["input_type"], document["output_dimension"]) == ("search_document", 256)


def test_pictures_are_sent_as_pictures() -> None:
    """Pictures are data URIs in a field of their own: one a request to the third family, many to the later ones."""
    body = json.loads(opened("embed-v4.0").request("image", [PNG, PNG]).body)
    assert body == {
        "model": "embed-v4.0",
        "images": [PNG.data_uri, PNG.data_uri],
        "input_type": "image",
        "embedding_types": ["float"],
    }
    assert (opened("embed-english-v3.0").limits.images, opened("embed-v5.0-pro").limits.images) == (1, 96)
    assert all(model.limits.texts == 96 for model in cohere.MODELS.values())


def test_a_role_is_another_recipe_of_the_same_space() -> None:
    """What is looked for and what is found are embedded differently, into one space."""
    query, document = tower("embed-v4.0"), tower("embed-v4.0?role=document")
    assert query.space.key == document.space.key
    assert query.fingerprint != document.fingerprint


def test_embed_5_is_one_space_of_two_models() -> None:
    """Pro and Fast share a space, as Cohere says; at one length, and with no other family."""
    pro, fast = tower("embed-v5.0-pro"), tower("embed-v5.0-fast")
    assert (pro.space.key, pro.space.dim) == (fast.space.key, 2048)
    assert pro.space.model != fast.space.model
    others = [tower(name).space.key for name in ("embed-v5.0-pro?dimensions=1024", "embed-v4.0?dimensions=1024")]
    others += [tower(name).space.key for name in ("embed-english-v3.0", "embed-multilingual-v3.0")]
    assert len({pro.space.key, *others}) == 5
    elsewhere = tower("embed-v5.0-fast?base_url=https://proxy.example.org/v2")
    assert elsewhere.space.key != pro.space.key


def test_only_lengths_that_there_are() -> None:
    """A length that a model has not, and a model that there is not, are errors that name what there is."""
    for name in ("embed-v4.0?dimensions=768", "embed-english-v3.0?dimensions=512"):
        with pytest.raises(ConfigError, match="numbers"):
            opened(name)
    with pytest.raises(UnsupportedModel, match=r"embed-v4\.0"):
        opened("embed-v9.0")


def test_what_was_billed_is_counted_by_its_kind() -> None:
    """Tokens of texts and of pictures are told apart; an answer that does not tell counts none."""
    adapter = opened("embed-v4.0")

    def read(modality: Any, meta: object) -> tuple[int, int]:
        reading = adapter.read(answered({"embeddings": {"float": [[1.0]]}, "meta": meta}), modality, 1)
        return reading.tokens, reading.image_tokens

    assert read("text", {"billed_units": {"input_tokens": 7}}) == (7, 0)
    assert read("image", {"billed_units": {"image_tokens": 260, "images": 1}}) == (0, 260)
    for meta in (None, {}, {"billed_units": None}, {"billed_units": {"images": 1}}):
        assert read("image", meta) == (0, 0)


@pytest.mark.parametrize("content", [[], {}, {"embeddings": [[1.0]]}, {"embeddings": {"int8": [[1]]}}, "text", None])
def test_an_answer_of_another_shape_is_not_believed(content: object) -> None:
    """Whatever is no list of vectors by their type is a ProviderError."""
    with pytest.raises(ProviderError):
        opened("embed-v4.0").read(answered(content), "text", 1)


@pytest.mark.parametrize("rows", [None, True, 1e308, "ab", {"0": [1.0], "1": [1.0]}, [None, {}]])
def test_what_stands_in_the_place_of_vectors_is_looked_at(rows: object) -> None:
    """The right fields with anything in them are an error of the provider, whatever JSON it is."""
    with pytest.raises(ProviderError):
        reading = opened("embed-v4.0").read(answered({"embeddings": {"float": rows}}), "text", 2)
        matrix(reading, 2, provider="cohere")


def test_a_trial_key_is_waited_for_a_minute_and_not_a_month() -> None:
    """A trial key's pause of a minute is waited for; its calls of the month are gone for good."""
    assert isinstance(refused(429, TRIAL.format("40 API calls / minute")), RateLimited)
    monthly = refused(429, TRIAL.format("1000 API calls / month"))
    assert isinstance(monthly, Refused)
    assert "COHERE_API_KEY" in str(monthly)


def test_a_refused_input_keeps_its_status_and_words() -> None:
    """A 400 may be about one input: its status stays, and Cohere's words are repeated."""
    error = refused(400, "invalid request: text is too long")
    assert isinstance(error, Refused)
    assert error.status == 400
    assert "too long" in str(error)
