"""One call of a vectorizer: what is handed in, and what becomes of the parts that come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lookalike import errors
from lookalike.errors import InputError, TooLarge
from lookalike.spaces import Modality, Tower
from lookalike.types import Failure, Vectors
from lookalike.usage import Usage

Payload = bytes | bytearray | memoryview | str | Path
"""A picture's bytes or path, or a text."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """Pictures or texts that somebody wants the vectors of.

    Attributes:
        modality: What they are.
        payloads: Pictures as bytes or paths, or texts; may be read once only, in order, when its turn comes.
        names: What to call each in errors and warnings.
    """

    modality: Modality
    payloads: Sequence[Payload]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.payloads)

    def at(self, positions: Sequence[int]) -> Inputs:
        """The inputs at these places, in that order."""
        return replace(self, payloads=[self.payloads[p] for p in positions], names=[self.names[p] for p in positions])


def moved(part: Vectors, positions: Sequence[int]) -> Vectors:
    """The vectors of `inputs.at(positions)` as vectors of `inputs`: every place counts in the caller's sequence."""
    places = np.asarray(positions, np.int64)
    failures = tuple(replace(failure, position=int(places[failure.position])) for failure in part.failures)
    return replace(part, positions=places[part.positions], failures=failures)


def joined(parts: Iterable[Vectors], tower: Tower) -> Vectors:
    """The parts of one call as one: rows and failures by their place in the caller's sequence.

    Args:
        parts: In any order; of one space.
        tower: What is named as their recipe if they have not all the same: no rows, or those of several members of a
            chain. The space is the same, and a chain's warnings name who made them.
    """
    found = list(parts)
    if not found:
        return Vectors(np.empty((0, tower.space.dim), np.float32), tower, np.empty(0, np.int64))
    positions = np.concatenate([part.positions for part in found])
    order = np.argsort(positions, kind="stable")
    recipes = {part.tower for part in found if len(part)}
    return Vectors(
        np.concatenate([part.values for part in found])[order],
        recipes.pop() if len(recipes) == 1 else tower,
        positions[order],
        warnings=tuple(dict.fromkeys(warning for part in found for warning in part.warnings)),
        failures=tuple(sorted((f for part in found for f in part.failures), key=lambda f: f.position)),
        n_tokens=np.concatenate([part.n_tokens for part in found])[order],
        usage=sum((part.usage for part in found), Usage()),
    )


def failure_of(position: int, name: str, error: InputError) -> Failure:
    """Why an input has no vector."""
    figures = (error.actual, error.limit) if isinstance(error, TooLarge) else ()
    return Failure(position, name, error.reason, type(error).__name__, *figures)


def error_of(failure: Failure) -> InputError:
    """The error that a failure was made of."""
    if failure.kind == TooLarge.__name__:
        return TooLarge(failure.reason, actual=failure.actual, limit=failure.limit, item=failure.item)
    kind = getattr(errors, failure.kind, InputError)
    return kind(failure.reason, item=failure.item) if issubclass(kind, InputError) else InputError(failure.reason)
