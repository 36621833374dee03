"""`lookalike copy`: bring an index from a folder into a database, back, or into another folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lookalike import app
from lookalike.cli.indexing import print_problems, progress_bar, resumable
from lookalike.cli.options import json_option, project_option
from lookalike.cli.output import duration, shown, unknown_project
from lookalike.copying import Comparison, CopyableStore, CopyReport, compare, copy
from lookalike.errors import InputError, StoreError, StoreNotFound
from lookalike.places import Address, Place, place_of

if TYPE_CHECKING:
    from lookalike.store.attached.store import AttachedStore
    from lookalike.store.embedded import EmbeddedStore
    from lookalike.store.postgres.store import PostgresStore


@click.command("copy")
@click.argument("source_place", metavar="FROM", type=place_of)
@click.argument("target_place", metavar="TO", type=place_of)
@project_option
@json_option
def copy_(source_place: Place, target_place: Place, project: str | None, as_json: bool) -> None:
    """Bring the index FROM into TO: items, vectors and ledger. Each is a folder or postgresql://...

    TO is made if it is not there; what it holds already is kept, or replaced where FROM has another item of that name.
    It can be interrupted at any time; the same command goes on. At the end both are read and compared.

    \b
      lookalike copy photos.lookalike postgresql://me@db/shop
      lookalike copy postgresql://me@db/shop backup.lookalike --project summer
    """
    if _name(source_place) == _name(target_place):
        raise InputError("FROM and TO are the same index: there is nothing to copy.")
    if isinstance(target_place, Address) and target_place.table:
        raise InputError(
            "TO is an attached table, which holds what its columns are for, and keeps what it has: a copy in it would "
            "not be equal. Index the pictures into it, or copy into a folder or a database.",
            item=target_place.table,
        )
    with (
        app.open_store(source_place) as source,
        _opened(target_place, source, project=project) as target,
        resumable(),
    ):
        n_items = _n_items(source, project)
        with progress_bar("Copying", lambda: n_items, hidden=as_json) as on_progress:
            report = copy(source, target, project=project, on_progress=on_progress)
        with progress_bar("Comparing", lambda: n_items, hidden=as_json) as on_progress:
            comparison = compare(source, target, project=project, on_progress=on_progress)
        n_others = _n_items(target, project) - comparison.target.items
    if as_json:
        document = {**asdict(report), "comparison": {**asdict(comparison), "is_equal": comparison.is_equal}}
        click.echo(json.dumps({**document, "others": n_others}, ensure_ascii=False, indent=2))
    else:
        _print(report, comparison, n_others)
        if isinstance(target_place, Address) and report.new:
            click.echo("next: `lookalike db index` there makes the index on vectors, if searches need one")
    if not comparison.is_equal:
        raise StoreError(_difference(report, comparison))


def _name(place: Place) -> str:
    return place.reveal() if isinstance(place, Address) else str(place.expanduser().resolve())


def _opened(
    place: Place, source: CopyableStore, *, project: str | None
) -> EmbeddedStore | PostgresStore | AttachedStore:
    """The index at a place, to be written; made for the source's space if there is none."""
    if project is not None and project not in (known := source.stats().projects):
        raise InputError(unknown_project(project, known))  # or it would leave an empty index behind
    try:
        return app.open_store(place, write=True)
    except StoreNotFound:
        return app.create_store(place, source.space)


def _n_items(store: CopyableStore, project: str | None) -> int:
    return store.n_items if project is None else store.stats().projects.get(project, 0)


def _print(report: CopyReport, comparison: Comparison, n_others: int) -> None:
    print_problems(report.failures, ())
    n_items, seconds = report.new + report.replaced + report.unchanged, report.elapsed_s
    click.echo(
        f"{n_items:,} items: {report.new:,} new, {report.replaced:,} replaced, {report.unchanged:,} there already; "
        f"{report.entries:,} entries of the ledger new; in {duration(seconds)} "
        f"({n_items / max(seconds, 1e-9):,.0f} items/s)"
    )
    for name, side in (("FROM", comparison.source), ("TO", comparison.target)):
        items, ledger = f"{side.items:,} items {side.items_sha256[:16]}", f"{side.entries:,} entries"
        click.echo(f"{name:<5} {items}, ledger of {ledger} {side.ledger_sha256[:16]}")
    click.echo(
        f"vectors of {comparison.vectors:,} pictures: cosine at least {comparison.least_cosine:.8f}, numbers within "
        f"{comparison.largest_difference:.1e}"
    )
    if n_others:
        click.echo(f"TO holds {n_others:,} other items, which were left as they are")


def _difference(report: CopyReport, comparison: Comparison) -> str:
    if report.failures:
        item, reason = report.failures[0]
        return f"TO did not take {len(report.failures):,} of FROM's: {shown(item)}: {reason} The rest was copied."
    if comparison.source != comparison.target or comparison.lacking:
        return "FROM and TO are not equal: one of them was changed meanwhile. Run the same command again."
    return (
        f"{comparison.far:,} pictures have other vectors in TO than in FROM (cosine {comparison.least_cosine:.5f} and "
        "more): TO had its own, made otherwise, and they stay. To have those of FROM, copy into an empty place."
    )
