"""What the models have in common that are known by their names: lengths, options, keys, towers, answers."""

from __future__ import annotations

import pytest

from lookalike.errors import ConfigError, ProviderError, UnsupportedModel
from lookalike.providers import bedrock, gemini, jina, voyage
from lookalike.providers.believing import matrix
from lookalike.providers.reference import ProviderSettings
from lookalike.secret import Secret
from tests.adapters import KEY, PNG, SETTINGS, answered, asked, opened

TABLES = {"gemini": gemini.MODELS, "voyage": voyage.MODELS, "jina": jina.MODELS, "bedrock": bedrock.MODELS}
MODELS = [f"{provider}:{model}" for provider, table in TABLES.items() for model in table]
VARIABLES = {
    "gemini:gemini-embedding-2": "GEMINI_API_KEY",
    "voyage:voyage-multimodal-3.5": "VOYAGE_API_KEY",
    "jina:jina-clip-v2": "JINA_API_KEY",
    "bedrock:amazon.titan-embed-image-v1": "AWS_BEARER_TOKEN_BEDROCK",
}
TEXTS_ONLY = {
    "gemini:gemini-embedding-001": "gemini:gemini-embedding-2",
    "voyage:voyage-3.5": "voyage:voyage-multimodal-3.5",
    "jina:jina-embeddings-v3": "jina:jina-clip-v2",
}


@pytest.mark.parametrize("name", MODELS)
def test_a_known_model_is_opened_without_a_request(name: str) -> None:
    """The length of its vectors and what it embeds are known from its name; a limit stands for each of its kinds."""
    adapter = opened(name)
    assert adapter.tower is not None
    assert adapter.tower.space.dim > 0
    assert adapter.tower.space.modalities in (("text",), ("image", "text"))
    assert adapter.limits.texts > 0
    assert adapter.limits.images > 0 or "image" not in adapter.tower.space.modalities
    assert adapter.tower.space.model.startswith(name)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_that_is_printed_holds_the_key(name: str) -> None:
    """The key is in a header, and in no path, no representation and no tower."""
    adapter = opened(name)
    request = adapter.request("text", ["a"])
    assert KEY in "".join(request.headers.values())
    assert KEY not in f"{adapter!r} {adapter.tower!r} {request!r} {adapter.base_url}{request.path} {request.body!r}"


@pytest.mark.parametrize(("name", "variable"), VARIABLES.items())
def test_a_missing_key_names_its_variable(name: str, variable: str) -> None:
    """Without a key, or with one that no header can hold, opening says which variable to set, and not the key."""
    with pytest.raises(ConfigError, match=variable):
        opened(name, ProviderSettings(region="us-east-1"))
    broken = ProviderSettings(keys={name.partition(":")[0]: Secret(f"{KEY}\n")}, region="us-east-1")
    with pytest.raises(ConfigError, match=variable) as caught:
        opened(name, broken)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("name", "other"), TEXTS_ONLY.items())
def test_a_picture_for_a_model_of_texts_names_one_that_can(name: str, other: str) -> None:
    """A model of texts says which one of the same provider embeds pictures; that one does."""
    with pytest.raises(UnsupportedModel, match=other):
        opened(name).request("image", [PNG])
    assert opened(other).request("image", [PNG]).body


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("gemini:gemini-embedding-001?dimensions=127", "from 128 to 3072"),
        ("gemini:gemini-embedding-2?dimensions=4096", "from 128 to 3072"),
        ("voyage:voyage-multimodal-3.5?dimensions=300", "256, 512, 1024 or 2048"),
        ("voyage:voyage-multimodal-3?dimensions=512", "1024"),
        ("jina:jina-clip-v2?dimensions=2048", "from 1 to 1024"),
        ("bedrock:amazon.titan-embed-image-v1?dimensions=512", "256, 384 or 1024"),
    ],
)
def test_a_length_that_a_model_has_not_is_a_wrong_setting(name: str, lengths: str) -> None:
    """What cannot be had is found when the model is opened, with the lengths that can."""
    with pytest.raises(ConfigError, match=f"have {lengths} numbers"):
        opened(name)


@pytest.mark.parametrize("name", [*VARIABLES, "voyage:voyage-3.5"])
def test_a_chosen_length_is_that_of_the_tower(name: str) -> None:
    """256 numbers are asked for, and are what the tower says."""
    tower = opened(f"{name}?dimensions=256").tower
    assert tower is not None
    assert tower.space.dim == 256
    assert "256" in str(asked(f"{name}?dimensions=256", "a")[1])


def test_models_that_are_not_known() -> None:
    """Where what to send depends on the model, an unknown one is an error that lists the known ones."""
    for name, other in (("gemini:text-embedding-004", "gemini-embedding-2"), ("bedrock:meta.llama", "amazon.nova-2")):
        with pytest.raises(UnsupportedModel, match=other):
            opened(name)


def test_new_models_of_the_others_are_learned() -> None:
    """A new model of Voyage or Jina is opened, its length is that of its first answer."""
    for name in ("voyage:voyage-9", "jina:jina-embeddings-v9"):
        adapter = opened(name)
        assert adapter.tower is None
        assert adapter.tower_of(7).space.modalities == ("text",)
    for name in ("voyage:voyage-multimodal-9", "jina:jina-embeddings-v9-omni?images=1"):
        assert opened(name).tower_of(7).space.modalities == ("image", "text")


def test_what_is_known_is_not_said() -> None:
    """images=1 behind the name of a known model is an error: it would be ignored."""
    with pytest.raises(ConfigError, match="leave out images=1"):
        opened("jina:jina-clip-v2?images=1")


def test_another_address_is_another_space() -> None:
    """The usual address spelled out is the usual space; another one is another, and errors name it."""
    usual = opened("gemini:gemini-embedding-2").tower_of(8)
    assert opened(f"gemini:gemini-embedding-2?base_url={gemini.HOST.url}").tower_of(8) == usual
    other = opened("gemini:gemini-embedding-2?base_url=http://127.0.0.1:1/v1")
    assert other.tower_of(8).space.key != usual.space.key
    assert "127.0.0.1:1" in str(other.refusal(answered({}, 500), 0.0))


@pytest.mark.parametrize("name", ["gemini:gemini-embedding-2", "voyage:voyage-3.5", "jina:jina-embeddings-v3"])
def test_roles_are_two_towers_of_one_space(name: str) -> None:
    """Texts to search with and texts that are found are compared, and never taken for each other by a cache."""
    query, document = opened(name).tower, opened(f"{name}?role=document").tower
    assert query is not None
    assert document is not None
    assert query.space.key == document.space.key
    assert query.fingerprint != document.fingerprint


@pytest.mark.parametrize("name", list(VARIABLES))
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b"null", b'{"data": [1]}', b'{"embeddings": [1]}', b"[" * 100_000]
)
def test_an_answer_of_another_shape_is_not_believed(name: str, body: bytes) -> None:
    """A page, a part of an answer or another service's answer is a ProviderError."""
    with pytest.raises(ProviderError):
        matrix(opened(name).read(answered(body), "text", 1), 1, provider="x")


def test_a_wrong_key_is_named_by_its_variable() -> None:
    """401 says which variable to set, and never repeats the key."""
    for name, variable in VARIABLES.items():
        said = str(opened(name, SETTINGS).refusal(answered({"message": f"bad key {KEY}"}, 401), 0.0))
        assert variable in said
        assert KEY not in said
