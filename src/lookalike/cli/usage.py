"""`lookalike usage`: what hosted models were used for, and what that cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from lookalike.cli.options import WholeNumber, json_option
from lookalike.cli.output import dollars, model_cell, shown
from lookalike.config import Config
from lookalike.metering.log import FILE, Account, read_usage
from lookalike.metering.meter import today
from lookalike.providers.prices import price_of
from lookalike.usage import Usage

Rows = Sequence[tuple[Account, Usage]]


@click.command()
@click.option(
    "--days", type=WholeNumber(min=1), default=30, show_default=True, metavar="N", help="Of so many days, today last."
)
@json_option
@click.pass_obj
def usage(config: Config, days: int, as_json: bool) -> None:
    """Say what hosted models were used for, and what that cost.

    By day (in UTC), model and key; a key is shown as the first digits of its sha256.
    """
    rows = read_usage(config.cache_dir / FILE, since=today() - timedelta(days=days - 1))
    if as_json:
        listed = [{**asdict(account), "day": account.day.isoformat(), **asdict(used)} for account, used in rows]
        click.echo(json.dumps({"usage": listed, "total": asdict(_total(rows))}, ensure_ascii=False, indent=2))
        return
    if not rows:
        click.echo(f"No hosted model was used in the last {days} days.", err=True)
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_table(rows, width=console.width))
    if unknown := sorted(
        {f"{account.provider}:{account.model}" for account, used in rows if not _is_priced(account, used)}
    ):
        console.print(f"? Not in the total, as no price is known: {', '.join(map(shown, unknown))}", markup=False)


def _total(rows: Rows) -> Usage:
    return sum((used for _, used in rows), Usage())


def _is_priced(account: Account, used: Usage) -> bool:
    """Whether what was used has a price; nothing costs nothing."""
    price = price_of(account.provider, account.model)
    if price is None:
        return not (used.texts or used.images or used.cached)
    return price.covers_images or not used.images


def _table(rows: Rows, *, width: int) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    table.add_column("model", "total", overflow="fold")
    names = ("requests", "texts", "pictures", "tokens", "cost", "saved")
    for name, cell in zip(names, _cells(_total(rows)), strict=True):
        table.add_column(name, cell, justify="right", no_wrap=True)
    previous = None
    for account, used in rows:
        if account.day != previous:
            table.add_section()
            table.add_row(f"[bold]{account.day}[/]")
        previous = account.day
        name = model_cell(f"{account.provider}:{account.model}", width=width)
        key = f"\n [dim]key {escape(account.key)}[/]" if account.key else ""
        counts, money = _cells(used)[:4], _cells(used)[4:]
        table.add_row(f"{name}{key}", *counts, *(money if _is_priced(account, used) else "??"))
    return table


def _cells(used: Usage) -> list[str]:
    counts = (used.requests, used.texts, used.images, used.tokens + used.image_tokens)
    return [*(f"{n:,}" for n in counts), dollars(used.cost_usd), dollars(used.saved_usd)]
