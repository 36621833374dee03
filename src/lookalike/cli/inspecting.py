"""`lookalike stats` and `lookalike duplicates`: what is in the index."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from lookalike.cli.options import index_option, json_option, project_option
from lookalike.cli.output import amount, counted, shown
from lookalike.config import Config
from lookalike.duplicates import NEAR, DuplicateGroup
from lookalike.index import Index


@click.command()
@click.option("--failures", is_flag=True, help="List every picture that could not be indexed, with the reason.")
@index_option
@json_option
@click.pass_obj
def stats(config: Config, failures: bool, as_json: bool) -> None:
    """Say what the index holds."""
    with Index.open(config=config) as index:
        held = index.stats()
        failed = list(index.failures()) if failures else []
    if as_json:
        listed = [{"item": entry.uri, "project": entry.project, "reason": entry.reason} for entry in failed]
        document = {**asdict(held), "space": held.space.id, **({"failures": listed} if failures else {})}
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    click.echo(f"index     {config.index}")
    click.echo(f"space     {held.space.id}")
    click.echo(f"items     {held.items:,} of {counted(held.contents, 'distinct picture')}")
    for project, count in sorted(held.projects.items()):
        click.echo(f"  {shown(project)}: {count:,}")
    click.echo(f"on disk   {amount(held.n_bytes)}; {counted(held.dead_slots, 'vector')} that no item uses")
    if held.unchecked:
        click.echo(f"unchecked {counted(held.unchecked, 'vector')}, imported without a check")
    if failures and not failed:
        click.echo("failed    none")
    for entry in failed:
        click.echo(f"failed    {shown(f'{entry.uri}: {entry.reason}')}")


@click.command()
@click.option(
    "--near",
    is_flag=True,
    help="Also pictures that were saved again: re-encoded, resized, lightly edited. Compares every pair.",
)
@click.option(
    "--min-similarity",
    type=click.FloatRange(0, 1, min_open=True),
    default=NEAR,
    show_default=True,
    help="With --near: cosine from which two pictures count as the same.",
)
@project_option
@index_option
@json_option
@click.pass_obj
def duplicates(config: Config, near: bool, min_similarity: float, project: str | None, as_json: bool) -> None:
    """List pictures that are there more than once. Nothing is deleted."""
    with Index.open(config=config) as index:
        groups = list(index.duplicates(project=project, min_similarity=min_similarity if near else None))
    if as_json:
        click.echo(json.dumps([asdict(group) for group in groups], ensure_ascii=False, indent=2))
        return
    several = len({item.project for group in groups for item in group.items}) > 1
    groups = [group for group in groups if len(_files(group)) > 1]
    for group in groups:
        _print_group(group, with_projects=several)
    exact = sum(group.reason == "exact" for group in groups)
    near_ones = f", {len(groups) - exact:,} of near-duplicates" if near else ""
    click.echo(f"{counted(exact, 'group')} of equal files{near_ones}")


def _print_group(group: DuplicateGroup, *, with_projects: bool) -> None:
    why = "equal bytes" if group.reason == "exact" else f"similarity {group.similarity:.3f}"
    files = _files(group)
    click.secho(f"{len(files)} x {why}", bold=True)
    for place, projects in files:
        click.echo(shown(f"  {place}" + (f"  ({', '.join(projects)})" if with_projects else "")))


def _files(group: DuplicateGroup) -> list[tuple[str, list[str]]]:
    """Where a group's pictures are, each with its projects: a file that is in two of them is no copy of itself."""
    files: dict[tuple[str, str], list[str]] = {}
    for item in group.items:
        files.setdefault((item.id, item.uri or item.id), []).append(item.project)
    return [(place, projects) for (_, place), projects in files.items()]
