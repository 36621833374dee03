"""The caches of a configuration: where vectors are kept, and what is put around a model."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from lookalike.config import Config
from lookalike.environment import expanded
from lookalike.places import Address, place_of
from lookalike.ports import Meter, VectorCache, Vectorizer
from lookalike.providers.reference import ModelRef

if TYPE_CHECKING:
    from lookalike.cache.postgres import PostgresCache
    from lookalike.cache.sqlite import SqliteCache


def cached(vectorizer: Vectorizer, config: Config, meter: Meter | None) -> Vectorizer:
    """The model of the configuration behind its cache, if it has one.

    Args:
        vectorizer: The model.
        config: Says which one it is, and where vectors are kept.
        meter: Counts what the cache saves.
    """
    cache = open_cache(config, hosted=ModelRef.parse(config.model) is not None)
    if cache is None:
        return vectorizer
    from lookalike.caching import CachedVectorizer

    return CachedVectorizer(vectorizer, cache, meter=meter)


def open_cache_keeper(config: Config) -> SqliteCache | PostgresCache | None:
    """Where vectors are kept from one process to the next, by `config.cache`; None if that is "off".

    Raises:
        ConfigError: The address of a database cannot be read.
        MissingDependency: It is a PostgreSQL, and psycopg is not installed.
    """
    if config.cache == "off":
        return None
    place = config.cache_dir / "vectors.sqlite" if config.cache == "auto" else place_of(config.cache)
    if isinstance(place, Address):
        from lookalike.cache.postgres import PostgresCache

        return PostgresCache(place)
    from lookalike.cache.sqlite import SqliteCache

    return SqliteCache(expanded(place, "LOOKALIKE_CACHE"))


def open_cache(config: Config, *, hosted: bool) -> VectorCache | None:
    """The cache to surround a model with, memory in front; None if there is to be none.

    Args:
        config: "auto" means one for hosted models only: what a model on this machine computes costs no money.
        hosted: Whether somebody else runs the model.
    """
    keeper = open_cache_keeper(config) if hosted or config.cache != "auto" else None
    if keeper is None:
        return None
    from lookalike.cache.layers import LayeredCache
    from lookalike.cache.memory import MemoryCache

    atexit.register(keeper.close)  # writes what was noted: hits, and when an entry was used
    return LayeredCache(MemoryCache(), keeper)
