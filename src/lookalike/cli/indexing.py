"""`lookalike index`: bring the index up to date with folders and buckets of pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any

import click

from lookalike.app import BUILT_IN, CLIP, choose_model
from lookalike.cli.models import ensure_here
from lookalike.cli.options import (
    column_option,
    index_option,
    json_option,
    max_cost_option,
    model_option,
    orientation_option,
    precision_option,
    threads_option,
)
from lookalike.cli.output import amount, counted, dollars, duration, shown
from lookalike.config import Config
from lookalike.cost import BASE64, Estimate, Job
from lookalike.cost import estimate as estimated
from lookalike.errors import StoreNotFound
from lookalike.index import Index
from lookalike.places import Address, Place
from lookalike.ports import Source
from lookalike.progress import Progress, Report
from lookalike.providers.prices import offer_of
from lookalike.providers.reference import ModelRef
from lookalike.sources.columns import ROW_ROLES
from lookalike.survey import Survey
from lookalike.transfer import open_rows, open_sources, own_address
from lookalike.types import Outcome
from lookalike.usage import Offer

SHOWN_FAILURES = 20

NOTICE = f"""\
CLIP is not on this machine, so this index uses the built-in model `tiny`:
fine for a first try, far weaker than CLIP on real photos. For your own photos:
  lookalike models pull clip
  lookalike index FOLDER --model {CLIP} --index NEW"""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table whose rows name pictures.

    Attributes:
        table: Its name.
        columns: Columns by role.
        root: The bucket or folder that the paths start from.
    """

    table: str
    columns: dict[str, list[str]]
    root: str


def _row_options(command: Callable[..., None]) -> Callable[..., None]:
    """--table, --column and --root, handed to the command as one `rows`; None without a table."""

    @click.option("--table", default="", metavar="NAME", help="A table or view whose rows name pictures.")
    @column_option(ROW_ROLES)
    @click.option("--root", default="", metavar="PLACE", help="The bucket or folder that the table's paths start from.")
    @wraps(command)
    def with_rows(*args: Any, table: str, columns: dict[str, list[str]], root: str, **kwargs: Any) -> None:
        if not table and (columns or root):
            raise click.UsageError("--column and --root say more of a --table: name that too.")
        command(*args, rows=Rows(table, columns, root or ".") if table else None, **kwargs)

    return with_rows


@click.command()
@click.argument("places", nargs=-1, metavar="[PLACE]...")
@_row_options
@click.option("--project", metavar="NAME", help="Project that the pictures belong to.  [$LOOKALIKE_PROJECT]")
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long it would take; write nothing.")
@index_option
@model_option
@precision_option
@orientation_option
@threads_option
@max_cost_option
@json_option
@click.pass_obj
def index(
    config: Config, places: tuple[str, ...], rows: Rows | None, project: str | None, dry_run: bool, as_json: bool
) -> None:
    """Make the pictures at PLACEs findable: a folder, a picture, a bucket (s3://photos/2026/, also gs:// and az://).

    Or those that the rows of a PostgreSQL --table name, in the database of $DATABASE_URL:

    \b
      lookalike index --table customer_photos --column uri=storage_path --root s3://photos/

    Run it again whenever they change: new and changed pictures are added, those that are gone are removed, everything
    else is left as it is. It can be interrupted at any time; the next run goes on.
    """
    if project:
        config = replace(config, project=project)
    sources = open_sources(places, config)
    if rows is not None:
        sources.append(open_rows(config, rows.table, rows.columns, rows.root))
    if not sources:
        raise click.UsageError("Name a folder, a picture or a bucket; or a --table.")
    with _open(config, rows, dry_run=dry_run) as opened:
        ensure_here(opened.model, config.hub, opened.space)
        if dry_run:
            with _spinner("Reading", hidden=as_json) as told:
                survey = opened.survey(sources, on_progress=told)
            _print_survey(survey, _estimated(opened.model, survey), as_json=as_json)
            return
        with resumable(), progress_bar("Indexing", partial(_n_objects, sources), hidden=as_json) as on_progress:
            report = opened.ingest(sources, on_progress=on_progress)
        _print_report(report, opened, as_json=as_json)
    n_other = sum(getattr(source, "n_other", 0) for source in sources)
    if n_other and not as_json:
        what = "rows and files were left alone: they name no picture, or" if rows else "other files were left alone:"
        click.echo(f"{n_other:,} {what} their names do not end as pictures' names do")


