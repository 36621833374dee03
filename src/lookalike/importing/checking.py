"""Whether vectors are what the model makes of the pictures that they are said to be of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from lookalike.calls import Inputs, Payload
from lookalike.embed import Embedder
from lookalike.errors import InputError, ProviderError, SpaceMismatch
from lookalike.importing.sampling import AFTER, BEFORE, OWN, Sample, Survey
from lookalike.parity import GivenRows, Pair, Variant, causes
from lookalike.parity.causes import UNRELATED
from lookalike.spaces import REQUIRED_COSINE, Tower
from lookalike.tables import Pictures
from lookalike.types import Rows, Vectors

MIN_CHECKED = 10
"""So many pictures must be there to be compared, or all of a smaller table: fewer say little about the rest."""

N_WORST = 3
CHUNK_SIZE = 16
"""Pictures in memory at a time."""

MOST = 0.8
"""The share of a sample from which one explanation counts for all of it."""


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


def check(found: Survey, embedder: Embedder, pictures: Pictures, variants: Iterable[Variant] = ()) -> Checked:
    """Embed the pictures of a sample and compare.

    Args:
        found: The table, with a sample of its rows.
        embedder: The model that is said to have made them.
        pictures: Reads the pictures.
        variants: That model in other ways, which are tried out to say why rows differ.

    Raises:
        InputError: Too few of the rows have a vector, or too few of the pictures can be read.
        SpaceMismatch: They are not the model's vectors, or not of these pictures.
    """
    sample = found.sample
    usable = [place for place in range(len(sample.entries)) if sample.rows[OWN, place].any()]
    if len(usable) < min(MIN_CHECKED, len(sample.entries)) and len(sample.entries) < found.n_rows:
        raise _too_bad(len(usable), len(sample.entries))
    if not usable:  # every row has a problem, and will be told of it
        return Checked(n=0, cosine_min=0.0, cosine_p50=0.0, unread=())
    places, own, unread = _embedded(sample, usable, embedder, pictures)
    if len(places) < min(MIN_CHECKED, len(usable)):
        raise _too_few(len(places), len(usable), unread)
    read = sample.at(places)
    cosines = _cosines(read.rows[OWN], own)
    if cosines.min() < REQUIRED_COSINE:
        payloads = _Payloads(read, pictures, embedder.policy.max_bytes)
        cause = out_of_step(read, own) or _made_otherwise(read, own, payloads, embedder.tower, variants)
        raise _refused(read, cosines, cause, embedder)
    return Checked(
        n=len(places), cosine_min=float(cosines.min()), cosine_p50=float(np.median(cosines)), unread=tuple(unread)
    )


def out_of_step(sample: Sample, own: Rows) -> str:
    """A sentence on which pictures a sample's rows are of, if not of their own; empty if of no others in it.

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
    return ""


def _made_otherwise(sample: Sample, own: Rows, payloads: _Payloads, tower: Tower, variants: Iterable[Variant]) -> str:
    """Why the rows differ, if they are of their pictures."""
    names = [entry.name for entry in sample.entries]
    inputs = Inputs(modality="image", payloads=payloads, names=names)
    (theirs,) = GivenRows(inputs, sample.rows[OWN], model="the table", like=tower).embed(inputs)
    ours = Vectors(own, tower, np.arange(len(own)), n_tokens=np.zeros(len(own), np.int64))
    cosines = _cosines(sample.rows[OWN], own)
    are_akin = np.median(cosines) >= UNRELATED  # or no other way of opening the model will explain it
    found = causes([Pair(inputs=inputs, ours=ours, theirs=theirs)], variants if are_akin else ())
    if found and found[0].found:
        return found[0].sentence
    if _share(cosines) >= MOST:
        return "Most rows agree: these pictures have changed since, or the rows are of other pictures."
    return found[0].sentence if found else "All are a little off, as by a lower precision."


class _Payloads(Sequence[Payload]):
    """The pictures of a sample, each read when it is needed: together they may be large."""

    def __init__(self, sample: Sample, pictures: Pictures, max_bytes: int) -> None:
        self._uris = [entry.uri for entry in sample.entries]
        self._pictures = pictures
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._uris)

    @overload
    def __getitem__(self, place: int) -> Payload: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Payload]: ...

    def __getitem__(self, place: int | slice) -> Payload | Sequence[Payload]:
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        return self._pictures.read(self._uris[place], max_bytes=self._max_bytes)


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


def _too_bad(n: int, n_sampled: int) -> InputError:
    return InputError(
        f"Of {n_sampled} sampled rows {n} have a vector that can be used, too few to say what made the others. Look at "
        "more of them with --sample."
    )


def _too_few(n: int, n_sampled: int, unread: Sequence[tuple[str, str]]) -> InputError:
    item, reason = unread[0]
    return InputError(
        f"Of {n_sampled} sampled rows the pictures of {n} can be read ({item}: {reason.rstrip('.')}), so nobody knows "
        "whether these are the model's vectors. Say where the pictures are with --root; or take the vectors as they "
        "are with --unchecked, which the index will remember."
    )


def _refused(sample: Sample, cosines: NDArray[np.float64], cause: str, embedder: Embedder) -> SpaceMismatch:
    worst = np.argsort(cosines, kind="stable")[:N_WORST].tolist()
    named = ", ".join(f"{sample.entries[place].name} ({cosines[place]:.4f})" for place in worst)
    n_bad = int((cosines < REQUIRED_COSINE).sum())
    return SpaceMismatch(
        f"{n_bad} of {len(cosines)} sampled rows are not what {embedder.space.model} makes of their pictures: cosine "
        f"{REQUIRED_COSINE} is needed, the worst are {named}. {cause} No row was written.",
        expected=embedder.space.id,
        actual="unknown",
    )
