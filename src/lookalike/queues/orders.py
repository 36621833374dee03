"""Orders as queues keep them: JSON that every database takes, and what is said of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lookalike.errors import InputError
from lookalike.orders import Order

OVERTAKEN = "A newer order for the same item took its place."
"""Why an order is done that nobody has begun."""

LOST = "The worker that did it died."
"""Why an order is handed out again, or is dead, where no error was told."""


def written(orders: Sequence[Order]) -> list[str]:
    """Orders as JSON, one text each.

    Raises:
        InputError: One holds what no database takes; names it.
    """
    return [_written(order) for order in orders]


def read(values: Mapping[str, Any]) -> Order:
    """The order that was written as this JSON object."""
    return Order(**values)


def lock_of(order: Order) -> str:
    """The same for all orders of one item, which are done one after another: a sha256 (hex)."""
    return hashlib.sha256(json.dumps([order.project, order.id]).encode()).hexdigest()


def is_storable(text: str) -> bool:
    """Whether every database takes it."""
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def _written(order: Order) -> str:
    for text in (order.id, order.uri, order.project, order.caption, *order.metadata, *order.metadata.values()):
        if not is_storable(text):
            raise InputError(
                "cannot be ordered: it is not valid Unicode, or holds the character U+0000.", item=ascii(order.id)
            )
    fields = {name: getattr(order, name) for name in ("id", "uri", "project", "caption")}
    return json.dumps({**fields, "metadata": dict(order.metadata)}, ensure_ascii=False)
