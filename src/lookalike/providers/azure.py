"""OpenAI's models at Azure: the API of `openai` behind an address of one's own, with the key in another header.

A model is named by its deployment. The address is the resource's ("https://NAME.openai.azure.com"): below it is the
v1 API, or, with `api_version=2024-10-21`, the older one, whose addresses have the deployment in them.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, urlencode

from lookalike.errors import ConfigError
from lookalike.messages import header_safe
from lookalike.providers.openai import OWN_LIMITS, EmbeddingsApi
from lookalike.providers.reference import ModelRef, ProviderSettings, placed, require_key
from lookalike.providers.refusals import Asked

KEY = "AZURE_OPENAI_API_KEY"

V1 = "/openai/v1"


def open_adapter(ref: ModelRef, settings: ProviderSettings) -> EmbeddingsApi:
    """The adapter of a deployment at Azure.

    Raises:
        ConfigError: There is no key or no address, or images=1 is asked for.
    """
    ref, base_url = placed(ref, settings, variable="AZURE_OPENAI_ENDPOINT")
    base_url = base_url.removesuffix(V1)  # Azure's pages show the address with and without it
    ref = replace(ref, base_url=base_url)
    key = require_key(settings, "azure", KEY)
    if ref.images:
        raise ConfigError(f"{ref}: OpenAI's models at Azure embed texts only; leave out images=1.")
    return EmbeddingsApi(
        ref=ref,
        asked=Asked(provider=f"azure at {base_url}", model=ref.model, variable=KEY, key=key),
        base_url=base_url,
        path=_path(ref),
        headers={"api-key": header_safe(key.reveal(), setting=KEY)},
        dim=ref.dimensions,
        limits=OWN_LIMITS,
    )


def _path(ref: ModelRef) -> str:
    if not ref.api_version:
        return f"{V1}/embeddings"
    query = urlencode({"api-version": ref.api_version})
    return f"/openai/deployments/{quote(ref.model, safe='')}/embeddings?{query}"
