"""`lookalike db attach`: a team's own table is searched and written where it is."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import click

from lookalike.app import choose_model
from lookalike.attaching import AttachReport, attach
from lookalike.cli.models import ensure_here
from lookalike.cli.options import WholeNumber, index_option, json_option, model_option, orientation_option
from lookalike.cli.output import amount, counted, shown
from lookalike.config import Config
from lookalike.errors import ConfigError
from lookalike.importing import SAMPLE_SIZE
from lookalike.places import Address
from lookalike.store.attached import opening, registry
from lookalike.store.attached.finding import COUNTED_BELOW
from lookalike.store.attached.mapping import Mapping
from lookalike.store.attached.measuring import suggested_index
from lookalike.store.attached.store import open_store
from lookalike.store.postgres.store import LONG_TIMEOUT_S


def _listed(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.split(",") if name)


@click.command("attach")
@click.argument("table")
@click.option("--id", required=True, metavar="COLUMN", help="The ids of the items.")
@click.option("--vector", required=True, metavar="COLUMN", help="Their vectors, of type vector or halfvec.")
@click.option("--vector-table", default="", metavar="TABLE", help="Where the vectors are, if in another table.")
@click.option("--vector-key", default="", metavar="COLUMN", help="The column there that holds the item's id.")
@click.option("--uri", default="", metavar="COLUMN", help="Where the picture is.")
@click.option("--caption", default="", metavar="COLUMN", help="Words of its owner.")
@click.option("--project", default="", metavar="COLUMN", help="Whose it is; 'default' for all without.")
@click.option("--content", default="", metavar="COLUMN", help="The sha256 of the picture's bytes.")
@click.option("--metadata", multiple=True, metavar="COLUMN", callback=_listed, help="Further facts; may be repeated.")
@click.option("--may-delete", is_flag=True, help="Delete rows with their items; else these lose their vector.")
@click.option("--unchecked", is_flag=True, help="Believe that the vectors are the model's.")
@click.option("--sample", type=WholeNumber(min=1), default=SAMPLE_SIZE, show_default=True, help="Rows to check.")
@click.option("--root", default="", metavar="PLACE", help="The folder or bucket (s3://photos/) that paths start from.")
@model_option
@orientation_option
@index_option
@json_option
@click.pass_obj
def attach_(
    config: Config, /, *, table: str, unchecked: bool, sample: int, root: str, as_json: bool, **columns: Any
) -> None:
    """Search and write TABLE, with its pictures' vectors, where it is.

    A sample of the vectors is compared with what --model makes of their pictures. TABLE and columns are named as the
    database keeps them, without quotes. Nothing in TABLE is changed.

    \b
      lookalike db attach customer_photos --id id --vector embedding --uri path --root s3://photos/ --model clip
      lookalike db attach photos --id id --uri path --vector-table image_embeddings --vector-key photo_id --vector v
    """
    if bool(columns["vector_table"]) != bool(columns["vector_key"]):
        raise click.UsageError("--vector-table and --vector-key go together.")
    address = require_address(config).database
    config = replace(config, model=choose_model(config), precision="exact")
    ensure_here(config.model, config.hub)
    report = attach(address, Mapping(table=table, **columns), config, unchecked=unchecked, sample=sample, root=root)
    place = str(address.at(table))
    if as_json:
        click.echo(json.dumps(_document(report, place), ensure_ascii=False, indent=2))
        return
    checked = report.check
    if checked is not None and checked.n:
        told = f"cosine at least {checked.cosine_min:.6f}, half below {checked.cosine_p50:.6f}"
        click.echo(f"checked   {checked.n} rows: {told}")
    else:
        click.echo("checked   not" if checked is None else "checked   nothing: no row has a vector yet")
    _print_table(report.found, report.counts, config.model)
    click.echo(f"Attached; use it by LOOKALIKE_INDEX={shown(place)} (with its user and password)")


@click.command("detach")
@click.argument("table")
@index_option
@click.pass_obj
def detach(config: Config, table: str) -> None:
    """Forget that TABLE is attached, and what became of the files that were indexed into it. TABLE is left as it is."""
    with closing(opening.connect(require_address(config), table, timeout_s=LONG_TIMEOUT_S)) as database:
        # Read first: it says what is wrong if lookalike's own tables are not there.
        database.run(lambda connection: registry.read(connection, database.place, table))
        database.run(lambda connection: registry.forget(connection, table))
    click.echo(f"Detached {shown(table)}: nothing in it was changed")


@click.command("attached")
@index_option
@json_option
@click.pass_obj
def list_attached(config: Config, as_json: bool) -> None:
    """List the tables that are attached."""
    with closing(opening.connect(require_address(config), "", timeout_s=LONG_TIMEOUT_S)) as database:
        found = database.run(lambda connection: registry.names(connection, database.place))
    if as_json:
        rows = [{"name": one.name, "space": one.space.id, **asdict(one.mapping)} for one in found]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for one in found:
        click.echo(f"{shown(one.name)}: {shown(one.mapping.vector)}, of {one.space.id}")
    if not found:
        click.echo("No table is attached")


def check_table(config: Config, *, as_json: bool) -> None:
    """`lookalike db check` of an attached table."""
    with open_store(require_address(config)) as store:
        counts, stats = store.look(), store.stats()
    if as_json:
        told = {"items": stats.items, "contents": stats.contents, "bytes": stats.n_bytes}
        click.echo(json.dumps({**_table_document(store.found, counts), **told}, ensure_ascii=False, indent=2))
        return
    click.echo(f"table     {shown(store.attached.name)}, in {config.index}")
    click.echo(f"space     {store.space.id}{'' if store.attached.mapping.is_checked else ', which was not checked'}")
    click.echo(f"items     {stats.items:,} of {counted(stats.contents, 'picture')}; {amount(stats.n_bytes)}")
    _print_table(store.found, counts, store.space.model)


def require_address(config: Config) -> Address:
    """The address of the database. ConfigError if the index is a folder."""
    if not isinstance(config.index, Address):
        raise ConfigError(
            "`lookalike db` is for an index in PostgreSQL, and this one is a folder: set "
            "LOOKALIKE_INDEX=postgresql://user:password@host/database."
        )
    return config.index


def _print_table(found: opening.Found, counts: opening.Counts, model: str) -> None:
    bare = counts.rows - counts.vectors
    told = f"; {bare:,} have none, and are not found until they do" if bare else ""
    click.echo(f"rows      {counts.rows:,}, {counts.vectors:,} with a vector of {model}{told}")
    if counts.zeros:
        click.echo(f"          {counts.zeros:,} vectors are all zeros, which nothing is near to")
    if counts.not_unit - counts.zeros:
        click.echo(
            f"          {counts.not_unit - counts.zeros:,} vectors have another length than 1; cosines are right"
        )
    click.echo(
        f"index     {found.index.name} ({found.index.method}), asked once `lookalike db index` has measured it"
        if found.index
        else "index     none: searches are exact"
    )
    click.echo(f"writing   {_writing(found)}")
    for hint in found.hints:
        click.secho(f"          {shown(hint)}", fg="yellow")
    if found.index is None and counts.vectors >= COUNTED_BELOW:
        click.echo(f"          {shown(suggested_index(found.shape))};")


def _writing(found: opening.Found) -> str:
    if found.read_only:
        return f"read only: {found.read_only}"
    new = f"rows that are there, no new ones ({found.no_new_rows})" if found.no_new_rows else "yes"
    if found.shape.mapping.may_delete:
        return f"{new}; a row is deleted with its item"
    if found.shape.vector.is_nullable:
        return f"{new}; a row whose item is deleted stays, without its vector"
    return f"{new}; nothing is deleted: the vector cannot be null, and --may-delete was not said"


def _document(report: AttachReport, place: str) -> dict[str, Any]:
    checked = None if report.check is None else asdict(report.check)
    return {"address": place, "space": report.attached.space.id, "check": checked} | _table_document(
        report.found, report.counts
    )


def _table_document(found: opening.Found, counts: opening.Counts) -> dict[str, Any]:
    index = None if found.index is None else asdict(found.index)
    return {
        **asdict(counts),
        "index": index,
        "read_only": found.read_only,
        "no_new_rows": found.no_new_rows,
        "hints": list(found.hints),
    }
