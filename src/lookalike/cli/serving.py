"""`lookalike serve`: the HTTP service."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lookalike import __version__, app
from lookalike.beside import watching
from lookalike.cli.options import WholeNumber, index_option, model_option, precision_option
from lookalike.config import LOG_LEVELS, Config
from lookalike.errors import (
    ConfigError,
    MissingDependency,
    ModelError,
    ModelNotFound,
    SpaceMismatch,
    StoreNotFound,
)
from lookalike.health import ServiceStatus
from lookalike.http import logs, sockets
from lookalike.http.keys import read_keys
from lookalike.index import Index
from lookalike.places import Address
from lookalike.service import Served, open_service
from lookalike.spaces import Space, Tower
from lookalike.weights.hub_answers import absence
from lookalike.weights.local import WEIGHTS_FILE, hub_model, locate

if TYPE_CHECKING:
    from lookalike.http.context import Context


def _serve_setting(name: str, *declarations: str, **attributes: Any) -> Callable[[Any], Any]:
    """An option whose value, if given, replaces the service's setting of that name."""

    def put(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            config: Config = ctx.obj or Config.from_environ()
            ctx.obj = replace(config, serve=replace(config.serve, **{name: value}))

    return click.option(*declarations, expose_value=False, callback=put, **attributes)


@click.command()
@model_option
@precision_option
@index_option
@_serve_setting("host", "--host", metavar="ADDRESS", help="Where to listen; this machine only by default.")
@_serve_setting("port", "--port", type=WholeNumber(0, 65_535), help="8000 by default; 0 for any that is free.")
@_serve_setting("workers", "--workers", type=WholeNumber(min=1), help="Worker processes; cores + 1 by default.")
@_serve_setting("log_level", "--log-level", type=click.Choice(LOG_LEVELS), help="info by default: a line per request.")
@click.pass_obj
def serve(config: Config) -> None:
    """Answer over HTTP: embeddings, search and OpenAI's API on one port.

    Pictures that are handed in are added to an index in a folder; without an index there is no search. The log goes to
    standard error, a JSON object a line. Ctrl-C finishes what was accepted, a second one ends at once.
    """
    began_at = time.monotonic()
    read_keys(config.serve)  # a mistake in them ends the command before anything is started
    served = _followed(config)
    logs.configure(config.serve.log_level)
    with sockets.bind(config.serve.host, config.serve.port) as listener:
        try:
            _run(_Start(config, served, listener, began_at))
        except ModuleNotFoundError as error:
            raise MissingDependency(error.name or "fastapi", extra="serve") from error
    click.echo("Stopped.")


@dataclass(frozen=True, slots=True)
class _Start:
    """What is known before the service is there: what was asked for, what is served, on which socket, and since when
    the command runs."""

    config: Config
    served: Served
    listener: socket.socket
    began_at: float


def _run(start: _Start) -> None:
    from lookalike.metrics import Metrics

    metrics = Metrics()
    service = open_service(start.served.config, metrics, space=start.served.space)
    try:
        # The web framework takes a quarter of a second to import; meanwhile the workers load the model.
        from lookalike.http import server
        from lookalike.http.following import Follower
        from lookalike.http.opening import open_context

        served, follower = start.served, None
        with ExitStack() as stack:
            context = stack.enter_context(open_context(served.config, service, metrics, number=served.number))
            if _follows(start.config):
                follower = Follower(served, partial(_followed, start.config), metrics)
                stack.callback(follower.close)
            _introduce(start, context)
            server.run(context, start.listener, on_status=_Announcer(start, context), follower=follower)
    finally:
        service.close(drain_s=0)


def _follows(config: Config) -> bool:
    """Whether the model is the index's own, whichever that is; one that was asked for stays."""
    return config.model == "auto" and not (isinstance(config.index, Address) and config.index.table)


def _followed(config: Config) -> Served:
    """What is to be served, and in which space of the index, if that is to be followed.

    Raises:
        ModelError, SpaceMismatch, ConfigError: As of `_with_model`.
    """
    if not _follows(config):
        return _with_model(config)
    try:
        with watching(config.index) as number_now:
            number = number_now()
            return _with_model(config, number)
    except StoreNotFound:
        return _with_model(config)


def _with_model(config: Config, number: int | None = None) -> Served:
    """What is to be served: the model of the index, if there is one.

    Raises:
        ModelError: There is no such model, or it is not here and may not be fetched: neither passes by itself.
        SpaceMismatch: The model that was asked for is not the index's.
    """
    try:
        plain = replace(config, precision="exact", fallback=())
        with Index(app.open_store(config.index, number=number), plain) as index:
            chosen = replace(index.model_config, precision=config.precision)
            space = _checked_space(index, chosen, is_here=_is_here(chosen))
            return Served(replace(chosen, fallback=config.fallback), f"{index.stats().items:,} items", space, number)
    except StoreNotFound:
        chosen = replace(config, model=app.choose_model(config))
        _is_here(chosen)
        return Served(chosen)


def _is_here(config: Config) -> bool:
    """Whether the model is on this machine, or else will be fetched."""
    model = app.model_behind(config.model)
    if app.is_hosted(model):
        who = "is hosted already" if model == config.model else "reads words with a hosted model"
        raise ConfigError(
            f"{config.model} {who}: `lookalike serve` runs models of this machine. Use the hosted one from "
            "`lookalike embed`, `index` and `search`, or from Python with Embedder.open."
        )
    is_here = locate(model, config.hub) is not None
    if not is_here and config.hub.offline:
        raise ModelNotFound(absence(hub_model(model), config.hub), model=model)
    return is_here


def _checked_space(index: Index, config: Config, *, is_here: bool) -> Space | None:
    """The index's space, if the model writes into it by a proof of parity; None if it is the model's own."""
    model = config.model
    if is_here:
        # One that cannot be used is no reason not to start: /readyz says so, and it is tried again.
        with suppress(ModelError):
            if index.embedder.tower.proven is not None:
                # The proof is of one precision; the index was opened with the one that is quick to open.
                return app.Embedder.open(config=config, space=index.space).space
        return None
    if model.startswith(app.BRIDGE):
        index.space.require(app.load_bridge(model).target, doing="Searching")
        return None
    # Of one that is yet to be fetched the published digest is enough to tell that it is another.
    digests = {file.sha256 for file in hub_model(model).files if file.name == WEIGHTS_FILE}
    if digests.isdisjoint({None, index.space.weights}):
        raise SpaceMismatch(
            f"This index holds vectors of {index.space.id}, and {model} is another model: the two cannot be compared. "
            "Leave the model out to use the index's own, or name another index with --index.",
            expected=index.space.id,
            actual=model,
        )
    return None


def _introduce(start: _Start, context: Context) -> None:
    config, listener, holds = start.served.config, start.listener, start.served.holds
    everywhere = ", and on every other address of this machine" if sockets.is_unspecified(listener) else ""
    click.echo(f"lookalike {__version__} listens on {click.style(sockets.url_of(listener), bold=True)}{everywhere}")
    click.echo(f"  model  {config.model}, {config.precision}")
    for model in config.fallback:
        click.echo(f"         {model} stands in for it")
    if holds:
        click.echo(f"  index  {config.index}, {holds}")
    else:
        click.echo(f"  index  none at {config.index}: no search until `lookalike index FOLDER` has made one.")
    if config.model == app.BUILT_IN:
        click.secho("  `tiny` knows clothing and simple things; for photos of anything: --model clip", fg="yellow")
    if not sockets.is_loopback(listener) and not context.gatekeeper.has_keys:
        _warn_open(config.serve.host)


def _warn_open(host: str) -> None:
    click.secho(
        f"WARNING: everybody who can reach {host} can use this service: no API keys are configured.\n"
        "         Set LOOKALIKE_API_KEYS_FILE, or leave out --host to serve this machine only.",
        fg="red",
        bold=True,
        err=True,
    )


class _Announcer:
    """Says aloud that the service has become ready, or no longer is, and what to try first; see `server.OnStatus`."""

    def __init__(self, start: _Start, context: Context) -> None:
        self._start = start
        self._context = context
        self._is_ready = self._has_been_ready = False
        self._mismatch = ""

    def __call__(self, status: ServiceStatus, mismatch: str, stopping: bool) -> None:
        if stopping:
            click.echo(f"Stopping, within {self._context.settings.drain_s:g} s: what was accepted is finished first.")
            return
        if not status.ready or status.tower is None:
            self._is_ready = False
            click.echo(f"Not ready{'' if self._has_been_ready else ' yet'}: {status.reason}")
            return
        if self._has_been_ready and not self._is_ready:
            click.echo("Ready again.")
        elif not self._is_ready:
            self._tell_ready(status, status.tower)
        self._is_ready = self._has_been_ready = True
        if mismatch and mismatch != self._mismatch:
            click.secho(f"No search: {mismatch}", fg="red")
        self._mismatch = mismatch

    def _tell_ready(self, status: ServiceStatus, tower: Tower) -> None:
        workers, took_s = len(status.workers), time.monotonic() - self._start.began_at
        click.secho(
            f"Ready after {took_s:.1f} s: {workers} worker{'s' * (workers != 1)}, space {tower.space.id}", fg="green"
        )
        if tower.approximation:
            click.secho(tower.approximation.note, fg="yellow")
        url = sockets.url_of(self._start.listener)
        key = " -H 'x-api-key: KEY'" if self._context.gatekeeper.has_keys else ""
        # Not curl's --json, which is younger than the curl of many a server.
        body = """-H 'content-type: application/json' -d '{"text": "a red dress"}'"""
        click.echo(f"Try: curl {url}/embed/text{key} {body}")
        if self._start.served.holds:
            click.echo(f"     curl '{url}/search/images?q=a+red+dress'{key}")
