"""`lookalike cost`: what a job would take with each hosted model, and on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import click

from lookalike import cost as costs
from lookalike.app import Embedder, choose_model
from lookalike.cli.options import WholeNumber, json_option, model_option, threads_option
from lookalike.cli.output import WIDE, amount, dollars, model_cell
from lookalike.config import Config
from lookalike.cost import Estimate, Job, LocalSpeed
from lookalike.errors import MissingDependency, ModelError
from lookalike.providers import prices
from lookalike.providers.reference import ModelRef

UNKNOWN = "[dim]?[/]"

FIGURES = ("pictures", "texts", "month", "time", "sent", "vectors")

NARROW = 70
"""Columns of a terminal from which there is room for a name beside its figures."""

MAX_NAMED = 3
"""Models that a note names; more are seen in the table."""

USUAL = Job()

TIMED_PICTURES = 8


@click.command()
@click.option("--images", type=WholeNumber(min=0), default=0, metavar="N", help="Pictures to embed, once.")
@click.option("--texts", type=WholeNumber(min=0), default=0, metavar="N", help="Texts to embed, once.")
@click.option(
    "--queries-per-month", type=WholeNumber(min=0), default=0, metavar="N", help="Texts that are searched for."
)
@click.option(
    "--text-chars",
    type=WholeNumber(min=1),
    default=USUAL.text_chars,
    show_default=True,
    metavar="N",
    help="Characters of an average text.",
)
@click.option(
    "--picture-side",
    type=WholeNumber(min=1),
    default=USUAL.image_side_px,
    show_default=True,
    metavar="PIXELS",
    help="The longer side of an average picture as it is sent.",
)
@model_option
@threads_option
@json_option
@click.pass_obj
def cost(config: Config, /, as_json: bool, picture_side: int, **numbers: int) -> None:
    """Compare what embedding costs: money, time, bytes.

    Prices and limits come from a table with their sources and dates; this machine is measured now.

    \b
      lookalike cost --images 3000000 --texts 1000000 --queries-per-month 100000
    """
    job = Job(image_side_px=picture_side, **numbers)
    if not (job.images or job.texts or job.queries_per_month):
        raise click.UsageError("Say what is to be embedded: --images, --texts or --queries-per-month.")
    offers = prices.offers()
    warnings = list(prices.stale(offers, today=datetime.now(UTC).date()))
    local = _measured(config, job, warnings)
    rows = costs.estimate(job, offers, local)
    if as_json:
        click.echo(json.dumps(_document(job, rows, local, warnings), ensure_ascii=False, indent=2))
        return
    _print(job, rows, warnings)


def _measured(config: Config, job: Job, warnings: list[str]) -> LocalSpeed | None:
    """How fast this machine is; without a model that runs here, a warning."""
    config = replace(config, cache="off", fallback=())  # it is the model that is measured
    if ModelRef.parse(config.model):
        config = replace(config, model="auto")
    try:
        embedder = Embedder.open(choose_model(config), config=config)
        return costs.measure(embedder, _pictures(job.image_side_px))
    except (MissingDependency, ModelError) as error:
        warnings.append(f"This machine was not measured. {error}")
        return None


def _pictures(side_px: int) -> list[bytes]:
    """JPEGs of the size that the job's have."""
    from PIL import Image

    from lookalike.encoders.samples import pictures

    files = []
    for levels in pictures()[-TIMED_PICTURES:]:
        file = BytesIO()
        Image.fromarray(levels).resize((side_px, max(1, side_px * 3 // 4))).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def _document(job: Job, rows: Sequence[Estimate], local: LocalSpeed | None, warnings: Sequence[str]) -> dict[str, Any]:
    return {
        "job": asdict(job),
        "assumed": {
            "chars_per_token": costs.CHARS_PER_TOKEN,
            "sent_bytes_per_pixel": costs.SENT_BYTES_PER_PIXEL,
            "stored_bytes_per_value": costs.STORED_BYTES_PER_VALUE,
        },
        "local": asdict(local) if local else None,
        "estimates": [asdict(row) for row in rows],
        "warnings": list(warnings),
    }


def _print(job: Job, rows: Sequence[Estimate], warnings: Sequence[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(
        f"{job.images:,} pictures of {job.image_side_px:,} px, {job.texts:,} texts of {job.text_chars:,} characters, "
        f"{job.queries_per_month:,} queries a month"
    )
    console.print(_table(rows, width=console.width) if console.width >= NARROW else _list(rows))
    for note, models in _notes(rows).items():
        named = ", ".join(models) if len(models) <= MAX_NAMED else f"{len(models)} models"
        console.print(f"[dim]?[/] {note} [dim]{named}[/]")
    console.print(
        f"\n[dim]Texts: {costs.CHARS_PER_TOKEN} characters to a token. Times: at the limits of one key, or longer. "
        "Here: measured now; the machine and its power are not counted. --json has sources and dates.[/]"
    )
    for warning in warnings:
        click.secho(warning, fg="yellow", err=True)


def _table(rows: Sequence[Estimate], *, width: int) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    for name in FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(_name(row, width=width), *_cells(row))
        if after is None or not row.source or bool(after.embeds_images) != bool(row.embeds_images):
            table.add_section()
    return table


def _list(rows: Sequence[Estimate]) -> str:
    """The same without columns, for a terminal that has no room for a name beside its figures."""
    lines = []
    for row in rows:
        figures = ", ".join(f"{name} {cell}" for name, cell in zip(FIGURES, _cells(row), strict=True))
        lines += ["", _name(row, width=WIDE), figures]
    return "\n".join(lines) + "\n"


def _name(row: Estimate, *, width: int) -> str:
    return model_cell(row.model if row.source else f"here: {row.model}", width=width)


def _cells(row: Estimate) -> list[str]:
    pictures = "text only" if row.embeds_images is False else _dollars(row.images_usd)
    texts = _dollars(row.texts_usd)
    stored = UNKNOWN if row.stored_bytes is None else _size(row.stored_bytes)
    return [pictures, texts, _dollars(row.month_usd), _time(row.seconds), _size(row.sent_bytes), stored]


def _dollars(money: float | None) -> str:
    return UNKNOWN if money is None else dollars(money)


def _time(seconds: float | None) -> str:
    """Two digits of it: more would promise what an estimate cannot keep."""
    if seconds is None:
        return UNKNOWN
    for unit_s, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 1.5 * unit_s:
            return f"{seconds / unit_s:,.1f} {unit}" if seconds < 10 * unit_s else f"{seconds / unit_s:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def _size(n_bytes: int) -> str:
    return amount(int(float(f"{n_bytes:.2g}"))).replace(".0 ", " ") if n_bytes else "0"


def _notes(rows: Sequence[Estimate]) -> dict[str, list[str]]:
    """Each sentence about a figure that is not known, and the models that it is true of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            if row.embeds_images is not False or "no pictures" not in note:  # the table says that itself
                found.setdefault(note, []).append(row.model)
    return found
