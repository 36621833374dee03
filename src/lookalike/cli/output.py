"""How results look: sizes, times, tables, JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lookalike.types import Hit, Hits

WIDE = 108
"""Columns of a table from which a hosted model's name stands on one line."""

NAME_COLUMNS = 25
"""Of a line of its name where it does not: what the figures leave of 80 columns."""


def amount(n_bytes: int) -> str:
    """1536 -> "1.5 KB"."""
    size = float(n_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def duration(seconds: float) -> str:
    """3725 -> "1 h 2 min"; 75 -> "1 min 15 s"; 2.34 -> "2.3 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def counted(n: int, noun: str) -> str:
    """(1, "item") -> "1 item"; (1200, "item") -> "1,200 items"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def dollars(money: float) -> str:
    """1234.5 -> "$1,234"; 6.75 -> "$6.75"; 0.004 -> "< $0.01"."""
    if 0 < money < 0.01:
        return "< $0.01"
    return f"${money:,.0f}" if money >= 100 or money == 0 else f"${money:,.2f}"


# C0 and C1 controls, which a terminal obeys and of which a newline breaks a line of output in two; and the stand-ins
# for bytes of a file name that are not UTF-8, which cannot be printed at all.
_UNPRINTABLE = {code: f"\\x{code % 0xDC00:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xDC80, 0xDD00))}


def shown(name: str) -> str:
    """A name from elsewhere, such as a file's, as one line without controls: an escape character as "\\x1b"."""
    return name.translate(_UNPRINTABLE)


def model_cell(model: str, *, width: int) -> str:
    """A hosted model's name for a table that is so wide: where it has to be broken, where one reads a pause."""
    from rich.markup import escape

    provider, _, name = shown(model).partition(":")
    lines = [f"[bold]{escape(provider)}[/]:"]
    for part in re.findall(r"[^-./]+[-./]*|[-./]+", name):
        if width < WIDE and (len(lines) == 1 or len(lines[-1] + part) > NAME_COLUMNS):
            lines.append(" ")
        lines[-1] += escape(part.lstrip() if lines[-1] == " " else part)
    return "\n".join(lines)


def hits_document(query: Mapping[str, Any], hits: Hits) -> dict[str, Any]:
    """An answer as JSON-able values."""
    return {
        "query": dict(query),
        "space": hits.space.id,
        "considered": hits.considered,
        "warnings": list(hits.warnings),
        "approximation": hits.approximation.document if hits.approximation else None,
        "hits": [
            {**asdict(hit.item), "similarity": round(hit.similarity, 6), "confidence": round(hit.confidence, 4)}
            for hit in hits
        ],
    }


def print_hits(query: Mapping[str, Any], hits: Hits, *, as_json: bool, terminal: Mapping[str, str]) -> None:
    """An answer as JSON, as a table for a terminal, or as lines for a pipe."""
    if as_json:
        click.echo(json.dumps(hits_document(query, hits), ensure_ascii=False, indent=2))
        return
    for warning in hits.warnings:
        click.secho(shown(warning), fg="yellow", err=True)
    if not hits:
        click.echo(f"Nothing here matches, of {hits.considered:,} pictures.", err=True)
        return
    if not sys.stdout.isatty():
        for hit in hits:
            project = f"\t{shown(hit.item.project)}" if several_projects(hits) else ""
            click.echo(f"{hit.confidence:.2f}\t{hit.similarity:.4f}\t{_place(hit)}{project}")
        return
    _print_thumbnails(hits, terminal)
    for line in _table(hits):
        click.echo(line)


def unknown_project(project: str, known: Iterable[str]) -> str:
    """What to say of a project that no item of an index belongs to."""
    names = ", ".join(sorted(known))
    return shown(
        f"There is no project {project!r} in the index" + (f"; there are: {names}." if names else ", as it is empty.")
    )


def several_projects(hits: Hits) -> bool:
    """Whether a path alone does not say which item it is."""
    return len({hit.item.project for hit in hits}) > 1


def _table(hits: Hits) -> Iterator[str]:
    """Paths are last, and no line of ours breaks them: what the terminal wraps can still be copied as one."""
    n_rank = len(str(len(hits)))
    projects = [shown(hit.item.project) for hit in hits] if several_projects(hits) else []
    n_project = max(map(len, ["project", *projects]))
    project = f"{'project':{n_project}}  " if projects else ""
    yield click.style(f"{'':{n_rank}}  {'confidence':15}  similarity  {project}picture", bold=True)
    for rank, hit in enumerate(hits, 1):
        filled = round(hit.confidence * 10)
        colour = "green" if hit.confidence >= 0.5 else "yellow" if hit.confidence >= 0.2 else None
        bar = click.style("━" * filled, fg=colour) + click.style("─" * (10 - filled), dim=True)
        project = f"{projects[rank - 1]:{n_project}}  " if projects else ""
        yield f"{rank:{n_rank}}  {bar} {hit.confidence:.2f}  {hit.similarity:>10.3f}  {project}{_place(hit)}"


def _place(hit: Hit) -> str:
    """Where a hit is, relative to the working folder if it lies below it; as one line."""
    uri = hit.item.uri or hit.item.id
    path = Path(uri)
    here = Path.cwd()
    return shown(str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else uri)


def _print_thumbnails(hits: Hits, terminal: Mapping[str, str]) -> None:
    from lookalike.cli.thumbnails import row_of

    row = row_of([Path(hit.item.uri or hit.item.id) for hit in hits], terminal)
    if row:
        click.echo(row)
