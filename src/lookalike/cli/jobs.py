"""`lookalike jobs`: the orders to index pictures, looked up and replayed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from lookalike import app
from lookalike.cli.options import WholeNumber, index_option, json_option, project_option
from lookalike.cli.output import shown
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.orders import IndexJob, JobQueue, JobState

PAGE = 500
"""Dead jobs that are replayed in one transaction."""

SHOWN = (JobState.WORKING, JobState.WAITING, JobState.DEAD)


@click.group()
def jobs() -> None:
    """Look at the orders to index pictures, and let those that failed begin anew."""


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in JobState]), help="Only jobs in this state.")
@click.option("--limit", type=WholeNumber(min=1), default=20, show_default=True, help="Jobs of each state.")
@click.option("--above", type=WholeNumber(min=0), default=0, help="Only jobs with a number above this one.")
@project_option
@json_option
@index_option
@click.pass_obj
def list_jobs(config: Config, state: str | None, limit: int, above: int, project: str | None, as_json: bool) -> None:
    """List jobs that wait, are worked on or are dead, by number; those that are done with --state done."""
    states = SHOWN if state is None else (JobState(state),)
    with _queue(config) as queue:
        found = [job for one in states for job in queue.page(state=one, project=project, above=above, limit=limit)]
    _show(found, as_json=as_json)


@jobs.command()
@click.option("--limit", type=WholeNumber(min=1), default=20, show_default=True, help="Jobs that are shown.")
@project_option
@json_option
@index_option
@click.pass_obj
def dead(config: Config, limit: int, project: str | None, as_json: bool) -> None:
    """List jobs that failed for good, with the reason; `lookalike jobs replay` lets them begin anew."""
    with _queue(config) as queue:
        found = queue.page(state=JobState.DEAD, project=project, above=0, limit=limit)
    _show(found, as_json=as_json)


@jobs.command()
@click.argument("numbers", nargs=-1, type=WholeNumber(min=1))
@click.option("--all", "everything", is_flag=True, help="All dead jobs, of --project if that is given.")
@project_option
@index_option
@click.pass_obj
def replay(config: Config, numbers: tuple[int, ...], everything: bool, project: str | None) -> None:
    """Let the dead jobs with these NUMBERS begin anew, at once and with all their attempts."""
    if bool(numbers) == everything or (project and not everything):
        raise InputError("say which: the numbers of jobs, or --all, of one project with --project NAME.")
    with _queue(config) as queue:
        if everything:
            begun = sum(len(queue.replay(page)) for page in _dead(queue, project))
        else:
            begun = len(queue.replay(numbers))
    click.echo(f"{begun:,} jobs begin anew" if begun != 1 else "1 job begins anew")
    if not everything and begun < len(set(numbers)):
        click.echo("The others are not dead, not known, or overtaken by a newer order for their item.", err=True)


def _dead(queue: JobQueue, project: str | None) -> Iterator[list[int]]:
    above = 0
    while page := queue.page(state=JobState.DEAD, project=project, above=above, limit=PAGE):
        numbers = [job.number for job in page]
        yield numbers
        above = numbers[-1]


@contextmanager
def _queue(config: Config) -> Iterator[JobQueue]:
    queue = app.open_queue(config.index)
    try:
        yield queue
    finally:
        queue.close()


def _show(found: Sequence[IndexJob], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_document(job) for job in found], ensure_ascii=False, indent=2))
    elif not found:
        click.echo("There are none.", err=True)
    elif not sys.stdout.isatty():
        for job in found:
            click.echo("\t".join(_cells(job)))
    else:
        from rich.console import Console

        Console().print(_table(found))


def _document(job: IndexJob) -> dict[str, Any]:
    return {
        "job": job.number,
        "state": job.state.value,
        "attempts": job.attempts,
        "reason": job.reason,
        "ordered_s": job.ordered_s,
        "changed_s": job.changed_s,
        **asdict(job.order),
    }


def _cells(job: IndexJob) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.changed_s))
    name = f"{job.order.project}/{job.order.id}"
    return str(job.number), job.state.value, str(job.attempts), when, shown(name), shown(job.reason)


def _table(found: Sequence[IndexJob]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("job", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("since, or next try", no_wrap=True)
    table.add_column("item", overflow="fold")
    table.add_column("reason", overflow="fold")
    for job in found:
        table.add_row(*map(escape, _cells(job)))
    return table
