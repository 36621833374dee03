"""Opening a hosted model by its name: its file, its key, and what all vectorizers of a key share."""

from __future__ import annotations

import pytest

from lookalike.errors import ConfigError
from lookalike.providers.reference import ModelRef, ProviderSettings, require_key
from lookalike.providers.remote import RemoteVectorizer
from lookalike.providers.table import open_vectorizer
from lookalike.secret import Secret


def opened(name: str, key: str) -> RemoteVectorizer:
    ref = ModelRef.parse(name)
    assert ref is not None
    return open_vectorizer(ref, ProviderSettings(keys={ref.provider: Secret(key)}))


def test_vectorizers_of_one_key_share_its_pace() -> None:
    """A provider counts the requests of a key, whoever sends them; another key has a pace of its own."""
    name = "openai:text-embedding-3-small"
    first, same, other = (opened(name, key) for key in ("key-a", "key-a", "key-b"))
    assert first._sender.pace is same._sender.pace
    assert first._sender.pace is not other._sender.pace


def test_nothing_is_asked_when_a_model_is_opened() -> None:
    """A model whose vectors' length is known is opened without a request."""
    assert opened("openai:text-embedding-3-small", "key-a").tower.space.dim == 1536


def test_a_missing_key_names_its_variable() -> None:
    """Without a key the error says which variable to set."""
    with pytest.raises(ConfigError, match="COHERE_API_KEY"):
        require_key(ProviderSettings(keys={"cohere": Secret("")}), "cohere", "COHERE_API_KEY")
    assert require_key(ProviderSettings(keys={"cohere": Secret("k")}), "cohere", "COHERE_API_KEY").reveal() == "k"
