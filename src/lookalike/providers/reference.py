"""How a hosted model is named: "openai:text-embedding-3-small", "openai:bge-m3?base_url=http://localhost:11434/v1"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlencode

from lookalike.errors import ConfigError
from lookalike.secret import Secret

PROVIDERS = ("openai", "azure", "huggingface", "cohere", "gemini", "voyage", "jina", "bedrock", "lookalike")
"""The providers that a model's name may begin with."""

OPTIONS = ("dimensions", "base_url", "role", "region", "api_version")
"""What may follow a model's name, after "?"."""

Role = Literal["query", "document"]
"""What a text is embedded as, where a model tells the two apart: what is looked for, or what is found."""


ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A hosted model, named.

    Attributes:
        provider: One of PROVIDERS.
        model: The provider's name for it; for "lookalike" and for endpoints of Hugging Face their address.
        dimensions: Length of its vectors, where that can be chosen; 0 for the provider's own.
        base_url: Where the provider is, instead of its usual place; without a slash at the end.
        role: What texts are embedded as.
        region: Of Bedrock.
        api_version: Of Azure.
    """

    provider: str
    model: str
    dimensions: int = 0
    base_url: str = ""
    role: Role = "query"
    region: str = ""
    api_version: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelRef | None:
        """The model that a name stands for; None if it is no hosted one.

        Raises:
            ConfigError: It is, and something in it cannot be used.
        """
        provider, colon, rest = text.partition(":")
        if not colon or provider.lower() not in PROVIDERS:
            return None
        model, _, query = rest.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        unknown = sorted(options.keys() - set(OPTIONS))
        if unknown:
            raise ConfigError(f"{text}: there is no option {unknown[0]!r}; there are: {', '.join(OPTIONS)}.")
        if not model:
            raise ConfigError(f"{text!r} names no model: write provider:model, such as openai:text-embedding-3-small.")
        dimensions, asked = options.get("dimensions", "0"), options.get("role", "query")
        if not dimensions.isdecimal():
            raise ConfigError(f"{text}: dimensions is {dimensions!r}; it must be a whole number.")
        role = next((role for role in ROLES if role == asked), None)
        if role is None:
            raise ConfigError(f"{text}: role is {asked!r}; it must be query or document.")
        return cls(
            provider=provider.lower(),
            model=model,
            dimensions=int(dimensions),
            base_url=options.get("base_url", "").rstrip("/"),
            role=role,
            region=options.get("region", ""),
            api_version=options.get("api_version", ""),
        )

    def __str__(self) -> str:
        """The name that `parse` reads back."""
        options = {
            "dimensions": self.dimensions or "",
            "base_url": self.base_url,
            "role": "" if self.role == "query" else self.role,
            "region": self.region,
            "api_version": self.api_version,
        }
        query = urlencode({name: value for name, value in options.items() if value}, safe="/:")
        return f"{self.provider}:{self.model}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What the providers' own variables say.

    Attributes:
        keys: The key of each provider, by its name.
        base_urls: Where a provider is, instead of its usual place, by its name.
        region: Of Bedrock.
        timeout_s: How long a call may take, all its retries included, where the caller does not say.
        proxy: The proxy for https addresses; empty for none.
    """

    keys: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    base_urls: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    timeout_s: float = 60.0
    proxy: str = ""


def require_key(settings: ProviderSettings, provider: str, variable: str) -> Secret:
    """The key of a provider.

    Args:
        settings: What the variables say.
        provider: Its name in PROVIDERS.
        variable: The variable to set, as the provider's own documents name it.

    Raises:
        ConfigError: There is none.
    """
    key = settings.keys.get(provider)
    if not key:
        raise ConfigError(f"There is no key for {provider}: set the variable {variable} to it.")
    return key
