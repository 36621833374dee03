"""`lookalike cache`: what the cache of vectors holds, making it smaller, carrying it to another machine."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lookalike.cache.sqlite import SqliteCache
from lookalike.cached import CacheStats, Holding, Pruning
from lookalike.caches import open_cache_keeper
from lookalike.cli.options import cache_option, json_option
from lookalike.cli.output import amount, counted, dollars, shown
from lookalike.config import Config
from lookalike.errors import CacheError, ConfigError

if TYPE_CHECKING:
    from lookalike.cache.postgres import PostgresCache

MEASURES: dict[str, dict[str, float]] = {
    "time": {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400},
    "size": {"": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
}


class Measured(click.ParamType[float]):
    """A number with a unit, "30d" or "500MB", in seconds or bytes."""

    def __init__(self, kind: str, example: str) -> None:
        self.name = kind
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """What was typed, in the basic unit."""
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([a-z]*)", str(value).strip().lower())
        units = MEASURES[self.name]
        if not found or found[2] not in units:
            self.fail(f"{value!r} is no {self.name} such as {self._example}.", param, ctx)
        return float(found[1]) * units[found[2]]


@click.group()
def cache() -> None:
    """See, shrink and carry the cache of vectors.

    What a hosted model has answered is kept, so that it is not paid for twice.
    """


@cache.command("stats")
@cache_option
@json_option
@click.pass_obj
def stats_command(config: Config, as_json: bool) -> None:
    """Say what it holds, how often it helped, and what it saved."""
    with _open(config) as keeper:
        stats = keeper.stats()
    if as_json:
        held = [{**asdict(holding), "n_bytes": holding.n_bytes} for holding in stats.holdings]
        document = {**asdict(stats), "entries": stats.entries, "hit_rate": round(stats.hit_rate, 6), "holdings": held}
        click.echo(json.dumps({"cache": keeper.place, **document}, ensure_ascii=False, indent=2))
        return
    click.echo(f"cache     {shown(keeper.place)}")
    click.echo(f"holds     {counted(stats.entries, 'vector')} in {amount(stats.n_bytes)}")
    click.echo(f"helped    {_helped(stats)}")
    click.echo(f"saved     {dollars(stats.saved_usd)}, as far as prices are known")
    if stats.holdings:
        _print_holdings(stats.holdings)


@cache.command()
@click.option("--model", metavar="NAME", help="Vectors of this model, by its name or the id of its space.")
@click.option("--older-than", type=Measured("time", "30d"), metavar="TIME", help="What was not used for so long: 30d.")
@click.option(
    "--max-bytes",
    type=Measured("size", "500MB"),
    metavar="SIZE",
    help="What was used least recently, until the rest takes no more: 500MB.",
)
@cache_option
@click.pass_obj
def prune(config: Config, model: str | None, older_than: float | None, max_bytes: float | None) -> None:
    """Remove some of it and give the room back."""
    if model is None and older_than is None and max_bytes is None:
        raise click.UsageError("Say what is to go: --model, --older-than or --max-bytes. `clear` removes everything.")
    what = Pruning(model=model, unused_s=older_than, max_bytes=None if max_bytes is None else int(max_bytes))
    with _open(config) as keeper:
        removed, left = keeper.prune(what), keeper.stats()
    click.echo(f"Removed {counted(removed, 'vector')}; {left.entries:,} are left, in {amount(left.n_bytes)}")


@cache.command()
@cache_option
@click.pass_obj
def clear(config: Config) -> None:
    """Remove all of it; a damaged file too."""
    with _open(config) as keeper:
        click.echo(f"Removed {counted(keeper.clear(), 'vector')}")


@cache.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@cache_option
@click.pass_obj
def export(config: Config, file: Path) -> None:
    """Write all of it into one file, for `import` elsewhere.

    FILE is a SQLite database like the cache itself, with a checksum for each vector; it must not exist.
    """
    if file.exists():
        raise CacheError(f"{file} exists already: choose another name.", cache=str(file))
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    n_entries = 0
    with _open(config) as keeper:
        target = SqliteCache(part, max_bytes=sys.maxsize)
        for tower, entries in keeper.walk():
            target.put(tower, entries)
            n_entries += len(entries)
        if not n_entries:
            raise CacheError(f"The cache {keeper.place} is empty: there is nothing to export.", cache=keeper.place)
        target.seal()
    part.replace(file)
    click.echo(f"Wrote {counted(n_entries, 'vector')} into {file}, {amount(file.stat().st_size)}")


@cache.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@cache_option
@click.pass_obj
def import_(config: Config, file: Path) -> None:
    """Add what `export` wrote; what is there already stays.

    All of FILE is checked first: one that is damaged, or of another version, changes nothing.
    """
    with closing(SqliteCache(file, frozen=True)) as source, _open(config) as keeper:
        n_entries = source.check()
        before = keeper.stats().entries
        for tower, entries in source.walk():
            keeper.put(tower, entries)
        added = keeper.stats().entries - before
    click.echo(f"Read {counted(n_entries, 'vector')} from {file}; {added:,} of them are new")


@contextmanager
def _open(config: Config) -> Iterator[SqliteCache | PostgresCache]:
    keeper = open_cache_keeper(config)
    if keeper is None:
        raise ConfigError("The cache is off: set LOOKALIKE_CACHE, or give its place with --cache.")
    with closing(keeper):
        yield keeper


def _helped(stats: CacheStats) -> str:
    n_inputs = stats.hits + stats.misses
    return f"{stats.hits:,} of {n_inputs:,} inputs ({stats.hit_rate:.1%})" if n_inputs else "not asked yet"


def _print_holdings(holdings: tuple[Holding, ...]) -> None:
    rows = [
        (h.tower.model, h.tower.space, h.tower.fingerprint[:12], f"{h.entries:,}", amount(h.n_bytes)) for h in holdings
    ]
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(shown, row)))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "space", "tower"):
        table.add_column(name, overflow="fold", style="dim" if name == "tower" else None)
    for name in ("vectors", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(shown(cell)) for cell in row))
    Console().print(table)
