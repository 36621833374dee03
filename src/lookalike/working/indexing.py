"""One order: read the picture, look whether its content is known, embed it if not, store it, and say so in the ledger.

An order may be done twice (a worker that died before it could tell), so everything here may be repeated: a content
keeps its vector, an item is replaced by itself. An item is written before its outcome is, as by an ingest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from lookalike.errors import (
    InputError,
    ItemNotFound,
    LookalikeError,
    NotReady,
    StoreError,
    StoreSwitched,
    VectorMissing,
)
from lookalike.facts import facts_of
from lookalike.orders import Claim, Order
from lookalike.ports import Ledger, VectorReader, VectorWriter
from lookalike.spaces import Space
from lookalike.tables import Pictures
from lookalike.types import Item, LedgerEntry, Outcome, Rows
from lookalike.working.together import Together

MOST_AT_ONCE = 64
"""Orders that are written in one transaction, if so many are ready at the same time."""


UNCLAIMED = Claim(0, 0)
"""Of an order that no queue has handed out."""


class Writable(VectorReader, VectorWriter, Protocol):
    """A store with its ledger, open for writing."""

    @property
    def ledger(self) -> Ledger:
        """What became of each picture."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What orders are done with. All of it is used by several threads at once.

    Attributes:
        lend: The store, for as long as a block runs; see `Lending`.
        pictures: Reads what an order's uri means.
        embed: The (dim,) vector of a picture's bytes, and its space; the text is what to call it in errors.
        max_bytes: The largest picture that is read.
    """

    lend: Callable[[], AbstractContextManager[Writable]]
    pictures: Pictures
    embed: Callable[[bytes, str], tuple[Rows, Space]]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Picture:
    """What an order is of: where it lies, what changes when it does; of its bytes, once read, sha256 and facts."""

    order: Order
    claim: Claim
    uri: str
    stamp: str
    content: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    vector: Rows | None = field(default=None, repr=False)


class Indexer:
    """Does orders; each call is one, from any thread. What several threads have ready is written in one transaction.

    Args:
        place: What they are done with.
        held: Of several claims those that still hold; all, if left out.
    """

    def __init__(self, place: Workplace, *, held: Callable[[Sequence[Claim]], set[Claim]] = set) -> None:
        self._place = place
        self._held = held
        self._write = Together(self._write_held, most=MOST_AT_ONCE)

    def __call__(self, order: Order, claim: Claim = UNCLAIMED) -> None:
        """Do this order.

        Raises:
            InputError: The picture cannot be used; the ledger has the reason.
            LookalikeError: Something else is in the way: if it is `retryable`, it may pass.
        """
        picture = self._located(order, claim)
        try:
            data = self._place.pictures.read(order.uri, max_bytes=self._place.max_bytes)
            picture = replace(picture, content=hashlib.sha256(data).hexdigest(), facts=facts_of(data))
            with _patiently(), self._place.lend() as store:
                picture = self._with_vector(picture, data, store)
                try:
                    self._write(picture)
                except VectorMissing:  # another process has compacted since it was looked up
                    self._write(self._embedded(picture, data, store))
        except InputError as error:
            if error.retryable:  # nothing is known of it yet
                picture = replace(picture, content="")
            with _patiently(), self._place.lend() as store:
                if not self._held([claim]):
                    raise _not_ours() from error
                _refuse(store, picture, error)
            raise

    def _located(self, order: Order, claim: Claim) -> _Picture:
        found = self._place.pictures.find(order.uri)
        uri, stamp = (found.uri, found.stamp) if found else (order.uri, "")
        return _Picture(order, claim, uri, stamp)

    def _with_vector(self, picture: _Picture, data: bytes, store: Writable) -> _Picture:
        _, known = store.vectors([picture.content])
        return picture if known else self._embedded(picture, data, store)

    def _embedded(self, picture: _Picture, data: bytes, store: Writable) -> _Picture:
        vector, space = self._place.embed(data, picture.order.id)
        if space.key != store.space.key:
            raise NotReady(
                f"This worker makes vectors of {space.id}, and the index holds {store.space.id}: start it again."
            )
        return replace(picture, vector=vector)

    def _write_held(self, pictures: Sequence[_Picture]) -> list[LookalikeError | None]:
        # A worker that stood still would put an older order over a newer one, which another has done meanwhile.
        held = self._held([one.claim for one in pictures])
        if held:
            self._write_some([one for one in pictures if one.claim in held])
        return [None if one.claim in held else _not_ours() for one in pictures]

    def _write_some(self, pictures: Sequence[_Picture]) -> None:
        # Of one content the first vector; of one item, of which there never are two at a time, the last picture.
        fresh = {one.content: one.vector for one in reversed(pictures) if one.vector is not None}
        with self._place.lend() as store:
            before = store.get([(one.order.project, one.order.id) for one in pictures])
            store.add([_item(one) for one in pictures], list(fresh), _rows(list(fresh.values()), store.space.dim))
            for one, item in zip(pictures, before, strict=True):
                if item is not None and item.uri != one.uri:
                    _leave(store.ledger, item)
            new = set(fresh)
            store.ledger.record([_entry(one, item, new) for one, item in zip(pictures, before, strict=True)])


def _leave(ledger: Ledger, item: Item) -> None:
    """Drop what is on record of an item's old place, or the next picture there would replace the item."""
    entry = ledger.known(item.project, [item.uri]).get(item.uri)
    if entry is not None and entry.item_id == item.id:  # or it is another item's, which still lies there
        ledger.forget(item.project, [item.uri])


def _not_ours() -> NotReady:
    return NotReady("This worker stood still for so long that the order was given to another, which does it.")


def _refuse(store: Writable, picture: _Picture, error: InputError) -> None:
    """Put on record that a picture cannot be used."""
    order = picture.order
    (item,) = store.get([(order.project, order.id)])
    if item is not None and picture.content and item.uri == picture.uri and item.content != picture.content:
        # It was fine and is now broken: it must not go on being found by what it was.
        store.delete([(order.project, order.id)])
    store.ledger.record([_entry(picture, None, set(), reason=error.reason)])


def _item(picture: _Picture) -> Item:
    order = picture.order
    return Item(
        id=order.id,
        content=picture.content,
        project=order.project,
        uri=picture.uri,
        caption=order.caption,
        metadata={**picture.facts, **order.metadata},
    )


def _entry(picture: _Picture, before: Item | None, new: set[str], *, reason: str = "") -> LedgerEntry:
    """How an order ended; `new` are contents that were embedded for the first time, and the picture's is taken out."""
    if reason:
        outcome = Outcome.FAILED
    elif before is not None and before.content == picture.content:
        outcome = Outcome.UNCHANGED
    else:
        outcome = Outcome.STORED if picture.content in new else Outcome.DUPLICATE
        new.discard(picture.content)
    return LedgerEntry(
        project=picture.order.project,
        item_id=picture.order.id,
        uri=picture.uri,
        stamp=picture.stamp,
        outcome=outcome,
        content=picture.content,
        reason=reason,
    )


def _rows(vectors: Sequence[Rows], dim: int) -> Rows:
    return np.stack(vectors) if vectors else np.empty((0, dim), np.float32)


@contextmanager
def _patiently() -> Iterator[None]:
    """The index is no order's fault: whatever is the matter with it may pass, and the order is tried again."""
    try:
        yield
    except (StoreSwitched, ItemNotFound):
        raise
    except StoreError as error:
        raise NotReady(str(error)) from error
