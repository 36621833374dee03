"""What a cache of vectors keeps, and what it tells about itself."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.spaces import Tower
from lookalike.types import Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CacheEntry:
    """A vector that is kept, and what was said with it. Nothing in it can be read as the input that it was made of.

    Attributes:
        vector: (dim,) float32 of unit length.
        n_tokens: The length of the text as the model read it; 0 for a picture, or where it is not known.
        cost_usd: What making it cost, in US dollars; 0 where that is not known.
        warning: A sentence about the input, without its name, such as that its end was left out; empty for none.
    """

    vector: Rows
    n_tokens: int = 0
    cost_usd: float = 0.0
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerName:
    """Whose vectors they are: enough to list what a cache holds.

    Attributes:
        fingerprint: The tower's, sha256 (hex).
        model: The model's name, for people.
        space: Id of the space.
        dim: Length of its vectors.
    """

    fingerprint: str
    model: str
    space: str
    dim: int

    @classmethod
    def of(cls, tower: Tower) -> TowerName:
        """The name of a tower."""
        space = tower.space
        return cls(fingerprint=tower.fingerprint, model=space.model, space=space.id, dim=space.dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a cache has of one tower.

    Attributes:
        tower: Whose vectors.
        entries: How many.
    """

    tower: TowerName
    entries: int

    @property
    def n_bytes(self) -> int:
        """The vectors themselves, in bytes."""
        return self.entries * self.tower.dim * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a cache holds, and what it was good for.

    Attributes:
        holdings: By tower; the largest first.
        n_bytes: What it takes where it is kept, its bookkeeping included.
        hits: Inputs that were answered from it since it was made, by whomever.
        misses: Inputs that it did not have.
        saved_usd: What the hits would have cost, as far as that is known, in US dollars.
    """

    holdings: tuple[Holding, ...] = ()
    n_bytes: int = 0
    hits: int = 0
    misses: int = 0
    saved_usd: float = 0.0

    @property
    def entries(self) -> int:
        """How many vectors it holds."""
        return sum(holding.entries for holding in self.holdings)

    @property
    def hit_rate(self) -> float:
        """The share of inputs that were answered from it, 0 to 1."""
        return self.hits / max(1, self.hits + self.misses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What is to go; what is None makes no difference, and with several set, each removes its own.

    Attributes:
        model: Vectors of this model, by its name or the id of its space.
        unused_s: What was not used for so many seconds.
        max_bytes: Of the rest, what was used least recently, until the vectors take no more than this.
    """

    model: str | None = None
    unused_s: float | None = None
    max_bytes: int | None = None
