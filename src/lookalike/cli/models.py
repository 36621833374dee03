"""`lookalike models`: which models there are, fetching them, checking them, finding their files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lookalike.app import is_hosted, model_behind
from lookalike.cli.output import amount
from lookalike.config import Config
from lookalike.embed import require_space
from lookalike.errors import ModelError, ModelNotFound
from lookalike.known import KNOWN_MODELS, KnownModel
from lookalike.spaces import Space
from lookalike.weights.local import FileCheck, HubSettings, ModelFolder, locate, verify

if TYPE_CHECKING:
    from lookalike.weights.hub import Progress

_COLOUR = {
    "ok": "green",
    "unpinned": "yellow",
    "wrong digest": "red",
    "missing": "red",
    "here": "green",
    "damaged": "red",
}


@click.group()
def models() -> None:
    """List, fetch and check models.

    NAME is a name of the list, an alias of it, a folder, or owner/name[@revision] of the Hugging Face hub.
    """


@models.command("list")
@click.pass_obj
def list_models(config: Config) -> None:
    """Show the known models and whether they are here."""
    rows = [_row(model, config.hub) for model in KNOWN_MODELS]
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console

    console = Console()
    for row in rows:
        _print_row(console, row)
    console.print(
        "Fetch one with `lookalike models pull NAME`. Any CLIP or BERT-type sentence model with a model.safetensors "
        "works too: give its owner/name on the Hugging Face hub, or its folder.",
        highlight=False,
    )


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def pull(config: Config, names: tuple[str, ...]) -> None:
    """Fetch models, and print where they are.

    What is here is hashed, and fetched again only if it is damaged; a download that was cut short goes on where it
    stopped.
    """
    from lookalike.weights.hub import fetch
    from lookalike.weights.hub_cache import drop_damaged

    for name in names:
        here = locate(name, config.hub)
        if here is not None and here.revision and not config.hub.offline:
            drop_damaged(here, config.hub)
        with ExitStack() as stack:
            folder = fetch(name, config.hub, _reporter(stack))
        click.echo(f"{folder.name}\t{folder.path}")


@models.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_context
def verify_models(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Hash every file again and compare.

    Without a NAME: of all known models that are here.

    Exits with 1 if a file is missing or not the one that was published.
    """
    settings: HubSettings = ctx.obj.hub
    folders = {name: _present(name, settings) for name in names} if names else _all_present(settings)
    if not folders:
        click.echo("No model was fetched yet; `tiny` is part of lookalike. Fetch one: lookalike models pull clip")
    sound = [_print_checks(name, folder) for name, folder in folders.items()]  # all of them, before the verdict
    if not all(sound):
        ctx.exit(1)


@models.command()
@click.argument("name")
@click.pass_obj
def path(config: Config, name: str) -> None:
    """Print the folder of a model that is here."""
    click.echo(_present(name, config.hub).path)


def ensure_here(name: str, settings: HubSettings, space: Space | None = None) -> None:
    """Fetch a model that is not on this machine, and show how far it is; offline, its user will say that it lacks.

    One that can never be of the space that is wanted, if one is, is refused first.
    """
    if space is not None:
        require_space(name, space)
    name = model_behind(name)
    if settings.offline or is_hosted(name) or locate(name, settings) is not None:
        return
    from lookalike.weights.hub import fetch

    with ExitStack() as stack:
        fetch(name, settings, _reporter(stack))


def _row(model: KnownModel, settings: HubSettings) -> tuple[str, ...]:
    try:
        folder = locate(model.name, settings)
    except ModelError:
        state = "damaged"
    else:
        state = "here" if folder else "not here"
        if folder and not model.n_bytes:
            return _cells(model, _size_of(folder.path), state)
    return _cells(model, model.n_bytes, state)


def _cells(model: KnownModel, n_bytes: int, state: str) -> tuple[str, ...]:
    modalities = " + ".join(model.modalities)
    size = amount(n_bytes) if n_bytes else "?"
    return (model.name, ", ".join(model.aliases), modalities, str(model.dim), size, model.licence, state, model.note)


def _print_row(console: Any, row: tuple[str, ...]) -> None:
    """One model, readable at any width: its name and state, then what it is for, then the figures."""
    from rich.padding import Padding
    from rich.text import Text

    name, aliases, modalities, dim, size, licence, state, note = row
    console.print(Text.assemble((name, "bold"), "  ", (state, _COLOUR.get(state, "dim"))))
    console.print(Padding(Text(note), (0, 0, 0, 2)))
    facts = f"{modalities} · {dim} dimensions · {size} · {licence} · also called {aliases}"
    console.print(Padding(Text(facts, style="dim"), (0, 0, 1, 2)))


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _present(name: str, settings: HubSettings) -> ModelFolder:
    folder = locate(name, settings)
    if folder is None:
        raise ModelNotFound(
            f"{name} is not on this machine, or not whole. Fetch it with `lookalike models pull {name}`.", model=name
        )
    return folder


def _all_present(settings: HubSettings) -> dict[str, ModelFolder]:
    published = (model.name for model in KNOWN_MODELS if model.files)
    return {name: folder for name in published if (folder := locate(name, settings))}


def _print_checks(name: str, folder: ModelFolder) -> bool:
    """Print the files of the model that was asked for by this name; True if all are sound."""
    click.secho(folder.name, bold=True, nl=False)
    click.secho(f"  {folder.path}", dim=True)
    checks = verify(folder)
    for check in checks:
        click.echo(f"  {click.style(f'{check.status:12}', fg=_COLOUR[check.status])}  {_explained(check)}")
    sound = all(check.status in ("ok", "unpinned") for check in checks)
    if not sound:
        remedy = f"run `lookalike models pull {name}`" if folder.revision else "install or copy it again"
        click.secho(f"  {folder.name} is damaged: {remedy}.", fg="red")
    return sound


def _explained(check: FileCheck) -> str:
    if check.status == "wrong digest":
        return f"{check.name}\n                expected  {check.expected}\n                actual    {check.actual}"
    return f"{check.name}  {click.style(check.actual[:12], dim=True)}"


def _reporter(stack: ExitStack) -> Callable[[Progress], None]:
    """What shows a download: bars on a terminal, a line per file elsewhere; on stderr, for stdout has the path."""
    from rich.console import Console

    console = Console(stderr=True)
    return _bars(stack, console) if console.is_terminal else _lines()


def _lines() -> Callable[[Progress], None]:
    def show(step: Progress) -> None:
        if step.note:
            click.echo(step.note, err=True)
        elif step.done_bytes == step.total_bytes:
            click.echo(f"{step.file}\t{amount(step.done_bytes)}", err=True)

    return show


def _bars(stack: ExitStack, console: Any) -> Callable[[Progress], None]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    stack.enter_context(bars)
    tasks: dict[str, Any] = {}

    def show(step: Progress) -> None:
        if step.note:
            console.print(step.note, style="yellow", markup=False, highlight=False)
            return
        if step.file not in tasks:
            tasks[step.file] = bars.add_task(step.file, total=step.total_bytes)
        bars.update(tasks[step.file], completed=step.done_bytes, total=step.total_bytes)

    return show
