"""What may be believed of an answer: a row for each input, all of the right length and of real numbers; made unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.calls import failure_of
from lookalike.errors import InputError, ProviderError, SpaceMismatch
from lookalike.providers.adapter import Reading
from lookalike.providers.splitting import Batch, Entry
from lookalike.spaces import Tower
from lookalike.types import Failure, Vectors


def believed(batch: Batch, reading: Reading, tower: Tower, *, provider: str) -> Vectors:
    """The vectors of an answer, checked and made unit here: what a provider says of lengths is not relied on.

    Args:
        batch: What was asked.
        reading: What the answer says.
        tower: The recipe that every answer must be of.
        provider: Who answered, for errors.

    Returns:
        The unit rows of `batch`; a row that points nowhere (zeros, or numbers that are not finite) is a failure of its
        input.

    Raises:
        ProviderError: Another number of rows, rows of several lengths or per token, what is no number, or several
            rows of which none points anywhere.
        SpaceMismatch: Vectors of another length, or an answer that says that it is of another space.
    """
    if reading.tower:
        tower.space.require(reading.tower.space, doing=f"Using this answer of {provider}")
    failed = dict(reading.failures)
    asked = [entry for place, entry in enumerate(batch.entries) if place not in failed]
    values = matrix(reading, len(asked), provider=provider) if asked else np.empty((0, tower.space.dim))
    if values.shape[1] != tower.space.dim:
        raise SpaceMismatch(
            f"{provider} answered with vectors of {values.shape[1]} numbers where {tower.space.model} has "
            f"{tower.space.dim}: check the model's name and its dimensions; vectors of both cannot be mixed.",
            expected=tower.space.id,
            actual=f"{values.shape[1]} numbers",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", values, values))
    points = np.isfinite(lengths) & (lengths > 0)
    if len(points) > 1 and not points.any():
        raise ProviderError(
            f"{provider} answered with {len(points):,} vectors of zeros, or of numbers that are not finite: the model "
            "is broken there.",
            provider=provider,
        )
    places = np.flatnonzero(points)
    positions = np.array([entry.position for entry in asked], np.int64)
    return Vectors(
        (values[places] / lengths[places, None]).astype(np.float32),
        reading.tower or tower,
        positions[places],
        warnings=tuple(f"{batch.entries[place].name}: {sentence}" for place, sentence in reading.warnings),
        failures=(
            *(_pointless(entry) for entry, good in zip(asked, points, strict=True) if not good),
            *(_failure(batch.entries[place], error) for place, error in reading.failures),
        ),
        n_tokens=np.zeros(len(places), np.int64),
    )


def _pointless(entry: Entry) -> Failure:
    reason = "the provider answered with zeros, or with numbers that are not finite: they point nowhere."
    return _failure(entry, InputError(reason, item=entry.name))


def _failure(entry: Entry, error: InputError) -> Failure:
    return failure_of(entry.position, entry.name, error)


def matrix(reading: Reading, n: int, *, provider: str) -> NDArray[np.float64]:
    """(n, length) of the numbers as they came. ProviderError unless there are as many rows, all of one length."""
    n_rows = len(reading.rows) if isinstance(reading.rows, Sequence | np.ndarray) else 0  # JSON holds anything
    if n_rows != n:
        raise ProviderError(
            f"{provider} answered with {n_rows:,} vectors for {n:,} inputs: none of them is used, as it "
            "is not known whose they are.",
            provider=provider,
        )
    try:
        values = np.asarray(reading.rows)
    except ValueError:  # rows of several lengths
        values = np.empty(0, object)
    if _is_nested(reading):
        raise ProviderError(
            f"{provider} answered with a vector for each token instead of one for each input: the model has no "
            "pooling there. Choose one made for embeddings, or set its pooling (llama.cpp: --pooling mean).",
            provider=provider,
        )
    # Only numbers are: numpy would read "0.5" and True as some, and None as NaN.
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.shape[1]:
        raise ProviderError(
            f"{provider} answered with something that is not {n:,} rows of numbers, all of one length: check that the "
            "address and the model are those of an embedding API.",
            provider=provider,
        )
    return values.astype(np.float64)


def _is_nested(reading: Reading) -> bool:
    """Whether the first row is made of rows: texts of different lengths have different numbers of tokens."""
    first = reading.rows[0] if len(reading.rows) else ()
    return isinstance(first, list | np.ndarray) and len(first) > 0 and isinstance(first[0], list | np.ndarray)
