"""Hosted models by a configuration: the provider's client, its price, and what counts its use."""

from __future__ import annotations

import atexit

from lookalike.config import Config
from lookalike.policy import ImagePolicy
from lookalike.ports import Meter, Vectorizer
from lookalike.providers.reference import ModelRef


def open_hosted(ref: ModelRef, config: Config, policy: ImagePolicy, meter: Meter | None) -> Vectorizer:
    """A provider's model. Errors as of `app.open_vectorizer`."""
    from lookalike.providers.prices import price_of
    from lookalike.providers.table import open_vectorizer

    price = price_of(ref.provider, ref.model)
    return open_vectorizer(ref, config.providers, policy=policy, meter=meter, price=price)


def open_meters(refs: tuple[ModelRef, ...], config: Config) -> tuple[Meter, ...]:
    """What counts the use of each of these models, all within the one budget of the run.

    Raises:
        ConfigError: There is a limit, and what one of them costs is not known.
    """
    from lookalike.metering.log import FILE, UsageLog
    from lookalike.metering.meter import Budget, ModelMeter, key_name
    from lookalike.providers.prices import price_of

    budget, log = Budget(config.max_cost_usd), UsageLog(config.cache_dir / FILE)
    for ref in refs:
        budget.require_price(price_of(ref.provider, ref.model), model=str(ref))
    atexit.register(log.close)  # writes what could not be written before
    keys = config.providers.keys
    return tuple(
        ModelMeter(ref.provider, ref.model, key=key_name(keys.get(ref.provider)), log=log, budget=budget)
        for ref in refs
    )
