"""How a hosted model is named: "openai:text-embedding-3-small", "openai:bge-m3?base_url=http://localhost:11434/v1"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit

from lookalike.errors import ConfigError
from lookalike.messages import address_of
from lookalike.secret import Secret

PROVIDERS = ("openai", "azure", "huggingface", "cohere", "gemini", "voyage", "jina", "bedrock", "lookalike")
"""The providers that a model's name may begin with."""

OPTIONS = ("dimensions", "base_url", "role", "region", "api_version", "images")
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
        images: Whether the model embeds pictures too, at servers that do not say so (OpenAI's API, as Infinity has it).
    """

    provider: str
    model: str
    dimensions: int = 0
    base_url: str = ""
    role: Role = "query"
    region: str = ""
    api_version: str = ""
    images: bool = False

    @classmethod
    def parse(cls, text: str) -> ModelRef | None:
        """The model that a name stands for; None if it is no hosted one.

        Raises:
            ConfigError: It is, and something in it cannot be used.
        """
        provider, colon, rest = text.partition(":")
        if not colon or provider.lower() not in PROVIDERS:
            return None
        if not text.isprintable():
            raise ConfigError(f"{text!r}: there is a line break in it, or another character that no name has.")
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
        if options.get("images", "0") not in ("0", "1"):
            raise ConfigError(f"{text}: images is {options['images']!r}; it must be 1 or 0.")
        return cls(
            provider=provider.lower(),
            model=model,
            dimensions=int(dimensions),
            base_url=address_of(options["base_url"])[0] if "base_url" in options else "",
            role=role,
            region=options.get("region", ""),
            api_version=options.get("api_version", ""),
            images=options.get("images") == "1",
        )

    def __str__(self) -> str:
        """The name that `parse` reads back."""
        options = {
            "dimensions": self.dimensions or "",
            "base_url": self.base_url,
            "role": "" if self.role == "query" else self.role,
            "region": self.region,
            "api_version": self.api_version,
            "images": "1" if self.images else "",
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
        timeout_s: How long one request may take, all its tries included, where the caller does not say how long the
            call may; see `pacing.Patience`.
        proxy: The proxy for https addresses; empty for none.
        no_proxy: Hosts that are reached without it, between commas, as the variable NO_PROXY has them.
    """

    keys: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    base_urls: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    timeout_s: float = 60.0
    proxy: str = field(default="", repr=False)  # a password may be in it
    no_proxy: str = ""

    def proxy_for(self, base_url: str) -> str:
        """The proxy on the way to an address; empty for none."""
        parts = urlsplit(base_url)
        names = [name.strip().lstrip(".").lower() for name in self.no_proxy.split(",")]
        hosts = {parts.netloc.lower(), parts.hostname or ""}
        is_direct = any(name == "*" or f".{host}".endswith(f".{name}") for name in names if name for host in hosts)
        return "" if is_direct or parts.scheme != "https" else self.proxy


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


def placed(ref: ModelRef, settings: ProviderSettings, *, usual: str = "", variable: str = "") -> tuple[ModelRef, str]:
    """The model with its address, if that is not the usual one; and where it is.

    Args:
        ref: The model as it was named; its own `base_url` wins over the variable's.
        settings: What the variables say.
        usual: Where the provider is if nobody says otherwise; empty if there is no such place.
        variable: What holds an address, for errors.

    Raises:
        ConfigError: Nobody says where it is, or it is no address.
    """
    base_url = ref.base_url or settings.base_urls.get(ref.provider, "") or usual
    if not base_url:
        raise ConfigError(f"{ref} does not say where it is: set {variable}, or write ?base_url=https://... behind it.")
    base_url, _ = address_of(base_url, setting=f"base_url or {variable}" if variable else "base_url")
    return replace(ref, base_url="" if base_url == usual else base_url), base_url
