"""`lookalike search` and `lookalike similar`: find pictures by words, by an example, or by an item."""

from __future__ import annotations

import re
import tempfile
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from lookalike.cli.forgetting import meanings
from lookalike.cli.models import ensure_here
from lookalike.cli.options import (
    Output,
    WholeNumber,
    index_option,
    model_option,
    output_options,
    precision_option,
    project_option,
    threads_option,
)
from lookalike.cli.output import print_hits, shown, unknown_project
from lookalike.cli.sheet import Section, write_sheet
from lookalike.config import Config
from lookalike.errors import InputError, ItemNotFound
from lookalike.index import Index
from lookalike.query import Part
from lookalike.sources.folder import PICTURE_SUFFIXES, uri_of
from lookalike.types import Filter, Hits

limit_option = click.option(
    "-n", "--limit", type=WholeNumber(min=1), default=10, show_default=True, help="At most so many."
)
confidence_option = click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Leave out what is less sure; 0.5 is where `related` begins, for words and pictures alike.",
)


def _facts(_context: click.Context, _option: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    """The values of --where as metadata."""
    if any(":" not in pair for pair in pairs):
        raise click.BadParameter("say KEY:VALUE, as in taken_year:2026.")
    return {key: value for key, _, value in (pair.partition(":") for pair in pairs)}


where_option = click.option(
    "--where",
    "metadata",
    multiple=True,
    metavar="KEY:VALUE",
    callback=_facts,
    help="Only pictures with this fact: file_type:jpeg, taken_year:2026, or one of your own; may be repeated.",
)

_WEIGHTED = re.compile(r"(.+)\^([0-9]+(?:\.[0-9]+)?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that is looked for.

    Attributes:
        value: What was typed.
        image: The picture that it names; None for words.
        weight: How much it counts; below 0 for what is to be avoided.
    """

    value: str
    image: Path | None
    weight: float = 1.0

    @property
    def part(self) -> Part:
        """It as a part of a query."""
        words = None if self.image else self.value
        return Part(text=words, image=self.image, weight=self.weight)

    @property
    def document(self) -> dict[str, Any]:
        """It as JSON-able values; the weight only if it matters."""
        kind = "image" if self.image else "text"
        return {kind: self.value} if self.weight == 1 else {kind: self.value, "weight": self.weight}


def query_options(command: Callable[..., None]) -> Callable[..., None]:
    """QUERY, --text, --image, --plus and --minus, handed to the command as one `asked`."""

    @click.argument("query", nargs=-1, metavar="[QUERY]")
    @click.option("--text", multiple=True, metavar="WORDS", help="Words, even if they are a file's name.")
    @click.option("--image", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="A picture's path.")
    @click.option("--plus", multiple=True, metavar="QUERY", help="And more like this; `QUERY^2` counts twice.")
    @click.option("--minus", multiple=True, metavar="QUERY", help="And less like this; `QUERY^0.5` counts half.")
    @wraps(command)
    def with_query(
        *args: Any,
        query: tuple[str, ...],
        text: tuple[str, ...],
        image: tuple[Path, ...],
        plus: tuple[str, ...],
        minus: tuple[str, ...],
        **kwargs: Any,
    ) -> None:
        asked = [Asked(words, None) for words in text] + [Asked(str(path), path) for path in image]
        if query:
            asked.insert(0, _typed(query))
        asked += [_weighted(value, 1) for value in plus] + [_weighted(value, -1) for value in minus]
        if not asked or not all(one.value.strip() for one in asked):
            raise InputError("The query is empty: say what to look for, or give the path of a picture.")
        command(*args, asked=asked, **kwargs)

    return with_query


@click.command()
@query_options
@limit_option
@project_option
@where_option
@confidence_option
@output_options
@index_option
@model_option
@precision_option
@threads_option
@click.pass_obj
def search(
    config: Config,
    asked: Sequence[Asked],
    limit: int,
    project: str | None,
    metadata: Mapping[str, str],
    min_confidence: float,
    output: Output,
) -> None:
    """Find pictures by words, by the path of an example, or by several of both.

    Words part pictures less than pictures do: beside a picture, let them count two to four times.

    \b
      lookalike search "a black dress"
      lookalike search "a black dress" --where taken_year:2026
      lookalike search photo.jpg --limit 20 --open
      lookalike search photo.jpg --plus "blue^3" --minus "stripes^2"
    """
    with Index.open(config=config) as index:
        ensure_here(index.model, config.hub, index.space)
        query = index.query([one.part for one in asked], project=project)
        where = Filter(project=project, metadata=metadata)
        hits = index.find(query, limit=limit, where=where, min_confidence=min_confidence)
        if project and not hits and project not in (known := index.stats().projects):
            click.echo(unknown_project(project, known), err=True)
    _page(_title(asked), next((one.image for one in asked if one.image), None), hits, output)
    document = asked[0].document if len(asked) == 1 else {"query": [one.document for one in asked]}
    print_hits(document, hits, as_json=output.as_json, terminal=config.terminal)


@click.command()
@click.argument("item")
@limit_option
@click.option("--project", metavar="NAME", help="Project of the item, and of the answers.")
@where_option
@confidence_option
@output_options
@index_option
@click.pass_obj
def similar(
    config: Config,
    item: str,
    limit: int,
    project: str | None,
    metadata: Mapping[str, str],
    min_confidence: float,
    output: Output,
) -> None:
    """Find pictures like ITEM, the id or path of a picture in the index. Needs no model: its vector is there."""
    path = _existing(item)
    with Index.open(config=config) as index:
        item_id = _id_of(index, [uri_of(path)] if path else meanings(item), project or config.project)
        hits = index.search(
            item=item_id, project=project, metadata=metadata, limit=limit, min_confidence=min_confidence
        )
    _page(Path(item).name, path, hits, output)
    print_hits({"item": item_id}, hits, as_json=output.as_json, terminal=config.terminal)


def _typed(words: Sequence[str]) -> Asked:
    """QUERY, which is one argument of the shell."""
    if len(words) > 1:
        quoted = " ".join(words).replace('"', "'")
        raise click.UsageError(f'QUERY is one argument; put words in quotes: "{quoted}". More pictures: --plus.')
    query, path = words[0], _existing(words[0])
    if path is not None and path.is_dir():
        told = f"{query} is a folder here, and its name was searched for as words. To index it: lookalike index {query}"
        click.echo(shown(told), err=True)
    return Asked(query, example(query))


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


def _id_of(index: Index, names: Sequence[str], project: str) -> str:
    """Which of these an item of the project is called; the first, for the index to refuse, if none is anywhere."""
    found = [name for name in names if _has(index, name, project)]
    if not found:
        homes = [other for other in sorted(index.stats().projects) if any(_has(index, name, other) for name in names)]
        if homes:
            raise ItemNotFound(
                f"There is no item {names[0]!r} in project {project!r} of this index; there is in {', '.join(homes)}: "
                "say so with --project."
            )
    return (found or names)[0]


def _has(index: Index, name: str, project: str) -> bool:
    try:
        index.item(name, project=project)
    except ItemNotFound:
        return False
    return True


def _weighted(value: str, sign: int) -> Asked:
    """The value of --plus or --minus, with the weight behind its "^" if it has one and no file is called so."""
    found = None if _existing(value) else _WEIGHTED.fullmatch(value)
    value, weight = (found[1], float(found[2])) if found else (value, 1.0)
    return Asked(value, example(value), sign * weight)


def _title(asked: Sequence[Asked]) -> str:
    """ "photo.jpg, + blue (3), - stripes"."""
    several = ((one, f" ({abs(one.weight):g})" if abs(one.weight) != 1 else "") for one in asked)
    signed = [f"{'-' if one.weight < 0 else '+'} {one.value}{weight}" for one, weight in several]
    return ", ".join([asked[0].value if asked[0].weight == 1 else signed[0], *signed[1:]])


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
    click.echo(f"Wrote {page}", err=True)
    if output.show and not webbrowser.open(page.absolute().as_uri()):
        click.echo("No browser could be started here: open that file in one, or name one in $BROWSER.", err=True)
