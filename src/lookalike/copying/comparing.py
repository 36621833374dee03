"""What two indexes have in common: items and ledger bit for bit, vectors but for the rounding of the stores."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from lookalike.chunks import chunked
from lookalike.copying.run import BATCH, CopyableStore, known_entries
from lookalike.progress import Progress
from lookalike.types import Filter, Item, LedgerEntry, Rows

MIN_COSINE = 0.99999
"""Between a vector and its copy. Every store keeps 16 bits of a number, fixed point with steps of 1 / 32,512 or eleven
significant bits. Either turns a vector of up to 4,000 numbers by 0.001 at most, which is a cosine of 0.9999995."""

COMPARED_TOGETHER = 512
"""Vectors: what fits in a core's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One index, as far as it is compared.

    Attributes:
        items: Those of the source that it has.
        items_sha256: Of these items in order of (project, id), with everything that is known of them.
        entries: Entries of the source's ledger that it has.
        ledger_sha256: Of these entries in order of (project, uri).
    """

    items: int
    items_sha256: str
    entries: int
    ledger_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a copy compares with what it was made of.

    Attributes:
        source: The index that was copied.
        target: What the other has of it. Items and entries that it has beside these are not looked at.
        vectors: Distinct pictures of each batch whose vectors were compared.
        lacking: Pictures that have a vector in the source and none in the target, in each batch.
        far: Those of them whose vectors are further apart than rounding takes them: a cosine below MIN_COSINE.
        least_cosine: Of a vector and its copy.
        largest_difference: Between a number of a vector and its copy.
    """

    source: Side
    target: Side
    vectors: int
    lacking: int
    far: int
    least_cosine: float
    largest_difference: float

    @property
    def is_equal(self) -> bool:
        """Whether the target has all that the source has."""
        return self.source == self.target and self.lacking == self.far == 0


def compare(
    source: CopyableStore,
    target: CopyableStore,
    *,
    project: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Read back all that a copy should have brought; memory is bounded by a batch.

    Args:
        source: What was copied.
        target: Where to.
        project: Only this project; all if left out.
        on_progress: Told after every batch.
    """
    began_s = time.monotonic()
    mine, theirs, vectors = _Digest(), _Digest(), _Distances()
    for items in chunked(source.items(Filter(project=project)), BATCH):
        mine.add(map(_item_fields, items))
        theirs.add(_item_fields(item) for item in target.get([(item.project, item.id) for item in items]) if item)
        contents = sorted({item.content for item in items})
        vectors.add(source.vectors(contents), target.vectors(contents))
        if on_progress:
            on_progress(Progress(counts={}, done=mine.n, n_bytes=0, elapsed_s=time.monotonic() - began_s))
    my_entries, their_entries = _Digest(), _Digest()
    for entries in chunked(source.ledger.under(project, ""), BATCH):
        my_entries.add(map(_entry_fields, entries))
        their_entries.add(_entry_fields(entry) for entry in known_entries(target.ledger, entries) if entry)
    return Comparison(
        source=_side(mine, my_entries),
        target=_side(theirs, their_entries),
        vectors=vectors.n,
        lacking=vectors.n_lacking,
        far=vectors.n_far,
        least_cosine=vectors.least_cosine,
        largest_difference=vectors.largest,
    )


def _item_fields(item: Item) -> list[object]:
    return [item.project, item.id, item.content, item.uri, item.caption, sorted(item.metadata.items())]


def _entry_fields(entry: LedgerEntry) -> list[object]:
    return [entry.project, entry.uri, entry.item_id, entry.stamp, entry.outcome, entry.content, entry.reason]


class _Digest:
    """A sha256 over values in order, each a line of JSON, which keeps their texts apart."""

    def __init__(self) -> None:
        self.n = 0
        self._sha256 = hashlib.sha256()

    def add(self, values: Iterable[list[object]]) -> None:
        lines = [f"{json.dumps(value)}\n" for value in values]
        self._sha256.update("".join(lines).encode())
        self.n += len(lines)

    def hex(self) -> str:
        return self._sha256.hexdigest()


class _Distances:
    """How far copies are from what they were made of."""

    def __init__(self) -> None:
        self.n = self.n_lacking = self.n_far = 0
        self.least_cosine, self.largest = 1.0, 0.0

    def add(self, mine: tuple[Rows, list[str]], theirs: tuple[Rows, list[str]]) -> None:
        """Rows of either side and the contents that they are of; those that both have are compared."""
        place = {content: n for n, content in enumerate(theirs[1])}
        both = [(n, place[content]) for n, content in enumerate(mine[1]) if content in place]
        self.n += len(both)
        self.n_lacking += len(mine[1]) - len(both)
        for pairs in chunked(both, COMPARED_TOGETHER):
            rows, copies = np.array(pairs).T
            differences = mine[0][rows] - theirs[0][copies]
            # Of unit rows; a sum of products in float32 would itself be rounded by as much as is looked for here.
            cosines = 1 - np.einsum("nd,nd->n", differences, differences) / 2
            self.n_far += int(np.count_nonzero(cosines < MIN_COSINE))
            self.least_cosine = min(self.least_cosine, float(cosines.min()))
            self.largest = max(self.largest, float(np.abs(differences).max()))


def _side(items: _Digest, entries: _Digest) -> Side:
    return Side(items=items.n, items_sha256=items.hex(), entries=entries.n, ledger_sha256=entries.hex())
