"""Long sequences in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Value = TypeVar("Value")


def chunked(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Lists of at most `size` values."""
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
