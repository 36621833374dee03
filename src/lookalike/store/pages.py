"""Pages of a walk that goes on where the one before ended."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from lookalike.errors import InputError
from lookalike.types import Item


def number_in(after: str, *, default: int) -> int:
    """The number that a page before gave for the next one, or the default for the first. InputError if it is none."""
    if not after:
        return default
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise InputError("is not what an answer gave in 'next'.", item="after")
    return int(after)


def start_behind(after: tuple[str, str] | None, project: str) -> str | None:
    """The first id that may follow a (project, id) within a project; None if none may."""
    if after is None or after[0] < project:
        return ""
    return after[1] + "\0" if after[0] == project else None


def paged(items: Iterable[Item], *, limit: int, after: str) -> tuple[list[Item], str]:
    """Some items of a walk that starts at its beginning each time, and where the next ones begin; empty at the end."""
    start = number_in(after, default=0)
    found = list(islice(items, start, start + limit + 1))
    return found[:limit], str(start + limit) if len(found) > limit else ""
