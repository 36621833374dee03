"""`lookalike search` and `lookalike similar`: find pictures by words, by an example, or by an item."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import click

from lookalike.cli.models import ensure_here
from lookalike.cli.options import (
    Output,
    index_option,
    model_option,
    output_options,
    precision_option,
    project_option,
    threads_option,
)
from lookalike.cli.output import print_hits
from lookalike.cli.sheet import Section, write_sheet
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.index import Index
from lookalike.sources.folder import PICTURE_SUFFIXES, uri_of
from lookalike.types import Hits

limit_option = click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="At most so many."
)
confidence_option = click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Leave out what is less sure; 0.5 is where `related` begins, for words and pictures alike.",
)


@click.command()
@click.argument("query")
@limit_option
@project_option
@confidence_option
@output_options
@index_option
@model_option
@precision_option
@threads_option
@click.pass_obj
def search(
    config: Config,
    query: str,
    limit: int,
    project: str | None,
    min_confidence: float,
    output: Output,
) -> None:
    """Find pictures by words, or by the path of an example.

    \b
      lookalike search "a black dress"
      lookalike search photo.jpg --limit 20 --open
    """
    if not query.strip():
        raise InputError("The query is empty: say what to look for, or give the path of a picture.")
    image = example(query)
    with Index.open(config=config) as index:
        ensure_here(index.model, config.hub)
        hits = index.search(
            text=None if image else query, image=image, project=project, limit=limit, min_confidence=min_confidence
        )
    _page(query, image, hits, output)
    print_hits({"image" if image else "text": query}, hits, as_json=output.as_json, terminal=config.terminal)


@click.command()
@click.argument("item")
@limit_option
@click.option("--project", metavar="NAME", help="Project of the item, and of the answers.")
@confidence_option
@output_options
@index_option
@click.pass_obj
def similar(
    config: Config,
    item: str,
    limit: int,
    project: str | None,
    min_confidence: float,
    output: Output,
) -> None:
    """Find pictures like ITEM, the id or path of a picture in the index. Needs no model: its vector is there."""
    path = _existing(item)
    item_id = uri_of(path) if path else item
    with Index.open(config=config) as index:
        hits = index.search(item=item_id, project=project, limit=limit, min_confidence=min_confidence)
    _page(Path(item).name, path, hits, output)
    print_hits({"item": item_id}, hits, as_json=output.as_json, terminal=config.terminal)


def example(query: str) -> Path | None:
    """The picture that a query names; None if it is words.

    Raises:
        InputError: It looks like a picture's file name, and there is no such file.
    """
    path = _existing(query)
    if path is not None and path.is_file():
        return path
    if query.lower().endswith(PICTURE_SUFFIXES) and " " not in query.strip():
        raise InputError(
            "there is no such file; check the spelling, or leave out the ending to search for words.", item=query
        )
    return None


def _existing(words: str) -> Path | None:
    """The file or folder that words may name."""
    try:
        path = Path(words).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError):  # too long for a file name, not to be reached; "~" and words that are no user
        return None


def _page(title: str, image: Path | None, hits: Hits, output: Output) -> None:
    if output.html is None and not output.show:
        return
    page = output.html or Path(tempfile.mkdtemp(prefix="lookalike-")) / "hits.html"
    write_sheet(page, title="lookalike", sections=[Section(title=title, query_image=image, hits=hits)])
    if output.show:
        webbrowser.open(page.absolute().as_uri())
    click.echo(f"Wrote {page}", err=True)
