"""The embedding service by a configuration: worker processes that hold its model."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.app import (
    BRIDGE,
    Embedder,
    available_threads,
    choose_model,
    in_space,
    is_hosted,
    model_behind,
    open_chain,
    open_encoder,
    open_vectorizer,
)
from lookalike.config import Config, ServeSettings
from lookalike.errors import ConfigError, SpaceMismatch
from lookalike.known import known_model
from lookalike.ports import EmbeddingService, Recorder
from lookalike.providers.reference import ProviderSettings
from lookalike.spaces import Space
from lookalike.weights import local as weights
from lookalike.weights.local import HubSettings

if TYPE_CHECKING:
    from lookalike.fallback import Chain
    from lookalike.workers import WorkerPool


@dataclass(frozen=True, slots=True)
class Served:
    """What a service serves.

    Attributes:
        config: With the model.
        holds: What the index holds, for people; empty if there is none.
        space: The index's space, if that is not the model's own.
        number: The space of the index by its number; None if there is no index, or it is not to be followed.
    """

    config: Config
    holds: str = ""
    space: Space | None = None
    number: int | None = None


SLOW_IMPORTS = ("lookalike.workers.child", "lookalike.encoders.local", "onnxruntime", "tokenizers")
"""What every worker needs: imported once, before the first is started."""


def prepare_service() -> None:
    """Begin what `open_service` begins with, the process that workers are forked from; returns at once.

    For whoever has something else to do first that takes a while.
    """
    from multiprocessing import forkserver

    forkserver.set_forkserver_preload(list(SLOW_IMPORTS))
    forkserver.ensure_running()


def open_service(config: Config, recorder: Recorder, *, space: Space | None = None) -> EmbeddingService:
    """The embedding service of `config.model`: worker processes that begin to load it, and who stands in for them.

    Args:
        config: Says which model and how, and how many workers.
        recorder: Where figures go.
        space: Where its vectors shall belong, by a proof of parity if it is not the model's own; see `open_vectorizer`.

    Raises:
        ConfigError, SpaceMismatch: A model of the fallback cannot stand in for the workers.
    """
    pool = _open_pool(config, recorder, space)
    pool.start()
    if not config.fallback:
        return pool
    try:
        from lookalike.fallback import Standby

        return Standby(pool, _open_stand_ins(config, recorder, space), recorder=recorder)
    except BaseException:
        pool.close(drain_s=0)
        raise


def _open_stand_ins(config: Config, recorder: Recorder, space: Space | None) -> Chain:
    local = [model for model in config.fallback if not is_hosted(model)]
    if local:
        raise ConfigError(
            f"LOOKALIKE_FALLBACK names {', '.join(local)}: the workers of `lookalike serve` run one model, and who "
            "stands in for them is somewhere else. Name hosted models, such as lookalike:http://other-host:8000."
        )
    own = choose_model(config)
    # Nobody of these is the reference: that is the model of the workers.
    return open_chain(config.fallback, config, space=space or _space_of(own, config), recorder=recorder, reference=own)


def _space_of(model: str, config: Config) -> Space:
    """The space that the workers' vectors will belong to."""
    if model.startswith(BRIDGE):
        raise ConfigError(
            f"{model} only comes near its space, so there is no stand-in for it: unset LOOKALIKE_FALLBACK."
        )
    if weights.locate(model, config.hub) is not None:
        return open_encoder(replace(config, model=model, precision="exact", threads=1)).tower.space
    known = known_model(model)
    if known is None or not known.files:
        raise ConfigError(f"To know who can stand in for {model}, it is needed here: lookalike models pull {model}.")
    return known.space(config.orientation)


def _open_pool(config: Config, recorder: Recorder, space: Space | None) -> WorkerPool:
    from lookalike.workers import WorkerPlan, WorkerPool

    cores = available_threads(config)
    # No worker needs to know a key or a database's password, and the serving process has caches of its own.
    bare = replace(config, serve=ServeSettings(), providers=ProviderSettings(), index=Path())
    told = replace(bare, cache="off", fallback=())
    return WorkerPool(
        partial(_open_embedder, told, space),
        WorkerPlan(
            workers=config.serve.workers or max(2, cores + 1),
            cores=cores,
            fetch=partial(_fetch, model_behind(choose_model(config)), config.hub),
            preload=SLOW_IMPORTS,
        ),
        canaries=config.cache_dir / "canaries",
        recorder=recorder,
    )


def _open_embedder(config: Config, space: Space | None, threads: int) -> Embedder:
    """In this space if it is the model's own, or proven; else in its own: it embeds, and whoever searches is told."""
    vectorizer = open_vectorizer(config, threads=threads)
    if space is not None:
        with suppress(SpaceMismatch):
            vectorizer = in_space(vectorizer, space, config=config)
    return Embedder(vectorizer)


def _fetch(model: str, settings: HubSettings, tell: Callable[[str], None]) -> None:
    """Download a model that is not on this machine, and tell how far that is, once a second."""
    if weights.locate(model, settings) is not None:
        return
    from lookalike.retry import RetryPolicy
    from lookalike.weights.hub import Progress, fetch

    told_at = float("-inf")

    def report(step: Progress) -> None:
        nonlocal told_at
        if step.note or time.monotonic() - told_at >= 1.0:
            told_at = time.monotonic()
            total = f" of {step.total_bytes / 1e6:,.0f}" if step.total_bytes else ""
            tell(
                f"The model is being downloaded. {step.note or f'{step.file}: {step.done_bytes / 1e6:,.0f}{total} MB.'}"
            )

    tell(f"The model {model} is being downloaded.")
    # A longer pause would pass for a worker that is stuck: the workers have pauses of their own.
    fetch(model, settings, report, policy=RetryPolicy(longest_wait_s=60.0))
    tell("The model has been downloaded and is being made ready for this machine.")
