"""`lookalike db`: the tables of an index in PostgreSQL, its index on vectors, and what that finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from lookalike import app
from lookalike.bank import caption_bank
from lookalike.cli.attaching import attach_, check_table, detach, list_attached, require_address
from lookalike.cli.cache import Measured
from lookalike.cli.models import ensure_here
from lookalike.cli.options import WholeNumber, index_option, json_option, model_option, project_option
from lookalike.cli.output import amount, shown
from lookalike.config import Config
from lookalike.errors import LookalikeError, StoreNotFound
from lookalike.index import Index
from lookalike.postgres import Database, home_of
from lookalike.query import Part
from lookalike.queues import postgres as queue
from lookalike.store.attached import measuring
from lookalike.store.attached import store as attached
from lookalike.store.attached.store import AttachedStore
from lookalike.store.postgres import schema, tuning
from lookalike.store.postgres.planning import Kind, Setting, wanted_recall
from lookalike.store.postgres.store import LONG_TIMEOUT_S, PostgresStore, open_store
from lookalike.types import Filter, Rows

N_QUERIES = 100
NAMES: dict[Kind, str] = {"near": "pictures", "far": "words"}
SHARES = (0.01, 0.1, 1.0)
"""Of the items: projects of about these sizes are searched by `db recall`."""


queries_option = click.option(
    "--queries", type=WholeNumber(min=10), default=N_QUERIES, show_default=True, help="To measure with, of each kind."
)


@click.group()
def db() -> None:
    """Look after an index in PostgreSQL (LOOKALIKE_INDEX=postgresql://user:password@host/database)."""


for _command in (attach_, detach, list_attached):
    db.add_command(_command)


@db.command()
@model_option
@index_option
@click.pass_obj
def init(config: Config) -> None:
    """Make the tables and an empty index for the model. What is there already is left as it is.

    They are made in the first schema of the user's search_path.
    """
    with closing(schema.connect(require_address(config), timeout_s=LONG_TIMEOUT_S)) as database:
        there = _index_here(config, database)
        with there or Index.create(config=config) as index:
            told = f"There is an index in {config.index} already" if there else f"Made an index in {config.index}"
            click.echo(f"{told}, schema {database.run(home_of)}, of {index.space.id}")
    _migrate_queue(config)


def _index_here(config: Config, database: Database) -> Index | None:
    """The index in the first schema of the search path; None if there is none, whatever a later one has."""
    with suppress(StoreNotFound):
        return Index.open(config=config) if database.run(schema.is_here) else None
    return None


@db.command()
@index_option
@click.pass_obj
def migrate(config: Config) -> None:
    """Bring the tables up to date, all or nothing. Safe to run again, and from several machines at once."""
    with closing(schema.connect(require_address(config), timeout_s=LONG_TIMEOUT_S)) as database:
        before, after = database.run(lambda connection: schema.migrate(connection, database.place))
    if before == after:
        click.echo(f"The tables in {config.index} have version {after}: nothing to do")
    else:
        click.echo(f"The tables in {config.index} went from version {before} to {after}")
    _migrate_queue(config)


def _migrate_queue(config: Config) -> None:
    before, after = queue.migrate(require_address(config).database)
    if before != after:
        click.echo(f"The queue of orders in {config.index} went from version {before} to {after}")


@db.command()
@index_option
@json_option
@click.pass_obj
def check(config: Config, as_json: bool) -> None:
    """Say what the database is and holds, and look at every item."""
    if require_address(config).table:
        check_table(config, as_json=as_json)
        return
    with _opened(config) as store:
        store.database.run(lambda connection: schema.require_pgvector(connection, store.database.place))
        facts, relations, stats = tuning.facts(store), tuning.relations(store), store.stats()
        half_made = tuning.half_made(store)
        n_bare = store.check()
    if as_json:
        named = [dict(zip(("name", "kind", "rows", "bytes"), row, strict=True)) for row in relations]
        held = {"items": stats.items, "contents": stats.contents, "dead": stats.dead_slots, "missing": n_bare}
        document = {**facts, "version": schema.VERSION, **held, "relations": named, "half_made": half_made}
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"server    PostgreSQL {facts['server']}, pgvector {facts['pgvector']}, {facts['encoding']}")
    click.echo(f"tables    version {schema.VERSION}, in {config.index}")
    click.echo(f"pooler    {'one is between' if facts['pooler'] else 'none seen'}")
    for name in ("maintenance_work_mem", "shared_buffers", "statement_timeout"):
        click.echo(f"setting   {name} = {facts[name]}")
    click.echo(f"space     {stats.space.id}")
    click.echo(f"items     {stats.items:,} of {stats.contents:,} pictures; {stats.dead_slots:,} vectors no item uses")
    for name, kind, n_rows, n_bytes in relations:
        click.echo(f"{kind:<10}{name}: {amount(n_bytes)}" + (f", about {n_rows:,} rows" if kind == "table" else ""))
    for name in half_made:
        click.secho(f"{name} is being made, or was left half made: then run `lookalike db index` again.", fg="yellow")
    if n_bare:
        number = store.bound.number
        click.echo(f"{n_bare:,} items have no vector in this space and are not found: lookalike spaces fill {number}")
        return
    click.echo("Every item has its vector, and every project its number of items.")


