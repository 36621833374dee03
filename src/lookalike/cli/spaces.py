"""`lookalike spaces`: another model for an index, filled in the background, compared, and switched to in a moment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from lookalike.app import Embedder, bulk_threads, open_store
from lookalike.bank import caption_bank
from lookalike.beside import chosen, open_filling, open_spaces
from lookalike.changeover import SpaceEntry, SpaceKeeper
from lookalike.changing import Comparison, FillReport, Side, Terms, compare, fill
from lookalike.cli.indexing import print_problems, progress_bar, resumable
from lookalike.cli.models import ensure_here
from lookalike.cli.options import (
    WholeNumber,
    index_option,
    json_option,
    max_cost_option,
    orientation_option,
    precision_option,
    threads_option,
)
from lookalike.cli.output import amount, counted, dollars, duration, shown
from lookalike.config import Config
from lookalike.cost import Estimate, Job, estimate
from lookalike.errors import ConfigError, InputError, UnsupportedModel
from lookalike.places import Address
from lookalike.providers.prices import offer_of
from lookalike.providers.reference import ModelRef
from lookalike.transfer import open_pictures
from lookalike.usage import Offer

space_argument = click.argument("name", metavar="[SPACE]", required=False)


@click.group()
def spaces() -> None:
    """Give an index another model: fill a space beside the current one, compare, switch, and back.

    SPACE is the number or the name that `lookalike spaces list` shows; the only other one if left out.

    \b
      lookalike spaces add clip              make an empty space for the model
      lookalike spaces fill                  embed every picture; searches and writers go on meanwhile
      lookalike spaces compare               do the two find the same, and how fast
      lookalike spaces switch 2              from now on it is searched; `switch 1` is the way back
      lookalike spaces drop 1
    """


@spaces.command("list")
@index_option
@json_option
@click.pass_obj
def list_(config: Config, as_json: bool) -> None:
    """Say which spaces the index has, and which one is searched."""
    with open_spaces(config.index) as keeper:
        entries = keeper.entries()
    if as_json:
        click.echo(json.dumps([_document(entry) for entry in entries], ensure_ascii=False, indent=2))
        return
    for entry in entries:
        click.echo(
            f"{'*' if entry.is_current else ' '} {entry.number}  {shown(entry.label)}: {entry.n_vectors:,} vectors of "
            f"{entry.space.dim} numbers, {amount(entry.n_bytes)}; space {shown(entry.space.id)}"
        )


@spaces.command()
@click.argument("model")
@index_option
@precision_option
@orientation_option
@click.pass_obj
def add(config: Config, model: str) -> None:
    """Make an empty space for MODEL beside the others."""
    ensure_here(model, config.hub)
    config = replace(config, model=model, fallback=())
    tower = Embedder.open(config=config).tower
    tower.require_parity()
    if "image" not in tower.modalities:
        raise UnsupportedModel(f"{model} embeds no pictures, so there is nothing to fill a space with.", model=model)
    with open_spaces(config.index) as keeper:
        for entry in keeper.entries():
            if entry.space.key == tower.space.key and (entry.precision or "exact") == tower.precision:
                raise InputError(f"Space {entry.number} ({entry.label}) is of that model already.")
        number = keeper.add(tower.space, precision=tower.precision)
    click.echo(f"Made space {number}, of {tower.space.id}. Next: lookalike spaces fill {number}")


@spaces.command("fill")
@space_argument
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Pictures a second at most; all it can."
)
@click.option("--root", type=click.Path(path_type=Path), default=Path(), help="Where relative paths of pictures start.")
@click.option("--dry-run", is_flag=True, help="Say how many pictures, and what a hosted model would cost.")
@index_option
@threads_option
@max_cost_option
@json_option
@click.pass_obj
def fill_(config: Config, name: str | None, rate: float | None, root: Path, dry_run: bool, as_json: bool) -> None:
    """Embed every picture that has no vector in SPACE. It can be interrupted at any time; run it again to go on.

    Searches and writers go on in the current space. What they add meanwhile is brought over by another run, which is
    short; `switch` says whether one is needed.
    """
    entry = _other(config, name)
    model = _model_config(config, entry)
    with ExitStack() as stack:
        filling = stack.enter_context(open_filling(config.index, entry.number))
        n_missing = filling.n_missing()
        estimate = _priced(entry.space.model, n_missing)
        if not as_json:
            click.echo(
                f"{n_missing:,} pictures have no vector in space {entry.number} ({entry.label}){_told(estimate)}"
            )
        if dry_run:
            if as_json:
                cost_usd = estimate.images_usd if estimate else 0.0
                click.echo(json.dumps({"space": entry.number, "missing": n_missing, "cost_usd": cost_usd}, indent=2))
            return
        ensure_here(model.model, model.hub)
        stack.enter_context(resumable())
        bar = stack.enter_context(progress_bar("Filling", lambda: n_missing, hidden=as_json))
        embedder = Embedder.open(config=model, space=entry.space, threads=1)
        terms = Terms(threads=bulk_threads(model, model.model), per_s=rate, on_progress=bar)
        report = fill(filling, open_pictures(config, root), embedder, terms)
    _print_fill(entry, report, as_json=as_json)
    if isinstance(config.index, Address) and not as_json:
        click.echo(f"`lookalike db index --space {entry.number}` makes the index on vectors, if searches need one")


@spaces.command("compare")
@space_argument
@click.option("--sample", type=WholeNumber(min=1), default=200, show_default=True, help="Pictures to search by.")
@click.option("--label", default="", metavar="NAME", help="A fact in the metadata that good answers share.")
@index_option
@json_option
@click.pass_obj
def compare_(config: Config, name: str | None, sample: int, label: str, as_json: bool) -> None:
    """Ask SPACE and the current one the same questions, and say how far they agree, how good and how fast they are."""
    other = _other(config, name)
    if not other.n_vectors:
        raise InputError(
            f"Space {other.number} ({other.label}) has no vectors yet, so there is nothing to compare. Fill it first: "
            f"lookalike spaces fill {other.number}."
        )
    with ExitStack() as stack:
        with open_spaces(config.index) as keeper:
            current = next(entry for entry in keeper.entries() if entry.is_current)
        sides = [_side(config, entry, stack) for entry in (current, other)]
        comparison = compare(*sides, n=sample, label=label)
    if as_json:
        click.echo(json.dumps({"spaces": [current.number, other.number], **asdict(comparison)}, indent=2))
        return
    _print_comparison(comparison, (current, other))


@spaces.command()
@click.argument("name", metavar="SPACE")
@click.option("--allow-missing", is_flag=True, help="Also if some items have no vector in it: they are not found then.")
@index_option
@click.pass_obj
def switch(config: Config, name: str, allow_missing: bool) -> None:
    """Search SPACE from now on, and write into it. Atomic: a search sees one space or the other."""
    with open_spaces(config.index) as keeper:
        entries = keeper.entries()
        entry, before = chosen(entries, name), next(entry for entry in entries if entry.is_current)
        if entry.is_current:
            click.echo(f"Space {entry.number} ({entry.label}) is searched already.")
            return
        began_s = time.perf_counter()
        n_missing = keeper.switch(entry.number, allow_missing=allow_missing)
        seconds = time.perf_counter() - began_s
    click.echo(f"Space {entry.number} ({entry.label}) is searched from now on; the switch took {1e3 * seconds:.0f} ms")
    if n_missing:
        click.secho(f"{n_missing:,} items have no vector in it and are not found", fg="yellow")
    click.echo(f"back: lookalike spaces switch {before.number}")


@spaces.command()
@click.argument("name", metavar="SPACE")
@index_option
@click.pass_obj
def drop(config: Config, name: str) -> None:
    """Remove SPACE with its vectors; never the one that is searched."""
    with open_spaces(config.index) as keeper:
        entry = chosen(keeper.entries(), name)
        keeper.drop(entry.number)
    click.echo(f"Space {entry.number} ({entry.label}) is gone: {entry.n_vectors:,} vectors, {amount(entry.n_bytes)}")


def _other(config: Config, name: str | None) -> SpaceEntry:
    """The space of this name; without one the only other one than the current."""
    with open_spaces(config.index) as keeper:
        return _chosen(keeper, name)


def _chosen(keeper: SpaceKeeper, name: str | None) -> SpaceEntry:
    entries = keeper.entries()
    if name is not None:
        return chosen(entries, name)
    others = [entry for entry in entries if not entry.is_current]
    if len(others) == 1:
        return others[0]
    if not others:
        raise InputError("The index has one space only: make another with `lookalike spaces add MODEL`.")
    raise InputError(f"Say which space: {', '.join(f'{entry.number} ({entry.label})' for entry in others)}.")


def _model_config(config: Config, entry: SpaceEntry) -> Config:
    """The configuration with the model that fills a space."""
    if config.fallback:
        raise ConfigError("A space is filled by one model: unset LOOKALIKE_FALLBACK.")
    precision: Any = entry.precision or config.precision
    return replace(config, model=entry.space.model, precision=precision, orientation=entry.space.orientation)


def _side(config: Config, entry: SpaceEntry, stack: ExitStack) -> Side:
    store = open_store(config.index, number=entry.number)
    stack.callback(store.close)
    bank = None
    if "text" in entry.space.modalities:
        model = _model_config(config, entry)
        ensure_here(model.model, model.hub)
        bank = caption_bank(Embedder.open(config=model, space=entry.space), config.cache_dir / "banks")
    return Side(store=store, bank=bank, n_bytes=entry.n_bytes)


def _priced(model: str, n: int) -> Estimate | None:
    """What a hosted model would take, by the price table; None for a model that runs here."""
    ref = ModelRef.parse(model)
    if ref is None:
        return None
    offer = offer_of(ref.provider, ref.model) or Offer(
        model=model, embeds_images=True, source="it is not in the price table", dated=datetime.now(UTC).date()
    )
    return estimate(Job(images=n), [offer])[0]


def _told(priced: Estimate | None) -> str:
    if priced is None:
        return "; the model runs here"
    if priced.images_usd is None:
        return "; what that costs is not known"
    return f"; about {dollars(priced.images_usd)}, for pictures of {Job().image_side_px:,} px"


def _document(entry: SpaceEntry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "label": entry.label,
        "space": entry.space.id,
        "model": entry.space.model,
        "precision": entry.precision,
        "current": entry.is_current,
        "vectors": entry.n_vectors,
        "bytes": entry.n_bytes,
    }


def _print_fill(entry: SpaceEntry, report: FillReport, *, as_json: bool) -> None:
    if as_json:
        failures = [{"item": item, "reason": reason} for item, reason in report.failures]
        document = {"space": entry.number, "stored": report.stored, "failures": failures, "missing": report.n_behind}
        click.echo(json.dumps({**document, "elapsed_s": round(report.elapsed_s, 3)}, ensure_ascii=False, indent=2))
        return
    print_problems(report.failures, ())
    rate = report.stored / max(report.elapsed_s, 1e-9)
    click.echo(f"{counted(report.stored, 'picture')} embedded in {duration(report.elapsed_s)} ({rate:,.0f} pictures/s)")
    if report.n_behind:
        click.echo(f"{report.n_behind:,} items have no vector in space {entry.number}")
    else:
        click.echo(f"Nothing is missing. Next: lookalike spaces compare {entry.number}, then switch {entry.number}")


def _print_comparison(comparison: Comparison, entries: tuple[SpaceEntry, SpaceEntry]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(
        f"{comparison.n_images:,} pictures and {comparison.n_texts:,} captions were searched for in both. Of the ten "
        f"best answers both give {_share(comparison.image_overlap)} by pictures, {_share(comparison.text_overlap)} "
        "by words."
    )
    console.print(_table(comparison, entries))


def _table(comparison: Comparison, entries: tuple[SpaceEntry, SpaceEntry]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table("", *(f"{entry.number} {escape(shown(entry.label))}" for entry in entries), box=SIMPLE_HEAD)
    for row in _rows(comparison):
        table.add_row(*row)
    return table


def _rows(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    one, two = comparison.current, comparison.other
    if comparison.n_labelled:
        name = f"same label among ten ({comparison.n_labelled:,} pictures)"
        yield name, _share(one.precision), _share(two.precision)
    yield "search by a picture, p50", f"{one.image_p50_ms:.1f} ms", f"{two.image_p50_ms:.1f} ms"
    if one.text_p50_ms is not None and two.text_p50_ms is not None:
        yield "search by words, p50", f"{one.text_p50_ms:.1f} ms", f"{two.text_p50_ms:.1f} ms"
    yield "on the disk", amount(one.n_bytes), amount(two.n_bytes)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
