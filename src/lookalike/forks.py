"""What a process must not share with the one that it was forked from (a server with --preload, a prefork queue)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class InEachProcess(Generic[Made]):
    """Something that each process makes for itself: connections, whose answers two would take from each other; threads,
    of which a fork has none. What a parent made is left to it: a child neither uses nor closes it.

    Args:
        make: Makes it, when a process first asks for it.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: dict[int, Made] = {}

    def __call__(self) -> Made:
        """That of this process."""
        process = os.getpid()
        if process not in self._made:
            self._made.setdefault(process, self._make())  # of two threads one wins
        return self._made[process]
