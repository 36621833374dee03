"""What is looked for: words, a picture, an item, a vector, or several of them with a weight each, plus or minus."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from reprlib import Repr
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import IMAGE_PRIOR, TEXT_PRIOR, Prior
from lookalike.embed import ImageInput
from lookalike.errors import InputError, ItemNotFound
from lookalike.ports import VectorReader
from lookalike.spaces import Approximation, Space, Tower
from lookalike.types import Item, QueryKind, Rows, Vectors

LEAST_LENGTH = 0.05
"""Of a sum of unit vectors whose weights add up to 1, the least length that still points somewhere. The vectors of
float32 and int8 towers differ by up to 0.045 (cosine 0.999): a shorter sum would be their rounding."""

MAX_NAMED_CHARACTERS = 300
"""What a message repeats of a name that was asked for: the beginning and the end of a longer one."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What to look for, as a vector.

    Attributes:
        vector: (dim,) float32 of unit length.
        space: Where it belongs.
        kind: "text", "image" or "composed": what its similarities are compared with.
        exclude: (project, id) of items to leave out of the answer: those that were asked with.
        warnings: Sentences about the query itself.
        prior: What it has with unrelated pictures, for a collection too small to measure that on; by `kind` if None.
        approximation: What read its words, if not the text model of the space.
    """

    vector: Rows
    space: Space
    kind: QueryKind
    exclude: frozenset[tuple[str, str]] = frozenset()
    warnings: tuple[str, ...] = ()
    prior: Prior | None = None
    approximation: Approximation | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One part of a query: exactly one of text, image, item and vector.

    Attributes:
        text: Words, as a caption would say them.
        image: A picture's bytes or path.
        item: The id of an item of the index.
        vector: (dim,) numbers of the index's space and any length but 0; or a query that was made before.
        weight: How much it counts beside the others; below 0, what is like it is moved away from. Words part pictures
            less than pictures do: beside a picture, give them 2 to 4.
        project: The project of the item; that of the search if left out.

    Raises:
        InputError: It is none or several of them, or the weight is 0 or not finite.
    """

    text: str | None = None
    image: ImageInput | None = None
    item: str | None = None
    vector: Query | Sequence[float] | Rows | None = None
    weight: float = 1.0
    project: str | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.text, self.image, self.item, self.vector)) != 1:
            raise InputError(
                "Search by exactly one of: text (words), image (bytes or a path), item (an id), vector (numbers)."
            )
        if not math.isfinite(self.weight) or self.weight == 0:
            raise InputError(f"The weight of a part is {self.weight}; it must be a number above or below 0.")


class QueryEmbedder(Protocol):
    """What turns words and pictures into vectors: a model in this process, or a service."""

    @property
    def tower(self) -> Tower:
        """The recipe of the vectors."""
        ...

    def embed_images(self, images: Sequence[ImageInput], *, names: Sequence[str] = ()) -> Vectors:
        """Pictures to unit rows; see `lookalike.embed.Embedder`."""
        ...

    def embed_texts(self, texts: Sequence[str], *, names: Sequence[str] = ()) -> Vectors:
        """Texts to unit rows; see `lookalike.embed.Embedder`."""
        ...


@dataclass(frozen=True, slots=True)
class QueryMaker:
    """Makes queries for one store.

    Attributes:
        store: Where the vectors of items are.
        embedder: Opens the model; called for words and pictures only.
        project: The project of items.
    """

    store: VectorReader
    embedder: Callable[[], QueryEmbedder]
    project: str

    def query(self, parts: Sequence[Part]) -> Query:
        """The query of all parts together.

        Raises:
            InputError: A part cannot be used, or they cancel each other out.
            ItemNotFound: There is no such item.
        """
        return compose([(self._of_part(part), part.weight) for part in parts])

    def _of_part(self, part: Part) -> Query:
        if part.text is not None:
            return text_query(self.embedder(), part.text)
        if part.image is not None:
            found = self.embedder().embed_images([part.image])
            return made_query(found.values[0], found.tower, "image", warnings=found.warnings)
        if part.item is not None:
            return item_query(self.store, part.project or self.project, part.item)
        return part.vector if isinstance(part.vector, Query) else vector_query(self.store.space, part.vector)


def require_words(text: str) -> str:
    """The text itself. InputError if it says nothing."""
    if not text.strip():
        raise InputError("The query is empty: say in words what to look for.")
    return text


