"""The spaces of an index side by side, of which one is searched, and the seams to what keeps and fills them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.spaces import Space
from lookalike.types import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceEntry:
    """One space of an index: a whole set of vectors of its pictures, made by one recipe.

    Two entries may have the same space, where another precision made the vectors: then they may be compared, and are
    kept apart all the same.

    Attributes:
        number: Its name within the index; never given again.
        space: Where its vectors belong.
        precision: Of the model that fills it; empty where that was not noted, as of an index's first space.
        is_current: Whether it is the one that is searched.
        n_vectors: How many pictures have a vector in it.
        n_bytes: What these take on the disk.
    """

    number: int
    space: Space
    precision: str = ""
    is_current: bool
    n_vectors: int
    n_bytes: int

    @property
    def label(self) -> str:
        """A name for people, which another entry may have as well: "tiny", "tiny+int8", "tiny+ignore"."""
        marks = [self.precision] if self.precision not in ("", "exact") else []
        marks += [self.space.orientation] if self.space.orientation != "apply" else []
        return "+".join([self.space.name, *marks])


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A picture that has no vector in a space.

    Attributes:
        content: Its sha256 (hex), or what `contents` makes of an imported vector.
        item: The id of an item that it is the picture of, for messages.
        uris: Where it may be, as its items say; none if all of them were handed in as bytes.
    """

    content: str
    item: str
    uris: tuple[str, ...]


class SpaceKeeper(Protocol):
    """The spaces of one index. Every method may raise StoreError."""

    def entries(self) -> list[SpaceEntry]:
        """All of them, by number."""
        ...

    def add(self, space: Space, *, precision: str) -> int:
        """Make an empty space beside the others; its number. Nothing that searches or writes notices."""
        ...

    def switch(self, number: int, *, allow_missing: bool = False) -> int:
        """Let this space be the one that is searched, at one moment; how many items cannot be found in it.

        Raises:
            StoreError: Items are missing in it, and `allow_missing` is not set. Nothing was changed.
            StoreLocked: Somebody is writing. Nothing was changed.
        """
        ...

    def drop(self, number: int) -> None:
        """Remove a space with its vectors. StoreError if it is the one that is searched."""
        ...


class Filling(Protocol):
    """One space that is being filled, while the index is searched, and written, in another."""

    def n_missing(self) -> int:
        """How many pictures in use have no vector in it."""
        ...

    def missing(self) -> Iterator[Missing]:
        """Each of them, once; those of the walk's beginning, whatever is put meanwhile."""
        ...

    def put(self, contents: Sequence[str], vectors: Rows) -> None:
        """Store (m, dim) unit rows of m of these pictures, durable when it returns. What is stored keeps its own."""
        ...

    def settle(self, reasons: dict[str, str]) -> int:
        """Bring over what else the index holds; how many items stay without a vector.

        Args:
            reasons: Why a content could not be given one, by content.
        """
        ...
