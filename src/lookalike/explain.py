"""Why a picture matches a query, as far as its vectors can tell.

Nothing here looks into the model. What is told are cosines, and what becomes of them when something is left out; a
model has no reasons, and that "red" counts does not say that it saw something red.

- *Words*, by leaving out: the query is asked again without each of its words. What confidence loses is what the word
  brought; a word without which it rises spoke against the picture (Li, Monroe, Jurafsky, arXiv:1612.08220). Words that
  only mean something together do not show so.
- *Parts* of a composed query: its vector is their weighted sum, of length 1, so that the cosine to a picture is exactly
  the sum of what each part brings.
- *Concepts*: the captions of everyday things and looks that are nearest to the picture, less half of what each of them
  scores on the collection. Without that some captions are near to every picture; with all of it, the strange ones win.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lookalike.bank import concept_names
from lookalike.confidence import PRIOR_COUNT
from lookalike.query import Part, Query, QueryMaker, compose, made_query
from lookalike.search import Searchable, Searcher
from lookalike.types import Filter, Hit, Item, Rows

MAX_PIECES = 24
"""A text of more words is taken apart into so many runs of words: each is a text to embed."""

MAX_CONCEPTS = 6

USUAL = 0.5
"""How much of what a concept scores on the collection is taken off. Of 1,283 names of things and 73 photos under CLIP
ViT-B/32, the five nearest of each photo: with 0 one name is among those of 42 photos, with 0.5 of 15, with 1 of 8, but
then "a foal" stands before "a horse"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A word of a text, or a run of words of a long one, and the text without it.

    Attributes:
        text: The word.
        rest: What is left of the text.
    """

    text: str
    rest: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A part of a query, with what is needed to take it apart.

    Attributes:
        query: The part as a query of its own.
        weight: How much it counts.
        without: Of words: each piece, and the query of the text without it.
    """

    query: Query
    weight: float = 1.0
    without: tuple[tuple[Piece, Query], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WordEffect:
    """What is left when a word is left out.

    Attributes:
        text: The word.
        similarity: Cosine of the text without it to the picture.
        confidence: That of the text without it.
    """

    text: str
    similarity: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PartShare:
    """What a part of a query brings.

    Attributes:
        similarity: Cosine of the part alone to the picture.
        confidence: That of the part alone: comparable between words and pictures, as cosines are not.
        share: What it adds to the similarity of the whole query; below 0 it takes off. All shares add up to it.
        words: Of words, the effect of each; empty where there is only one.
    """

    similarity: float
    confidence: float
    share: float
    words: tuple[WordEffect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """Something that the picture is near to.

    Attributes:
        name: What it is, in English.
        similarity: Cosine of its caption to the picture.
        excess: How far that is above half of what the caption scores on the collection: the order of concepts.
    """

    name: str
    similarity: float
    excess: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a picture matches a query.

    Attributes:
        hit: The picture, as a search would tell of it; None if there was no query.
        parts: One for each part of the query, in order.
        concepts: What the picture is nearest to, the nearest first.
        warnings: Sentences about the query itself.
    """

    hit: Hit | None
    parts: tuple[PartShare, ...]
    concepts: tuple[Concept, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains the pictures of one store.

    Attributes:
        store: Where the vectors are.
        searcher: Says how sure a match is.
        bank: Makes the (m, dim) unit vectors of `bank.concept_names`, in the store's space.
    """

    store: Searchable
    searcher: Searcher
    bank: Callable[[], Rows]

    def explain(self, item: Item, asked: Sequence[Asked], *, where: Filter | None = None) -> Explanation:
        """Why this item matches what is asked; with nothing asked, only what it is near to.

        Args:
            item: An item of the store.
            asked: The parts of the query.
            where: What the search was among: confidence and concepts are told against that background.

        Raises:
            InputError: The parts cancel each other out.
            SpaceMismatch: They are of another space.
        """
        where = where or Filter()
        whole = [compose([(part.query, part.weight) for part in asked])] if asked else []
        rests = [query for part in asked for _, query in part.without]
        hits = iter(self.searcher.judge([*whole, *(part.query for part in asked), *rests], item, where=where))
        hit = next(hits) if asked else None
        alone = [next(hits) for _ in asked]
        parts = tuple(
            PartShare(
                similarity=own.similarity,
                confidence=own.confidence,
                share=share * own.similarity,
                words=tuple(_effect(piece, next(hits)) for piece, _ in part.without),
            )
            for part, own, share in zip(asked, alone, _factors(asked), strict=True)
        )
        warnings = tuple(dict.fromkeys(warning for query in whole for warning in query.warnings))
        return Explanation(hit=hit, parts=parts, concepts=self.concepts(item, where=where), warnings=warnings)

    def concepts(self, item: Item, *, where: Filter) -> tuple[Concept, ...]:
        """What an item is nearest to of what the concept bank names."""
        rows, _ = self.store.vectors([item.content])
        if not len(rows):
            return ()
        bank, sample = self.bank(), self.searcher.background(where)
        scores = np.einsum("d,md->m", rows[0], bank).astype(np.float64)
        excess = scores - USUAL * usual_scores(bank, sample)
        return tuple(
            Concept(name=concept_names()[n], similarity=float(scores[n]), excess=float(excess[n]))
            for n in np.argsort(-excess)[:MAX_CONCEPTS].tolist()
        )


def asked_of(parts: Sequence[Part], maker: QueryMaker) -> list[Asked]:
    """The parts of a query with what is needed to take them apart; the pieces of all words are embedded together.

    Raises:
        InputError: A part cannot be used.
        ItemNotFound: There is no such item.
    """
    cut = [pieces(part.text) if part.text is not None else () for part in parts]
    rests = [piece.rest for some in cut for piece in some]
    found = maker.embedder().embed_texts(rests) if rests else None
    made = iter([made_query(row, found.tower, "text") for row in found.values] if found else ())
    return [
        Asked(
            query=maker.query([replace(part, weight=1.0)]),
            weight=part.weight,
            without=tuple((piece, next(made)) for piece in some),
        )
        for part, some in zip(parts, cut, strict=True)
    ]


def pieces(text: str) -> tuple[Piece, ...]:
    """The words of a text, each with what is left without it; runs of words if they are many, nothing if it is one."""
    words = text.split()
    if len(words) < 2:
        return ()
    ends = np.linspace(0, len(words), min(len(words), MAX_PIECES) + 1).round().astype(int).tolist()
    return tuple(
        Piece(text=" ".join(words[start:end]), rest=" ".join([*words[:start], *words[end:]]))
        for start, end in pairwise(ends)
    )


def usual_scores(bank: Rows, sample: Rows) -> NDArray[np.float64]:
    """(m,) what each caption scores on the pictures of a sample; less, the fewer there are: they say little then."""
    scores: NDArray[np.float64] = bank.astype(np.float64) @ sample.sum(axis=0, dtype=np.float64)
    return scores / max(len(sample), PRIOR_COUNT)


def _effect(piece: Piece, without: Hit) -> WordEffect:
    return WordEffect(text=piece.text, similarity=without.similarity, confidence=without.confidence)


def _factors(asked: Sequence[Asked]) -> list[float]:
    """What each part's cosine counts in that of the whole: its weight over the length of the weighted sum."""
    if len(asked) == 1 and asked[0].weight > 0:
        return [1.0]
    total = sum((part.weight * part.query.vector.astype(np.float64) for part in asked), np.zeros(1))
    length = float(np.linalg.norm(total)) if asked else 1.0
    return [part.weight / length for part in asked]