def text_query(embedder: QueryEmbedder, text: str) -> Query:
    """A query by words."""
    found = embedder.embed_texts([require_words(text)], names=["query"])
    return made_query(found.values[0], found.tower, "text", warnings=found.warnings)


def made_query(vector: Rows, tower: Tower, kind: QueryKind, *, warnings: Sequence[str] = ()) -> Query:
    """A query by a vector that a tower has just made; it tells if that tower only comes near its space."""
    near = tower.approximation
    told = [*warnings, near.note] if near else warnings
    return Query(vector, tower.space, kind, warnings=tuple(told), approximation=near)


def require_item(store: VectorReader, project: str, item_id: str) -> Item:
    """The item of this project and id. ItemNotFound if there is none."""
    (item,) = store.get([(project, item_id)])
    if item is None:
        raise no_such_item(project, item_id)
    return item


def no_such_item(project: str, item_id: str) -> ItemNotFound:
    """The error for an item that there is not."""
    return ItemNotFound(f"There is no item {_named(item_id)} in project {_named(project)} of this index.")


def _named(name: str) -> str:
    """A name for a message: whoever asks with a megabyte does not get it back."""
    cut = Repr()
    cut.maxstring = MAX_NAMED_CHARACTERS
    return cut.repr(name)


def item_query(store: VectorReader, project: str, item_id: str) -> Query:
    """A query by a picture that is in the store, with the vector that it has there."""
    item = require_item(store, project, item_id)
    rows, _ = store.vectors([item.content])
    if not len(rows):  # deleted, and its vector given back, since it was looked up
        raise ItemNotFound(f"Item {item_id!r} of project {project!r} has just been removed from this index.")
    return Query(rows[0], store.space, "image", exclude=frozenset({(project, item_id)}))


def vector_query(space: Space, values: object) -> Query:
    """A query by numbers; whether words or a picture made them is not known: they are compared with the collection.

    Raises:
        InputError: They are not `space.dim` finite numbers, or all zero.
    """
    try:
        vector = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("A vector is a list of numbers.", item="vector") from error
    if vector.shape != (space.dim,):
        raise InputError(
            f"A vector of {space.id} has {space.dim} numbers; this has the shape {vector.shape}.", item="vector"
        )
    largest = np.abs(vector).max()
    if not np.isfinite(largest) or largest == 0:
        raise InputError("A vector must be finite and not zero; it may have any other length.", item="vector")
    return Query(_unit(vector / largest), space, "image")


def compose(parts: Sequence[tuple[Query, float]]) -> Query:
    """Several queries as one: the direction of the weighted sum of their unit vectors.

    One part that is not turned around stays what it is. Anything else is neither a caption nor a picture, and its
    similarities are compared with those to a sample of the collection.

    Args:
        parts: Queries of one space, and their weights, finite and not 0.

    Raises:
        InputError: There is none, or they cancel each other out.
        SpaceMismatch: They are of several spaces.
    """
    if not parts:
        raise InputError("The query is empty: give it at least one part.")
    (first, weight), *others = parts
    if not others and weight > 0:
        return first
    for query, _ in others:
        first.space.require(query.space, doing="Composing a query")
    largest = max(abs(weight) for _, weight in parts)
    weights = np.array([weight / largest for _, weight in parts])
    weights /= np.abs(weights).sum()
    total = weights @ np.array([query.vector for query, _ in parts], np.float64)
    length = float(np.linalg.norm(total))
    if length < LEAST_LENGTH:
        raise InputError("The parts of the query cancel each other out: nothing is left to look for.")
    priors = [query.prior or (TEXT_PRIOR if query.kind == "text" else IMAGE_PRIOR) for query, _ in parts]
    return Query(
        _unit(total),
        first.space,
        "composed",
        exclude=frozenset().union(*(query.exclude for query, _ in parts)),
        warnings=tuple(dict.fromkeys(warning for query, _ in parts for warning in query.warnings)),
        prior=_prior_of_sum(priors, weights / length),
        approximation=next((query.approximation for query, _ in parts if query.approximation), None),
    )


def _prior_of_sum(priors: Sequence[Prior], weights: NDArray[np.float64]) -> Prior:
    """Of a sum of vectors the cosine to a picture is the sum of theirs; spreads add up as those of independent ones."""
    return Prior(
        mean=float(weights @ [prior.mean for prior in priors]),
        std=float(np.linalg.norm(weights * [prior.std for prior in priors])),
    )


def _unit(vector: NDArray[np.float64]) -> Rows:
    unit: Rows = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
