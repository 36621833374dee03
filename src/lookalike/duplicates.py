"""Pictures that are there more than once: the same bytes, or the same picture saved again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lookalike.errors import InputError
from lookalike.search import Searchable
from lookalike.types import Filter, Item, Rows

BLOCK_ROWS = 4096
"""Rows that are compared with rows at once: 64 MiB of cosines."""

NEAR = 0.98
"""The cosine from which two pictures count as the same one, saved again, where nothing else is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """Items that show one picture.

    Attributes:
        reason: "exact": equal bytes. "near": vectors at least as similar as was asked for.
        items: Two or more, by (project, id).
        similarity: Least cosine by which a member is linked to another; 1.0 for equal bytes.
    """

    reason: Literal["exact", "near"]
    items: tuple[Item, ...]
    similarity: float


def find_duplicates(
    store: Searchable,
    *,
    where: Filter | None = None,
    min_similarity: float | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Iterator[DuplicateGroup]:
    """Groups of items that show one picture, the largest groups first; exact ones, then near ones.

    Args:
        store: Where to look.
        where: Which items count.
        min_similarity: Cosine from which two pictures are near-duplicates, 0 to 1; None for exact ones only.
        on_progress: Told the share done, 0 to 1. Near-duplicates compare every pair of contents: the square of
            their number.

    Raises:
        InputError: `min_similarity` is out of range.
    """
    if min_similarity is not None and not 0 < min_similarity <= 1:
        raise InputError(f"min_similarity is {min_similarity}; it must lie between 0 and 1.")
    by_content: dict[str, list[Item]] = defaultdict(list)
    for item in store.items(where or Filter()):
        by_content[item.content].append(item)
    exact = [items for items in by_content.values() if len(items) > 1]
    for items in sorted(exact, key=len, reverse=True):
        yield DuplicateGroup(reason="exact", items=tuple(items), similarity=1.0)
    if min_similarity is None:
        return
    rows, contents = store.vectors(list(by_content))
    for members, similarity in _linked(rows, min_similarity, on_progress):
        found = (item for member in members for item in by_content[contents[member]])
        items = sorted(found, key=lambda item: (item.project, item.id))
        yield DuplicateGroup(reason="near", items=tuple(items), similarity=similarity)


def _linked(
    rows: Rows, min_similarity: float, on_progress: Callable[[float], None] | None
) -> list[tuple[list[int], float]]:
    """Groups of two or more rows, linked by pairs at least so similar, with the least similarity that links."""
    parents = list(range(len(rows)))
    weakest: dict[int, float] = {}
    for left, right, similarity in _pairs(rows, min_similarity, on_progress):
        a, b = _root(parents, left), _root(parents, right)
        lowest = min(similarity, weakest.pop(a, 1.0), weakest.pop(b, 1.0)) if a != b else weakest.pop(a, 1.0)
        parents[b] = a
        weakest[a] = lowest
    groups: dict[int, list[int]] = defaultdict(list)
    for row in range(len(rows)):
        groups[_root(parents, row)].append(row)
    linked = [(members, weakest[root]) for root, members in groups.items() if len(members) > 1]
    return sorted(linked, key=lambda group: (-len(group[0]), group[0]))


def _pairs(
    rows: Rows, min_similarity: float, on_progress: Callable[[float], None] | None
) -> Iterator[tuple[int, int, float]]:
    """Pairs (i < j) of rows at least so similar, best first within a block."""
    starts = range(0, len(rows), BLOCK_ROWS)
    n_blocks = max(1, len(starts) * (len(starts) + 1) // 2)
    done = 0
    for start in starts:
        for other in starts[start // BLOCK_ROWS :]:
            cosines = rows[start : start + BLOCK_ROWS] @ rows[other : other + BLOCK_ROWS].T
            left, right = np.nonzero(cosines >= min_similarity)
            ahead = start + left < other + right
            left, right = left[ahead], right[ahead]
            for i in np.argsort(-cosines[left, right], kind="stable").tolist():
                yield int(start + left[i]), int(other + right[i]), min(float(cosines[left[i], right[i]]), 1.0)
            done += 1
            if on_progress:
                on_progress(done / n_blocks)


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row