def _open(config: Config, rows: Rows | None, *, dry_run: bool) -> Index:
    if rows is not None and (own := own_address(config, rows.table)):
        from lookalike.store.attached.store import open_store

        store = open_store(own, new_rows=False)
        return Index(store, replace(config, project=store.attached.mapping.unsaid_project))
    return open_index(config, dry_run=dry_run)


def _n_objects(sources: Sequence[Source]) -> int:
    return sum(1 for source in sources for _ in source.objects())


def open_index(config: Config, *, dry_run: bool) -> Index:
    """The configuration's index, made if there is none; for a dry run only to be read, or in memory."""
    try:
        found = Index.open(config=config, write=not dry_run)
        _tell_schema(config.index)
        return found
    except StoreNotFound:
        if config.model == "auto" and choose_model(config) == BUILT_IN:
            click.secho(NOTICE, fg="yellow", err=True)
        ensure_here(choose_model(config), config.hub)
        return Index.in_memory(config=config) if dry_run else Index.create(config=config)


def _tell_schema(place: Place) -> None:
    """Where an index is written that is not in the user's own schema: another may have been meant."""
    if not isinstance(place, Address) or place.table:
        return
    from lookalike.postgres import home_of
    from lookalike.store.postgres import finding, schema

    with closing(schema.connect(place, timeout_s=finding.TIMEOUT_S)) as database:
        if not database.run(schema.is_here):
            home = database.run(home_of)
            told = f"The index is the one in schema {home}; for one of your own run `lookalike db init` first."
            click.secho(told, fg="yellow", err=True)


@contextmanager
def resumable() -> Iterator[None]:
    """Who interrupts this is told that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("What was stored is safe; the same command goes on from here.") from error


@contextmanager
def progress_bar(what: str, n: Callable[[], int], *, hidden: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar with rate and time to go; `n` says how many there are, and is asked only if the bar is shown."""
    if hidden:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[bad]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=n(), rate="", bad="")

        def on_progress(progress: Progress) -> None:
            failed = progress.counts.get(Outcome.FAILED, 0)
            bar.update(
                task,
                completed=progress.done,
                rate=f"{progress.done / max(progress.elapsed_s, 1e-9):.0f}/s",
                bad=f"[red]{failed} failed" if failed else "",
            )

        yield on_progress


@contextmanager
def _spinner(what: str, *, hidden: bool) -> Iterator[Callable[[int], None] | None]:
    if hidden:
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} ...") as status:
        yield lambda done: status.update(f"{what} ... {done:,}")


def _print_report(report: Report, opened: Index, *, as_json: bool) -> None:
    counts = by_name(report.counts)
    failures = [(entry.uri, entry.reason) for entry in report.failures]
    stats = opened.stats()
    if as_json:
        facts = {"elapsed_s": round(report.elapsed_s, 3), "items": stats.items, "space": stats.space.id}
        _print_json(counts, failures, report.warnings, facts)
        return
    print_problems(failures, report.warnings)
    read = counts["stored"] + counts["duplicate"] + counts["failed"]
    click.echo(
        f"{in_words(counts)} in {duration(report.elapsed_s)}"
        + (f" ({read / max(report.elapsed_s, 1e-9):,.0f} pictures/s, {amount(report.n_bytes)})" if read else "")
    )
    click.echo(
        f"{counted(stats.items, 'item')} of {counted(stats.contents, 'picture')} in the index; space {stats.space.id}"
    )


