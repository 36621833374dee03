"""From a model's name to its vectorizer: the provider's file is imported when it is asked for."""

from __future__ import annotations

import time
from functools import lru_cache
from importlib import import_module

from lookalike.policy import ImagePolicy
from lookalike.ports import Meter
from lookalike.providers.adapter import Adapter, Limits
from lookalike.providers.billing import Bill
from lookalike.providers.pacing import Pace, Patience
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.remote import RemoteVectorizer
from lookalike.secret import Secret
from lookalike.usage import Price
from lookalike.wire import Wire


def open_vectorizer(
    ref: ModelRef,
    settings: ProviderSettings,
    *,
    policy: ImagePolicy | None = None,
    meter: Meter | None = None,
    price: Price | None = None,
) -> RemoteVectorizer:
    """A hosted model, ready to be asked.

    Nothing is sent yet where the name says who the model is. An address of Hugging Face's endpoints, or of a lookalike
    service, is asked what it is.

    Args:
        ref: Which one.
        settings: Keys, addresses, the time that a call may take, a proxy.
        policy: What the image door lets through.
        meter: Counts what is used, and says when it is enough.
        price: What the model costs, if that is known.

    Raises:
        ConfigError: The provider's key, or something else that it needs, is missing or wrong.
        ModelError: It is known that there is no such model, or that it makes no vectors.
        ProviderError: What has to be asked who it is does not say.
    """
    adapter: Adapter = import_module(f"lookalike.providers.{ref.provider}").open_adapter(ref, settings)
    return RemoteVectorizer(
        adapter,
        wire=Wire(adapter.base_url, host=adapter.name, headers={}, proxy=settings.proxy_for(adapter.base_url)),
        policy=policy,
        bill=Bill(price=price, meter=meter),
        pace=_pace(adapter.name, adapter.base_url, settings.keys.get(ref.provider), adapter.limits),
        patience=Patience(timeout_s=settings.timeout_s),
    )


@lru_cache(maxsize=64)
def _pace(name: str, base_url: str, key: Secret | None, limits: Limits) -> Pace:  # noqa: ARG001 (whose pace it is)
    # One for the process: a provider counts the requests of a key, whichever vectorizer sends them.
    return Pace(limits, provider=name, clock=time.monotonic)
