"""`lookalike doctor`: what is slow, missing or wrong here, and what to do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lookalike.cli import checks
from lookalike.cli.checks import Check, guarded
from lookalike.cli.options import index_option, json_option, model_option, precision_option, threads_option
from lookalike.config import Config
from lookalike.places import holds_index

COLOUR = {"ok": "green", "slow": "yellow", "warning": "yellow", "wrong": "red", "missing": "red"}


@click.command()
@index_option
@model_option
@precision_option
@threads_option
@json_option
@click.pass_obj
def doctor(config: Config, as_json: bool) -> None:
    """Say what is slow, missing or wrong here, and what to do.

    Loads the model, tries it, and reads the whole index. Nothing is fetched.

    Exits with 1 if something is wrong or missing.
    """
    is_terminal = sys.stdout.isatty()
    found: list[Check] = []
    if as_json or not is_terminal:
        for check in examine(config, is_terminal=is_terminal):
            found.append(check)
            if not as_json:
                _print_line(check)
        if as_json:
            click.echo(json.dumps([asdict(check) for check in found], ensure_ascii=False, indent=2))
    else:
        found = _show(config)
    if not as_json:
        click.echo(summary(found))
    sys.exit(1 if any(check.is_bad for check in found) else 0)


def examine(config: Config, *, is_terminal: bool) -> Iterator[Check]:
    """Every check, in the order in which a beginner would ask; none of them raises."""
    yield from guarded("Python", lambda: [checks.check_python()])
    yield from guarded("libraries", lambda: [checks.check_libraries()])
    yield from guarded("cores", lambda: [_cores(config)])
    yield from guarded("model", lambda: _model(config))
    yield from guarded("index", lambda: [_index(config)])
    yield from guarded("search kernels", lambda: [checks.check_search_speed()])
    yield from guarded("cache folder", lambda: [checks.check_folder("cache folder", config.cache_dir)])
    index = config.index
    if isinstance(index, Path):
        yield from guarded("index folder", lambda: [_index_folder(index)])
    yield from guarded("HEIC pictures", lambda: [checks.check_heic()])
    yield from guarded("downloads", lambda: [_network(config)])
    yield from guarded("terminal", lambda: [checks.check_terminal(config.terminal, is_terminal=is_terminal)])


def _cores(config: Config) -> Check:
    from lookalike.encoders.cores import available_cores

    allowed = available_cores()
    return checks.check_cores(host=os.cpu_count() or 1, allowed=allowed, used=config.threads or allowed)


def _model(config: Config) -> Iterator[Check]:
    from lookalike.cli import model_checks

    model = model_checks.model_of(config)
    size = model_checks.weights_bytes(model, config)
    yield from guarded("memory", lambda: [checks.check_memory(checks.available_memory(), checks.memory_limit(), size)])
    yield from model_checks.check_model(model, config)


def _index(config: Config) -> Check:
    from lookalike.cli.model_checks import check_index

    return check_index(config.index)


def _index_folder(index: Path) -> Check:
    return checks.check_folder("index folder", index, is_index=holds_index(index))


def _network(config: Config) -> Check:
    from urllib.request import getproxies

    return checks.check_network(config.hub, getproxies())


def summary(found: list[Check]) -> str:
    """One sentence about all of it."""
    bad = sum(check.is_bad for check in found)
    could = sum(check.verdict in ("slow", "warning") for check in found)
    if bad:
        return f"{bad} of {len(found)} checks found something wrong or missing."
    better = f"; {could} {'thing' if could == 1 else 'things'} could be better" if could else ""
    return f"Everything works{better}."


def _print_line(check: Check) -> None:
    click.echo(f"{check.verdict:<8} {check.name}: {check.facts}")
    if check.remedy:
        click.echo(f"{'':<8}   -> {check.remedy}")


def _show(config: Config) -> list[Check]:
    from rich.console import Console

    console = Console()
    with console.status("Looking ..."):
        found = list(examine(config, is_terminal=True))
    console.print(_table(found), "")
    return found


def _table(found: list[Check]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in found:
        told = Text(check.facts)
        if check.remedy:
            told.append(f"\n{check.remedy}", style=COLOUR[check.verdict] if check.verdict != "ok" else "dim")
        table.add_row(Text(check.verdict, style=COLOUR[check.verdict]), Text(check.name, style="bold"), told)
    return table
