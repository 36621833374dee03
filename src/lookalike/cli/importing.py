"""`lookalike import`: take vectors that were made elsewhere into an index, after a check of some of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from lookalike.cli.indexing import by_name, in_words, open_index, print_problems, progress_bar, resumable
from lookalike.cli.models import ensure_here
from lookalike.cli.options import (
    WholeNumber,
    column_option,
    index_option,
    json_option,
    model_option,
    orientation_option,
)
from lookalike.cli.output import counted, duration, shown
from lookalike.config import Config
from lookalike.errors import StoreNotFound
from lookalike.importing import SAMPLE_SIZE, ImportReport, Terms
from lookalike.index import Index
from lookalike.sources.columns import ROLES
from lookalike.tables import VectorTable
from lookalike.transfer import open_pictures, open_table
from lookalike.variants import variants


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Which table, and what its columns are for.

    Attributes:
        items: Of an array: the file with its items.
        table: Of a database: the table.
        columns: Columns by role.
        root: The folder or bucket that relative paths of pictures start from.
    """

    items: Path | None
    table: str
    columns: dict[str, list[str]]
    root: str


def _table_options(command: Callable[..., None]) -> Callable[..., None]:
    """--items, --table, --column and --root, handed to the command as one `where`."""

    @click.option(
        "--items",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="What the rows of an array are of: .jsonl, .csv, or paths in .txt or .npy.",
    )
    @click.option("--table", default="", metavar="NAME", help="The table of a database.")
    @column_option(ROLES)
    @click.option(
        "--root",
        default=".",
        metavar="PLACE",
        help="The folder or bucket that the paths of the pictures start from; the working folder by default.",
    )
    @wraps(command)
    def with_table(
        *args: Any, items: Path | None, table: str, columns: dict[str, list[str]], root: str, **kwargs: Any
    ) -> None:
        command(*args, where=TableOptions(items, table, columns, root), **kwargs)

    return with_table


def _terms_options(command: Callable[..., None]) -> Callable[..., None]:
    """--project, --sample, --unchecked and --dry-run, handed to the command as one `terms`."""

    @click.option("--project", metavar="NAME", help="Of rows that name none.  [$LOOKALIKE_PROJECT]")
    @click.option("--sample", type=WholeNumber(min=1), default=SAMPLE_SIZE, show_default=True, help="Rows to check.")
    @click.option("--unchecked", is_flag=True, help="Take the vectors as they are; the index remembers that.")
    @click.option("--dry-run", is_flag=True, help="Look at the table and check the sample; write nothing.")
    @wraps(command)
    def with_terms(*args: Any, project: str | None, sample: int, unchecked: bool, dry_run: bool, **kwargs: Any) -> None:
        terms = Terms(project=project or "", sample=sample, unchecked=unchecked, dry_run=dry_run)
        command(*args, terms=terms, **kwargs)

    return with_terms


@click.command("import")
@click.argument("place")
@_table_options
@_terms_options
@index_option
@model_option
@orientation_option
@json_option
@click.pass_obj
def import_(config: Config, place: str, where: TableOptions, terms: Terms, as_json: bool) -> None:
    """Take the vectors at PLACE into the index instead of making them.

    PLACE is an array (.npy) with its --items, a Parquet file or a folder of such, an output folder of clip-retrieval,
    or postgresql://... with a --table. The pictures of some rows are embedded and compared first: --model says which
    model made the vectors, the index's own by default.

    \b
      lookalike import vectors.npy --items items.csv --root ~/Photos --model clip
      lookalike import postgresql://me@db/shop --table products --column uri=photo
    """
    table = open_table(place, items=where.items, table=where.table, columns=where.columns)
    config = replace(config, precision="exact")  # a coarser model would find fault with good vectors
    pictures = open_pictures(config, where.root)
    if not terms.dry_run and not _exists(config):
        # A table that is refused leaves no new index behind.
        with open_index(config, dry_run=True) as trial, resumable():
            found = trial.import_vectors(table, pictures, _ready(replace(terms, dry_run=True), trial, config))
        config, terms = replace(config, model=trial.model), replace(terms, before=found)
    with open_index(config, dry_run=terms.dry_run) as opened:
        bar = nullcontext() if terms.dry_run else progress_bar("Importing", lambda: table.n_rows, hidden=as_json)
        with resumable(), bar as on_progress:
            terms = replace(_ready(terms, opened, config), on_progress=on_progress)
            report = opened.import_vectors(table, pictures, terms)
        _print(report, table, opened, terms, as_json=as_json)


def _exists(config: Config) -> bool:
    try:
        Index.open(config=config).close()
    except StoreNotFound:
        return False
    return True


def _ready(terms: Terms, opened: Index, config: Config) -> Terms:
    """The terms with what a check needs: the model on this machine, and other ways of opening it."""
    if not terms.unchecked:
        ensure_here(opened.model, config.hub, opened.space)
    return replace(terms, variants=variants(opened.model_config))


def _print(report: ImportReport, table: VectorTable, opened: Index, terms: Terms, *, as_json: bool) -> None:
    counts = {name: n for name, n in by_name(report.report.counts).items() if name != "removed"}
    failures = [(entry.item_id, entry.reason) for entry in report.report.failures]
    stats = opened.stats()
    if as_json:
        document = {
            "table": table.name,
            "rows": report.n_rows,
            "check": None if report.check is None else asdict(report.check),
            **counts,
            "unread": report.n_unread,
            "failures": [{"item": item, "reason": reason} for item, reason in failures],
            "elapsed_s": round(report.report.elapsed_s, 3),
            "items": stats.items,
            "space": stats.space.id,
            "dry_run": terms.dry_run,
        }
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    print_problems(failures, ())
    click.echo(_check_line(report))
    for item, reason in report.check.unread[:3] if report.check else ():
        click.echo(shown(f"  not compared: {item}: {reason}"))
    if terms.dry_run:
        click.echo(f"{counted(report.n_rows, 'row')} of {table.dim} numbers could be imported. Nothing was written.")
        return
    seconds = report.report.elapsed_s
    click.echo(f"{in_words(counts)} in {duration(seconds)} ({report.n_rows / max(seconds, 1e-9):,.0f} rows/s)")
    if report.n_unread:
        why = "were not checked" if report.check is None else "are of pictures that are not on this machine"
        click.echo(f"{report.n_unread:,} vectors {why}; the index knows which")
    click.echo(
        f"{counted(stats.items, 'item')} of {counted(stats.contents, 'picture')} in the index; space {stats.space.id}"
    )


def _check_line(report: ImportReport) -> str:
    check = report.check
    if check is None:
        return "not checked"
    if not check.n:
        return "nothing to check: no row has a vector that can be used"
    return f"checked {check.n} rows: cosine at least {check.cosine_min:.6f}, half below {check.cosine_p50:.6f}"
