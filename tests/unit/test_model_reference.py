"""How hosted models are named, and where they are."""

from __future__ import annotations

import pytest

from lookalike.config import Config
from lookalike.errors import ConfigError
from lookalike.providers.reference import ModelRef, ProviderSettings, placed

USUAL = "https://api.openai.com/v1"


def named(text: str) -> ModelRef:
    ref = ModelRef.parse(text)
    assert ref is not None
    return ref


@pytest.mark.parametrize(
    "text",
    [
        "openai:text-embedding-3-small",
        "openai:text-embedding-3-small?dimensions=256",
        "openai:org/clip?base_url=http://127.0.0.1:7997/v1&images=1",
        "azure:mine?base_url=https://x.openai.azure.com&api_version=2024-10-21",
        "lookalike:http://127.0.0.1:8000",
        "cohere:embed-v4.0?role=document",
    ],
)
def test_a_name_is_read_back(text: str) -> None:
    """A model's name stands for the same model when it is read again; it is what an index remembers."""
    assert str(named(text)) == text


def test_a_name_without_a_provider_is_no_hosted_model() -> None:
    """Repositories, folders and drives are not taken for hosted models."""
    assert [ModelRef.parse(name) for name in ("openai/clip-vit-base-patch32", "clip", "C:\\models\\clip")] == [None] * 3


@pytest.mark.parametrize(
    "options",
    ["dimension=3", "dimensions=few", "role=both", "images=yes", "base_url=localhost:80", "base_url=http://u:p@h/v1"],
)
def test_an_option_that_cannot_be_used_is_refused(options: str) -> None:
    """A misspelt option, or one with a value that it does not take, is an error and never left out."""
    with pytest.raises(ConfigError):
        named(f"openai:m?{options}")


def test_a_name_says_where_its_model_is_before_a_variable_does() -> None:
    """The name's address wins over the variable's, that over the usual one; the usual one is no part of the name."""
    settings = ProviderSettings(base_urls={"openai": "http://variable:1/v1/"})
    here = placed(named("openai:m?base_url=http://name:1/v1"), settings, usual=USUAL)
    assert [str(here[0]), here[1]] == ["openai:m?base_url=http://name:1/v1", "http://name:1/v1"]
    there = placed(named("openai:m"), settings, usual=USUAL)
    assert [str(there[0]), there[1]] == ["openai:m?base_url=http://variable:1/v1", "http://variable:1/v1"]
    usual = placed(named("openai:m"), ProviderSettings(), usual=USUAL)
    assert [str(usual[0]), usual[1]] == ["openai:m", USUAL]
    assert placed(named(f"openai:m?base_url={USUAL}/"), ProviderSettings(), usual=USUAL) == usual


def test_a_provider_without_a_place_names_the_variable() -> None:
    """Where nobody says where the provider is, or not an address, the variable is named."""
    with pytest.raises(ConfigError, match="AZURE_OPENAI_ENDPOINT"):
        placed(named("azure:m"), ProviderSettings(), variable="AZURE_OPENAI_ENDPOINT")
    bad = ProviderSettings(base_urls={"azure": "x.openai.azure.com"})
    with pytest.raises(ConfigError, match="AZURE_OPENAI_ENDPOINT"):
        placed(named("azure:m"), bad, variable="AZURE_OPENAI_ENDPOINT")


@pytest.mark.parametrize("name", ["openai:a\nb", "openai:a\ud800"])
def test_a_name_is_printable(name: str) -> None:
    """A line break, or a byte of the command line that is no character, is refused before it is sent or written."""
    with pytest.raises(ConfigError, match="no name has"):
        ModelRef.parse(name)


@pytest.mark.parametrize(
    ("address", "is_direct"),
    [
        ("https://api.test/v1", False),
        ("https://models.inside.test/v1", True),
        ("https://inside.test:8443", True),
        ("http://api.test/v1", True),
    ],
)
def test_the_proxy_is_for_https_addresses_that_no_proxy_leaves_to_it(address: str, is_direct: bool) -> None:
    """NO_PROXY names hosts of one's own, with all below them; plain http goes straight there."""
    config = Config.from_environ(
        {"HTTPS_PROXY": "http://me:secret@proxy.test:3128", "NO_PROXY": "localhost,.inside.test"}
    )
    assert config.providers.proxy_for(address) == ("" if is_direct else "http://me:secret@proxy.test:3128")
    assert "secret" not in repr(config)
