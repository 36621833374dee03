"""The values that cross a boundary: arrays with a meaning, items, queries, hits, outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.orders import Order
from lookalike.spaces import Approximation, Modality, Space, Tower
from lookalike.usage import Usage

Pixels = NDArray[np.float32]
"""(3, height, width) or (n, 3, height, width) float32: RGB, resized, cropped and normalised for one model."""

TokenIds = NDArray[np.int64]
"""(length,) int64: one text's token ids at its true length, with begin and end tokens, unpadded."""

Rows = NDArray[np.float32]
"""(n, dim) float32, C-contiguous; every row has unit length."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text, tokenised.

    Attributes:
        ids: Its token ids, unpadded.
        truncated: True if the text was longer than the model reads and its end was cut off.
    """

    ids: TokenIds
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one item of a batch has no vector.

    Attributes:
        position: Its place in the caller's sequence.
        item: Its name (a path, or "images[3]").
        reason: A sentence.
        kind: The error's class name ("ImageError", "TooLarge", ...).
        actual: Of TooLarge: what the item has.
        limit: Of TooLarge: what is allowed, in the same unit.
    """

    position: int
    item: str
    reason: str
    kind: str
    actual: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Vectors that know where they belong.

    Attributes:
        values: (n, dim) float32 with unit rows, in the order that was asked for; failed items are left out.
        tower: The recipe that made them; of rows that several members of a chain made, that of the chain.
        warnings: Sentences about single items, such as a text that was cut; or about all: who answered for whom.
        failures: One for each item that has no row.
        positions: (n,) int64: for each row, its place in the caller's sequence.
        n_tokens: (n,) int64: each row's length in tokens as the model read it, begin and end included; 0 for pictures.
        usage: What making them used.
    """

    values: Rows
    tower: Tower
    positions: NDArray[np.int64]
    warnings: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    n_tokens: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    usage: Usage = field(default_factory=Usage)

    @property
    def space(self) -> Space:
        """The space of every row."""
        return self.tower.space

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One picture as its owner knows it.

    Attributes:
        id: The caller's name for it, unique within the project.
        content: sha256 (hex) of the bytes, or what `contents` makes of an imported vector; items may share one.
        project: The collection that it belongs to.
        uri: Where the picture is (a path or URL); empty if it was handed in as bytes.
        caption: Free text of the owner.
        metadata: Further facts; values are compared as strings when filtering.
    """

    id: str
    content: str
    project: str = "default"
    uri: str = ""
    caption: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which items a search may return.

    Attributes:
        project: Only this project; None for all.
        metadata: Only items that have all of these values.
        apart: Other projects must not show in the answer at all, not even in how sure it is.
    """

    project: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False

    @property
    def is_empty(self) -> bool:
        """True if every item passes."""
        return self.project is None and not self.metadata

    def admits(self, item: Item) -> bool:
        """Whether this item passes."""
        return self.project in (None, item.project) and all(
            name in item.metadata and str(item.metadata[name]) == str(value) for name, value in self.metadata.items()
        )


@dataclass(frozen=True, slots=True)
class Scored:
    """An item and the cosine of its vector to the query, -1 to 1."""

    item: Item
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One answer to a query.

    Attributes:
        item: What was found.
        similarity: Cosine to the query, -1 to 1. Not comparable between text and image queries.
        confidence: 0 to 1: how the similarity compares with what unrelated captions (for words) or other pictures
            (for an example) get; 0.5 is where "related" begins. Comparable between words and pictures.
    """

    item: Item
    similarity: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HitList:
    """The answer to a query, best first, wherever the index is.

    Attributes:
        hits: What was found and passed the threshold.
        considered: How many items the filter let through.
        warnings: Sentences about the query, such as a text that was cut.
        approximation: What read the words, and how well, if not the text model of the index.
    """

    hits: tuple[Hit, ...]
    considered: int
    warnings: tuple[str, ...] = ()
    approximation: Approximation | None = None

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __getitem__(self, index: int) -> Hit:
        return self.hits[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits(HitList):
    """The answer of an index, and the space that was searched; see HitList."""

    space: Space


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceObject:
    """Something that a source lists, not yet read.

    Attributes:
        uri: Its name, under which its outcome is on record; where it is and the id of its item too, without an order.
        stamp: What changes when the object does (size and modification time, an ETag); opaque.
        n_bytes: Its size; 0 if that is not known.
        problem: Why it cannot be read, if that shows already; empty otherwise.
        order: What its source says of the picture: its id, project, caption and facts, and where the bytes are; None if
            it says nothing but the uri.
    """

    uri: str
    stamp: str
    n_bytes: int
    problem: str = ""
    order: Order | None = None


class Outcome(StrEnum):
    """What became of one item of an ingest run."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """Stored as well: another item has the same content, so no vector had to be computed."""
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What is known of one source object since the last run.

    Attributes:
        project: Project of the item.
        item_id: The item that it became or would have become.
        uri: Where the object is.
        stamp: What changes when the object does (size and modification time, an ETag); opaque.
        outcome: How it ended.
        content: sha256 (hex) of its bytes; empty if it could not be read.
        reason: Why it failed; empty otherwise.
    """

    project: str
    item_id: str
    uri: str
    stamp: str
    outcome: Outcome
    content: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What an index holds.

    Attributes:
        items: Number of items.
        contents: Number of distinct pictures among them.
        dead_slots: Vectors on disk that no item uses any more; `compact` frees them.
        n_bytes: Size on disk.
        projects: Number of items by project.
        space: The space that the index is bound to.
        unchecked: Of the contents, vectors that were imported without a check; see `contents`.
        recall: The share of the true best answers that live searches of this process found lately, by the way in which
            they were made; empty where every vector is looked at.
        version: Greater after each change of what it holds; 0 for ever where others write to it without a word.
    """

    items: int
    contents: int
    dead_slots: int
    n_bytes: int
    projects: Mapping[str, int]
    space: Space
    unchecked: int = 0
    recall: Mapping[str, float] = field(default_factory=dict)
    version: int = 0


QueryKind = Literal["text", "image", "composed"]
"""What the background of a score is drawn from: a text's cosines to pictures lie far below a picture's."""

Lane = Literal["interactive", "bulk"]
"""Who waits for an answer: a person, or a job. What is interactive goes first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One picture or text that somebody wants the vector of.

    Attributes:
        modality: "image" or "text".
        payload: The bytes of a picture's file, or the text.
        item: What to call it in errors ("images[3]"); empty if there is only one.
        lane: Whether somebody is waiting for it.
        caller: Who asks (the name of an API key): callers share the service fairly.
        deadline: When the answer is worth nothing any more, on time.monotonic(), in seconds.
    """

    modality: Modality
    payload: bytes | str
    item: str = ""
    lane: Lane = "interactive"
    caller: str = ""
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """The vector of one job.

    Attributes:
        vector: (dim,) float32 of unit length.
        tower: The recipe that made it.
        warning: A sentence, if the text was cut; empty otherwise.
        n_tokens: The length of the text as the model read it, begin and end included; 0 for a picture.
    """

    vector: Rows
    tower: Tower
    warning: str = ""
    n_tokens: int = 0
