"""What the fault tests of the store and the processes that they start have in common."""

from __future__ import annotations

import hashlib

import numpy as np

from lookalike.spaces import Space
from lookalike.store.embedded import EmbeddedStore
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Item, Rows
from lookalike.vectors import normalise

DIM = 8
BATCH = 100
ALL = Filter()
SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=DIM, modalities=("image",))


def add_batch(store: EmbeddedStore | MemoryStore, number: int) -> None:
    """Batch `number`: always the same pictures."""
    items = [Item(id=f"{number}/{i}", content=hashlib.sha256(b"%d/%d" % (number, i)).hexdigest()) for i in range(BATCH)]
    store.add(items, [item.content for item in items], batch_rows(number))


def batch_rows(number: int) -> Rows:
    """The vectors of batch `number`."""
    return normalise(np.random.default_rng(number).standard_normal((BATCH, DIM)))


def thin_out(store: EmbeddedStore | MemoryStore, number: int) -> None:
    """Delete every third item of batch `number`."""
    store.delete([("default", f"{number}/{i}") for i in range(0, BATCH, 3)])
