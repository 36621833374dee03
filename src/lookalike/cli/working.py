"""`lookalike worker`: indexes the pictures that were ordered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from threading import Event
from types import FrameType

import click

from lookalike import __version__, app
from lookalike.cli.models import ensure_here
from lookalike.cli.options import (
    WholeNumber,
    index_option,
    model_option,
    precision_option,
)
from lookalike.config import Config
from lookalike.http import logs
from lookalike.index import Index
from lookalike.places import Address
from lookalike.service import open_service
from lookalike.spaces import Modality, Space
from lookalike.transfer import open_pictures
from lookalike.types import Rows
from lookalike.working import HostedEmbedding, Lending, ServiceEmbedding, Workplace, run_feed
from lookalike.working.indexing import Writable

CONCURRENCY = 16
"""Two full batches: one with the model, one being read."""


@click.command()
@click.option(
    "--concurrency",
    type=WholeNumber(min=1),
    default=CONCURRENCY,
    show_default=True,
    help="Pictures that are worked on at the same time.",
)
@model_option
@precision_option
@index_option
@click.pass_obj
def worker(config: Config, concurrency: int) -> None:
    """Index the pictures that were ordered: with POST /items, by a webhook, or from the queue.

    Any number of workers may run, on any machine, for an index in PostgreSQL; a folder is written by one at a time.
    Ctrl-C or SIGTERM finishes what was begun, a second one ends at once: what was begun is then done again by
    another. The log goes to standard error, a JSON object a line.
    """
    logs.configure(config.serve.log_level)
    stopping = Event()
    with _signals(stopping):
        while _work(config, concurrency, stopping):
            click.echo("The index was switched to another space: its model is opened.")
    click.echo("Stopped.")


def _work(config: Config, concurrency: int, stopping: Event) -> bool:
    """Work until told to stop, or, True, until the index was switched to another space."""
    with Index.open(config=replace(config, precision="exact", fallback=())) as index:
        chosen = replace(index.model_config, precision=config.precision, fallback=config.fallback)
        space, n_items = index.space, index.stats().items
    ensure_here(chosen.model, chosen.hub, space)
    feed = app.open_feed(chosen.index)
    with _lent(chosen, stopping) as lend, _embedding(chosen, space, stopping) as embed:
        click.echo(f"lookalike {__version__} works on the orders of {click.style(str(chosen.index), bold=True)}")
        click.echo(f"  model  {chosen.model}, {chosen.precision}")
        click.echo(f"  index  {n_items:,} items, {space.id}")
        click.echo(f"  works on {concurrency} pictures at a time")
        place = Workplace(lend=lend, pictures=open_pictures(chosen), embed=embed, max_bytes=chosen.max_bytes)
        return run_feed(feed, place, concurrency=concurrency, stopping=stopping)


@contextmanager
def _lent(config: Config, stopping: Event) -> Iterator[Callable[[], AbstractContextManager[Writable]]]:
    """The store: one for all of the time, or, of a folder, open only while there is something to write."""
    open_store = partial(app.open_store, config.index, write=True)
    if not isinstance(config.index, Address):
        yield Lending(open_store, stopping)
        return
    with open_store() as store:
        yield lambda: nullcontext(store)


@contextmanager
def _embedding(config: Config, space: Space, stopping: Event) -> Iterator[Callable[[bytes, str], tuple[Rows, Space]]]:
    """What makes the vectors, while the block runs."""
    if app.is_hosted(config.model):
        yield HostedEmbedding(app.Embedder.open(config=config, space=space))
        return
    service = open_service(config, _Nobody(), space=space)
    try:
        yield ServiceEmbedding(service, stopping)
    finally:
        service.close(drain_s=0)


class _Nobody:
    """Takes the figures of a service that nobody asks for any."""

    def observe(self, stage: str, seconds: float, *, modality: Modality | None = None) -> None:
        """Nothing."""

    def count(self, event: str, n: int = 1) -> None:
        """Nothing."""


@contextmanager
def _signals(stopping: Event) -> Iterator[None]:
    """The first signal to stop sets the event, the second ends the process."""

    def stop(sign: int, _: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + sign)
        stopping.set()
        click.echo("Stopping: what was begun is finished first.")

    before = {sign: signal.signal(sign, stop) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
