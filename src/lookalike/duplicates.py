"""Pictures that are there more than once: the same bytes, or the same picture saved again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InputError
from lookalike.search import Searchable
from lookalike.types import Filter, Item, Rows

BLOCK_ROWS = 4096
"""Rows that are compared with rows at once: 64 MiB of cosines."""

LINKED_AT_ONCE = 4096
"""Pairs that are linked one by one before those are left out whose rows are in one group by now."""

ROUNDING = 1e-6
"""By so much the cosine of two equal rows may miss 1, as may any other: it is a sum in float32."""

NEAR = 0.98
"""The cosine from which two pictures count as the same one, saved again, where nothing else is asked for."""


Places = NDArray[np.int64]
"""Which rows, by their numbers."""


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
    roots, weakest = np.arange(len(rows)), np.ones(len(rows), np.float32)
    blocks = list(combinations_with_replacement(range(0, len(rows), BLOCK_ROWS), 2))
    for done, (start, other) in enumerate(blocks, 1):
        ours, theirs = slice(start, start + BLOCK_ROWS), slice(other, other + BLOCK_ROWS)
        cosines = rows[ours] @ rows[theirs].T
        # Of many that are all near each other, most say nothing new: their rows are in one group already.
        is_link = (cosines >= min_similarity - ROUNDING) & (roots[ours, None] != roots[None, theirs])
        left, right = np.nonzero(np.triu(is_link, 1) if start == other else is_link)
        _link(roots, weakest, start + left, other + right, np.minimum(cosines[left, right], 1.0))
        if on_progress:
            on_progress(done / len(blocks))
    groups: dict[int, list[int]] = defaultdict(list)
    for row, root in enumerate(roots.tolist()):
        groups[root].append(row)
    linked = [(members, float(weakest[root])) for root, members in groups.items() if len(members) > 1]
    return sorted(linked, key=lambda group: (-len(group[0]), group[0]))


def _link(roots: Places, weakest: Rows, left: Places, right: Places, cosines: Rows) -> None:
    """Join the groups of these pairs, best first.

    Args:
        roots: (n,) the row that each row's group is known by; brought up to date.
        weakest: (n,) at such a row, the least similarity that links its group; brought up to date.
        left: (m,) one row of each pair.
        right: (m,) the other.
        cosines: (m,) how similar they are.
    """
    order = np.argsort(-cosines, kind="stable")
    while len(order):
        for pair in order[:LINKED_AT_ONCE].tolist():
            a, b = _root(roots, left[pair]), _root(roots, right[pair])
            if a != b:
                roots[b] = a
                weakest[a] = min(cosines[pair], weakest[a], weakest[b])
        while not np.array_equal(further := roots[roots], roots):
            roots[:] = further
        order = order[LINKED_AT_ONCE:]
        order = order[roots[left[order]] != roots[right[order]]]


def _root(roots: Places, row: int) -> int:
    while roots[row] != row:
        row = roots[row]
    return row
