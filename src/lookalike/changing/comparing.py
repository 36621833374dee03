"""Two spaces of one index beside each other: how far their answers agree, how good they are, how fast, how large."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from lookalike.ports import Catalogue, VectorReader
from lookalike.types import Filter, Item, Rows, Scored

LIMIT = 10
"""Answers that are compared, as a first page shows them."""

SEED = 5
"""Of the sample: the same pictures whenever the same index is compared."""

Key = tuple[str, str]
"""(project, id)."""


class ComparableStore(VectorReader, Catalogue, Protocol):
    """A space that can be searched and sampled."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One of the two spaces.

    Attributes:
        store: The space.
        bank: (m, dim) unit vectors of captions, in an order that is the same for both; None without a model of texts.
        n_bytes: What its vectors take on the disk.
    """

    store: ComparableStore
    bank: Rows | None
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one space.

    Attributes:
        precision: Of labelled pictures, the share of their ten nearest others that have the same label; None without
            labels.
        image_p50_ms: The median time of a search by a picture, in milliseconds.
        text_p50_ms: The same by words; None if it was not asked by words.
        n_bytes: What its vectors take on the disk.
    """

    precision: float | None
    image_p50_ms: float
    text_p50_ms: float | None
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two spaces beside each other.

    Attributes:
        n_images: Pictures that were searched by.
        n_texts: Captions that were searched by.
        n_labelled: Of the pictures, those with a label.
        image_overlap: The share of the ten best answers that both give, by pictures; 1.0 if they agree, None if there
            are none.
        text_overlap: The same by captions; None too if one of the two reads no words.
        current: What was measured of the first.
        other: What was measured of the second.
    """

    n_images: int
    n_texts: int
    n_labelled: int
    image_overlap: float | None
    text_overlap: float | None
    current: Measured
    other: Measured


@dataclass(frozen=True, slots=True)
class _Asked:
    """The answers of one space to several queries, and how long each took."""

    answers: Sequence[Sequence[Item]]
    seconds: Sequence[float]

    @property
    def p50_ms(self) -> float:
        return 1e3 * median(self.seconds) if self.seconds else 0.0


def compare(current: Side, other: Side, *, n: int = 200, label: str = "") -> Comparison:
    """Ask both spaces the same questions.

    Args:
        current: The space that is searched.
        other: Another one of the same index.
        n: Pictures to search by, drawn from those that both have.
        label: The name of a fact in the items' metadata: good answers to a picture have the same value as it has.
    """
    drawn, _ = current.store.sample(n, seed=SEED)
    theirs, contents = other.store.vectors(drawn)
    ours, _ = current.store.vectors(contents)
    by_image = _asked(current.store, ours, contents), _asked(other.store, theirs, contents)
    by_text = None
    if current.bank is not None and other.bank is not None:
        by_text = _asked(current.store, current.bank), _asked(other.store, other.bank)
    labels = _labels(current.store, ours, contents, label) if label else {}
    figures = [
        Measured(
            precision=_precision(asked.answers, contents, labels, label),
            image_p50_ms=asked.p50_ms,
            text_p50_ms=None if by_text is None else by_text[place].p50_ms,
            n_bytes=side.n_bytes,
        )
        for place, (side, asked) in enumerate(zip((current, other), by_image, strict=True))
    ]
    return Comparison(
        n_images=len(contents),
        n_texts=0 if by_text is None else len(by_text[0].answers),
        n_labelled=len(labels),
        image_overlap=_overlap(*by_image),
        text_overlap=None if by_text is None else _overlap(*by_text),
        current=figures[0],
        other=figures[1],
    )


def _asked(store: ComparableStore, queries: Rows, own: Sequence[str] | None = None) -> _Asked:
    """The ten best answers to each query, without the picture that it is made of."""
    answers, seconds = [], []
    for number, query in enumerate(queries):
        began_s = time.perf_counter()
        found, _ = store.search(query, limit=LIMIT + (own is not None), where=Filter())
        seconds.append(time.perf_counter() - began_s)
        answers.append(_others(found, own[number] if own else "")[:LIMIT])
    return _Asked(answers, seconds)


def _others(found: Sequence[Scored], content: str) -> list[Item]:
    return [scored.item for scored in found if scored.item.content != content]


def _overlap(ours: _Asked, theirs: _Asked) -> float | None:
    shares = []
    for mine, yours in zip(ours.answers, theirs.answers, strict=True):
        one, two = ({(item.project, item.id) for item in answer} for answer in (mine, yours))
        if one or two:
            shares.append(len(one & two) / max(len(one), len(two)))
    return sum(shares) / len(shares) if shares else None


def _labels(store: ComparableStore, rows: Rows, contents: Sequence[str], label: str) -> dict[str, str]:
    """The label of each of these pictures that has one, by content."""
    found: dict[str, str] = {}
    for row, content in zip(rows, contents, strict=True):
        # The nearest picture is the picture itself; more than one item may have it.
        for scored in store.search(row, limit=1, where=Filter())[0]:
            if scored.item.content == content and label in scored.item.metadata:
                found[content] = str(scored.item.metadata[label])
    return found


def _precision(
    answers: Sequence[Sequence[Item]], contents: Sequence[str], labels: dict[str, str], label: str
) -> float | None:
    """The mean share of answers that have their picture's label, of the labelled pictures that have answers."""
    shares = [
        sum(str(item.metadata.get(label)) == labels[content] for item in answer) / len(answer)
        for answer, content in zip(answers, contents, strict=True)
        if content in labels and answer
    ]
    return sum(shares) / len(shares) if shares else None