def _estimated(model: str, survey: Survey) -> Estimate | None:
    """What a hosted model would take, by the price table; None for a model that runs here."""
    ref = ModelRef.parse(model)
    if ref is None:
        return None
    offer = offer_of(ref.provider, ref.model) or Offer(
        model=model, embeds_images=True, source="it is not in the price table", dated=datetime.now(UTC).date()
    )
    n_new = survey.counts[Outcome.STORED]
    (estimate,) = estimated(Job(images=n_new, image_side_px=_side_px(survey.n_pixels, n_new)), [offer])
    return estimate


def _side_px(n_pixels: int, n: int) -> int:
    """The longer side of an average picture, at 4:3."""
    return round(math.sqrt(n_pixels / max(n, 1) * 4 / 3))


def _print_survey(survey: Survey, hosted: Estimate | None, *, as_json: bool) -> None:
    counts = by_name(survey.counts)
    if as_json:
        eta_s, cost_usd = (hosted.seconds, hosted.images_usd) if hosted else (survey.eta_s, 0.0)
        facts = {"n_bytes": survey.n_bytes, "vector_bytes": survey.vector_bytes, "eta_s": eta_s, "cost_usd": cost_usd}
        _print_json(counts, survey.failures, survey.warnings, facts)
        return
    print_problems(survey.failures, survey.warnings)
    click.echo(f"new         {counted(counts['stored'], 'picture')} to embed")
    click.echo(f"known       {counted(counts['duplicate'], 'item')} whose picture has its vector already")
    click.echo(f"unchanged   {counts['unchanged']:,}")
    click.echo(f"gone        {counted(counts['removed'], 'item')} whose file is not there any more")
    click.echo(f"bad         {counts['failed']:,} that cannot be read")
    click.echo(f"to read     {amount(survey.n_bytes)}; to write {amount(survey.vector_bytes)} of vectors")
    for line in _hosted_lines(hosted, survey.n_bytes) if hosted else _local_lines(survey):
        click.echo(line)
    click.echo("Nothing was written.")


def _local_lines(survey: Survey) -> Iterator[str]:
    yield f"time        about {duration(survey.eta_s or 0.0)} on this machine; no money: the model runs here"


def _hosted_lines(estimate: Estimate, n_bytes: int) -> Iterator[str]:
    """What a hosted model would take for pictures of so many bytes; it was not asked."""
    money, seconds = estimate.images_usd, estimate.seconds
    yield "money       " + ("not known" if money is None else f"{dollars(money)}, by the price of {estimate.dated}")
    yield "time        " + ("not known" if seconds is None else f"{duration(seconds)} or longer, at the key's limits")
    for note in estimate.notes:
        yield f"            {note}"
    yield f"to send     about {amount(round(n_bytes * BASE64))}; the provider was not asked for anything"


def by_name(counts: Mapping[Outcome, int]) -> dict[str, int]:
    """How many there are of every outcome, by its name."""
    return {outcome.value: counts.get(outcome, 0) for outcome in Outcome}


def in_words(counts: Mapping[str, int]) -> str:
    """They as words. Of a file that was moved or restored "duplicate" would be untrue: its vector is there already."""
    words = {"duplicate": "known already"}
    return ", ".join(f"{n:,} {words.get(name, name)}" for name, n in counts.items() if n) or "nothing to do"


def _print_json(
    counts: dict[str, int], failures: Sequence[tuple[str, str]], warnings: Sequence[str], facts: dict[str, Any]
) -> None:
    listed = [{"item": item, "reason": reason} for item, reason in failures]
    document = {**counts, "failures": listed, "warnings": list(warnings), **facts}
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def print_problems(failures: Sequence[tuple[str, str]], warnings: Sequence[str]) -> None:
    """Warnings and the first of the failures, on standard error."""
    for warning in warnings:
        click.secho(shown(warning), fg="yellow", err=True)
    for item, reason in failures[:SHOWN_FAILURES]:
        click.secho(shown(f"{item}: {reason}"), fg="red", err=True)
    if len(failures) > SHOWN_FAILURES:
        click.secho(
            f"... and {len(failures) - SHOWN_FAILURES:,} more; `lookalike stats --failures` lists all.",
            fg="red",
            err=True,
        )