@db.command("index")
@click.option("--memory", type=Measured("size", "2GB"), help="maintenance_work_mem meanwhile; up to 1 GB by default.")
@click.option("--concurrently", is_flag=True, help="Let others write meanwhile; not through a transaction pooler.")
@click.option("--space", "number", type=WholeNumber(min=1), metavar="N", help="Of this space, before a switch to it.")
@queries_option
@model_option
@index_option
@click.pass_obj
def make_index(config: Config, memory: float | None, concurrently: bool, number: int | None, queries: int) -> None:
    """Make the index on vectors, and measure for which queries it finds enough.

    Run it after the first load, and again when the collection has grown by half: until then, searches are exact.
    In an attached table no index is made: the table's own is measured.
    """
    if require_address(config).table:
        _measure_table(config, queries)
        return
    with _opened(config, number) as store, _progress() as on_progress:
        memory_bytes = int(memory or 0)
        made = tuning.build(store, memory_bytes=memory_bytes, concurrently=concurrently, on_progress=on_progress)
        probes = dict(tuning.probes_of(store, _words(config, number), n=queries))
        settings = tuning.tune(store, probes, on_progress=on_progress)
    click.echo("Made the index on vectors" if made else "The index on vectors was there")
    _print_settings(settings)


def _measure_table(config: Config, queries: int) -> None:
    with attached.open_store(require_address(config)) as store, _progress() as on_progress:
        probes = dict(tuning.probes_of(store, _words(config), n=queries))
        _print_settings(measuring.tune(store, probes, on_progress=on_progress))


def _print_settings(settings: Mapping[Kind, Setting]) -> None:
    for kind, setting in settings.items():
        click.echo(f"{NAMES[kind]:<10}{_told(kind, setting)}")
    if "far" not in settings:
        click.echo(f"{NAMES['far']:<10}exact: without the model there was nothing to measure with")


@db.command()
@click.argument("query")
@click.option("--limit", type=WholeNumber(min=1), default=10, show_default=True, help="Answers that are wanted.")
@project_option
@model_option
@index_option
@click.pass_obj
def explain(config: Config, query: str, limit: int, project: str | None) -> None:
    """Show how QUERY, words or a picture's path, is searched for, why, and what the database does."""
    require_address(config)
    with Index.open(config=config) as index, _searched(config) as store:
        ensure_here(index.model, config.hub, index.space)
        part = Part(image=query) if Path(query).is_file() else Part(text=query)
        vector = index.query([part]).vector
        where = Filter(project=project)
        plan = store.finder.plan(vector, limit=limit, where=where)
        lines = store.finder.explain(plan, vector, limit=limit, where=where)
    click.secho(plan.reason, bold=True)
    for line in lines:
        click.echo(f"  {_short(line)}")


@db.command()
@queries_option
@model_option
@index_option
@json_option
@click.pass_obj
def recall(config: Config, queries: int, as_json: bool) -> None:
    """Compare searches as they are made with exact ones: recall of the best ten, and times.

    By kind of query, without a filter and in projects of about a hundredth, a tenth and most of the items.
    """
    rows = []
    with _searched(config) as store:
        probes = dict(tuning.probes_of(store, _words(config), n=queries))
        for where, share in _filters(store):
            for kind, probe in probes.items():
                planned, exact, reason = tuning.compare(store, probe, where)
                rows.append({"queries": NAMES[kind], "project": where.project, "share": share, "plan": reason})
                rows[-1] |= asdict(planned) | {"exact_p50_ms": exact.p50_ms, "exact_p95_ms": exact.p95_ms}
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        place = f"project {shown(str(row['project']))}, {row['share']:.1%}" if row["project"] else "all items"
        click.secho(f"{row['queries']}, {place}: recall {row['recall']:.3f}", bold=True)
        click.echo(
            f"  p50 {row['p50_ms']:.1f} ms, p95 {row['p95_ms']:.1f} ms; exact p50 {row['exact_p50_ms']:.1f} ms\n"
            f"  {row['plan']}"
        )


@contextmanager
def _opened(config: Config, number: int | None = None) -> Iterator[PostgresStore]:
    with open_store(require_address(config), number=number) as store:
        yield store


@contextmanager
def _searched(config: Config) -> Iterator[PostgresStore | AttachedStore]:
    address = require_address(config)
    with attached.open_store(address) if address.table else open_store(address) as store:
        yield store


def _words(config: Config, number: int | None = None) -> Rows | None:
    """Vectors of everyday captions; None, told, where the model cannot be opened."""
    try:
        with Index(app.open_store(config.index, number=number), config) as index:
            return caption_bank(index.embedder, config.cache_dir / "banks")
    except LookalikeError as error:
        click.secho(f"Without queries by words: {shown(str(error))}", fg="yellow", err=True)
        return None


def _filters(store: PostgresStore | AttachedStore) -> Iterator[tuple[Filter, float]]:
    yield Filter(), 1.0
    stats = store.stats()
    projects = {name: n_items / max(stats.items, 1) for name, n_items in stats.projects.items()}
    chosen = [
        min(projects, key=lambda name: abs(float(np.log(projects[name] / share)))) for share in SHARES if projects
    ]
    for name in dict.fromkeys(chosen):
        yield Filter(project=name), projects[name]


def _told(kind: Kind, setting: Setting) -> str:
    if not setting.ef_search:
        return (
            f"exact, {setting.exact_p50_ms:.1f} ms: the index finds {setting.recall:.3f} of the best ten in "
            f"{setting.p50_ms:.1f} ms, and {wanted_recall(kind, Filter())} in less time is wanted"
        )
    return (
        f"by the index, ef_search {setting.ef_search}: recall {setting.recall:.3f} in {setting.p50_ms:.1f} ms; "
        f"exact {setting.exact_p50_ms:.1f} ms"
    )


def _short(line: str, *, most: int = 160) -> str:
    """A line of a plan without the numbers of a vector in it."""
    return line if len(line) <= most else f"{line[:most]} ..."


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A line on standard error that says what is being done, and how far that is."""
    from rich.console import Console

    with Console(stderr=True).status("Looking ...") as status:

        def told(what: str, share: float) -> None:
            status.update(f"{what} {share:.0%}")

        yield told
