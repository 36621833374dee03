"""`lookalike forget`: take items out of the index, whatever has become of their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from lookalike.cli.options import index_option
from lookalike.cli.output import counted, shown
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.index import Index
from lookalike.sources.folder import uri_of


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="PATH...")
@click.option("--project", metavar="NAME", help="Project that the items belong to.  [$LOOKALIKE_PROJECT]")
@index_option
@click.pass_obj
def forget(config: Config, places: tuple[str, ...], project: str | None) -> None:
    """Remove items from the index. No file is touched.

    PATH is a file, a folder or a part of a bucket with everything below it, or the id of an item; it need not exist any
    more. What does comes back when its folder is indexed again.
    """
    if project:
        config = replace(config, project=project)
    named = {place: meanings(place) for place in places}
    with Index.open(config=config, write=True) as index:
        counts = {place: index.forget(meant) for place, meant in named.items()}
    if any(counts.values()):
        click.echo(f"Removed {counted(sum(counts.values()), 'item')} from the index; no file was touched")
    unknown = [shown(place) for place, count in counts.items() if not count]
    if unknown:
        raise InputError(f"Project {config.project!r} of this index has no item at {', '.join(unknown)}.")


def meanings(place: str) -> list[str]:
    """Everything that a place may mean to the index: an id, a file, and as a folder may be gone, everything below."""
    if not place.strip():
        raise InputError("The path is empty: give a file, a folder or the id of an item.")
    if "://" in place:  # of a bucket or a table: no path, which would lose a slash
        return list(dict.fromkeys([place, f"{place.rstrip('/')}/"]))
    try:
        uri = uri_of(Path(place))
    except InputError:  # "~" of nobody: no path, but it may be an id
        return [place]
    return list(dict.fromkeys([place, uri, f"{uri.rstrip('/')}/"]))
