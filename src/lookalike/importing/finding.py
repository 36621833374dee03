"""Where the pictures of rows are: what an item without an id of its own is called by."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import chain

from lookalike.chunks import chunked
from lookalike.tables import Entry, Pictures
from lookalike.types import SourceObject

FOUND_TOGETHER = 128
"""Files that a thread looks for before it hands them over."""

Found = SourceObject | None


def find_all(pictures: Pictures, entries: Sequence[Entry], pool: Executor) -> list[Found]:
    """The file of each row's picture, in order; None where there is none on this machine."""
    return list(chain.from_iterable(pool.map(partial(_each, pictures), chunked(entries, FOUND_TOGETHER))))


def uri_of(pictures: Pictures, entry: Entry, file: Found) -> str:
    """Where a row's picture is, in full."""
    return file.uri if file else pictures.full(entry.uri)


def _each(pictures: Pictures, entries: Sequence[Entry]) -> list[Found]:
    return [pictures.find(entry.uri) for entry in entries]
