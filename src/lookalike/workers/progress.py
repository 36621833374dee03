"""How far a worker is: marks in shared memory, and how long its parent looks at the same one."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any

from lookalike.workers.procfs import starved_s

POLL_S = 0.05
"""How often a waiting parent looks."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a batch a worker is or was.

    Attributes:
        item: The input that is being decoded, or the first one of those that the model has at this moment.
        inference: Whether it is the model's turn.
    """

    item: int
    inference: bool


class Marks:
    """A few numbers that the worker writes and the parent reads, whatever has become of the worker."""

    def __init__(self, context: BaseContext) -> None:
        self._cells: Any = context.RawArray(ctypes.c_uint64, 2)

    def clear(self) -> None:
        """Nothing has begun."""
        self._cells[0] = 0

    def set(self, place: Place) -> None:
        """The worker is here now."""
        self._cells[0] = 1 + 2 * place.item + place.inference
        self.tick()

    def tick(self) -> None:
        """Something went on."""
        self._cells[1] += 1

    @property
    def place(self) -> Place | None:
        """The last mark; None if nothing has begun."""
        code = int(self._cells[0])
        return Place((code - 1) // 2, (code - 1) % 2 == 1) if code else None

    @property
    def ticks(self) -> int:
        """A number that grows with every mark."""
        return int(self._cells[1])


class Patience:
    """Counts the seconds for which a worker stood still although it could have gone on.

    Not a worker's fault are the time that it waited for a core, and the time that nobody looked: when the whole
    machine was frozen, the parent was as well.
    """

    def __init__(self, marks: Marks, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._marks = marks
        self._clock = clock
        self.stuck_s = 0.0

    def begin(self, pid: int) -> None:
        """Something was asked of this process now."""
        self._pid = pid
        self._ticks, self._seen = self._marks.ticks, self._clock()
        self._starved_s: float | None = None  # most answers come before anybody looks
        self.stuck_s = 0.0

    def look(self) -> float:
        """Seconds of standing still, up to now."""
        ticks, seen, starved = self._marks.ticks, self._clock(), starved_s(self._pid)
        if ticks != self._ticks:
            self.stuck_s = 0.0
        else:
            looked_s = min(seen - self._seen, 2 * POLL_S)
            waited_s = 0.0 if self._starved_s is None else max(0.0, starved - self._starved_s)
            self.stuck_s += max(0.0, looked_s - waited_s)
        self._ticks, self._seen, self._starved_s = ticks, seen, starved
        return self.stuck_s

    def end(self) -> None:
        """It has answered."""
        self.stuck_s = 0.0
