"""What was made lately is kept by name, a few of it; what is being made is not given up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from lookalike.errors import Overloaded

Key = TypeVar("Key")
Value = TypeVar("Value")

RETRY_AFTER_S = 5.0


def make_room(kept: OrderedDict[Key, Value], *, most: int, is_busy: Callable[[Value], bool], what: str) -> None:
    """Drop what was not asked for longest, so that one more is no more than `most`.

    What is busy stays: whoever asks for it again would have it begun once more beside the first.

    Args:
        kept: The one asked for longest ago first.
        most: How many there may be.
        is_busy: Whether one is being made.
        what: What they are, for the message: "maps".

    Raises:
        Overloaded: All of them are being made.
    """
    idle = [key for key, value in kept.items() if not is_busy(value)]
    for key in idle[: max(0, len(kept) + 1 - most)]:
        del kept[key]
    if len(kept) >= most:
        raise Overloaded(f"{most} {what} are being made already: ask again shortly.", retry_after_s=RETRY_AFTER_S)
