"""Whether vectors are what the model makes of the pictures that they are said to be of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.embed import Embedder
from lookalike.errors import InputError, ProviderError, SpaceMismatch
from lookalike.importing.sampling import AFTER, BEFORE, OWN, Sample
from lookalike.spaces import REQUIRED_COSINE
from lookalike.tables import Pictures
from lookalike.types import Rows

MIN_CHECKED = 10
"""So many pictures must be there to be compared, or all of a smaller table: fewer say little about the rest."""

N_WORST = 3
CHUNK_SIZE = 16
"""Pictures in memory at a time."""

MOST = 0.8
"""The share of a sample from which one explanation counts for all of it."""

SAME_WEIGHTS = 0.9
"""Another preprocessing of the same weights leaves cosines above this; other weights leave nothing like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the check of a sample found.

    Attributes:
        n: How many rows were compared with what the model makes of their pictures.
        cosine_min: The least cosine among them.
        cosine_p50: The cosine that half of them are below.
        unread: (item, reason) of sampled rows whose picture could not be had.
    """

    n: int
    cosine_min: float
    cosine_p50: float
    unread: tuple[tuple[str, str], ...]


def check(sample: Sample, embedder: Embedder, pictures: Pictures) -> Checked:
    """Embed the pictures of a sample and compare.

    Args:
        sample: Rows of the table.
        embedder: The model that is said to have made them.
        pictures: Reads the pictures.

    Raises:
        InputError: Too few of the pictures can be read.
        SpaceMismatch: They are not the model's vectors, or not of these pictures.
    """
    usable = [place for place in range(len(sample.entries)) if sample.rows[OWN, place].any()]
    places, own, unread = _embedded(sample, usable, embedder, pictures)
    if not usable:  # every row has a problem, and will be told of it
        return Checked(n=0, cosine_min=0.0, cosine_p50=0.0, unread=())
    if len(places) < min(MIN_CHECKED, len(usable)):
        raise _too_few(len(places), len(usable), unread)
    read = sample.at(places)
    cosines = _cosines(read.rows[OWN], own)
    if cosines.min() < REQUIRED_COSINE:
        raise _refused(read, own, cosines, embedder)
    return Checked(
        n=len(places), cosine_min=float(cosines.min()), cosine_p50=float(np.median(cosines)), unread=tuple(unread)
    )


def likely_cause(sample: Sample, own: Rows) -> str:
    """A sentence on why a sample's rows are not what the model makes of its pictures.

    Args:
        sample: n rows with their neighbours.
        own: (n, dim): what the model makes of their pictures.
    """
    cosines = _cosines(sample.rows[OWN], own)
    for neighbour, name in ((BEFORE, "next"), (AFTER, "previous")):
        if _share(_cosines(sample.rows[neighbour], own)) >= MOST:
            return f"The rows agree with the {name} picture: rows and items are out of step by one."
    among_all = (sample.rows[OWN] @ own.T).max(axis=0)
    if _share(cosines) < MOST <= _share(among_all):
        return "The rows agree with the pictures of other items: rows and items are in different orders."
    if _share(cosines) >= MOST:
        return "Most rows agree: these pictures have changed since, or the rows are of other pictures."
    if np.median(cosines) >= SAME_WEIGHTS:
        return (
            "They are close: the same model with other preprocessing, such as EXIF orientation (try --orientation "
            "ignore), another way of resizing, or fewer bits."
        )
    return "They have little in common: another model made them, or they are not of these pictures."


def _embedded(
    sample: Sample, usable: Sequence[int], embedder: Embedder, pictures: Pictures
) -> tuple[list[int], Rows, list[tuple[str, str]]]:
    """Places whose picture was embedded, (n, dim) what came of it, and why it did not of others."""
    places: list[int] = []
    rows = [np.empty((0, sample.rows.shape[2]), np.float32)]
    unread: list[tuple[str, str]] = []
    for first in range(0, len(usable), CHUNK_SIZE):
        data, found = [], []
        for place in usable[first : first + CHUNK_SIZE]:
            entry = sample.entries[place]
            try:
                data.append(pictures.read(entry.uri, max_bytes=embedder.policy.max_bytes))
                found.append(place)
            except InputError as error:
                unread.append((entry.name, error.reason))
            except ProviderError as error:
                unread.append((entry.name, str(error)))
        names = [sample.entries[place].name for place in found]
        vectors = embedder.embed_images(data, names=names, on_error="collect")
        unread += [(failure.item, failure.reason) for failure in vectors.failures]
        places += [found[position] for position in vectors.positions.tolist()]
        rows.append(vectors.values)
    return places, np.concatenate(rows), unread


def _cosines(rows: NDArray[np.float32], own: Rows) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = np.einsum("ij,ij->i", rows, own, dtype=np.float64)
    return cosines


def _share(cosines: NDArray[np.floating]) -> float:
    return float(np.mean(cosines >= REQUIRED_COSINE))


def _too_few(n: int, n_sampled: int, unread: Sequence[tuple[str, str]]) -> InputError:
    item, reason = unread[0]
    return InputError(
        f"Of {n_sampled} sampled rows the pictures of {n} can be read ({item}: {reason.rstrip('.')}), so nobody knows "
        "whether these are the model's vectors. Say where the pictures are with --root; or take the vectors as they "
        "are with --unchecked, which the index will remember."
    )


def _refused(sample: Sample, own: Rows, cosines: NDArray[np.float64], embedder: Embedder) -> SpaceMismatch:
    worst = np.argsort(cosines, kind="stable")[:N_WORST].tolist()
    named = ", ".join(f"{sample.entries[place].name} ({cosines[place]:.4f})" for place in worst)
    n_bad = int((cosines < REQUIRED_COSINE).sum())
    return SpaceMismatch(
        f"{n_bad} of {len(cosines)} sampled rows are not what {embedder.space.model} makes of their pictures: cosine "
        f"{REQUIRED_COSINE} is needed, the worst are {named}. {likely_cause(sample, own)} No row was written.",
        expected=embedder.space.id,
        actual="unknown",
    )
