"""Which input ended a worker: what it was working on is suspected, split, tried again, and in the end convicted.

A worker that ends while it decodes an input leaves that input's mark. One that ends while the model runs leaves the
mark of the inputs that the model had. The suspects are tried again without the others, in halves, by one worker at a
time (see batching); the one that ends a worker alone, having been suspected before, is guilty: its next caller is
refused at once. What is held against an input stays when its caller goes, or one who never waits for long would lose
a worker at every try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from lookalike.batching import SUSPICIOUS, Entry, Guilt, Key
from lookalike.workers.child import STEP_IMAGES, STEP_TEXTS
from lookalike.workers.progress import Place

GUILTY = 6
BY_ITSELF, FROM_OUTSIDE = SUSPICIOUS, 1
"""Guilt for a worker that crashed or stood still, and for one that was ended by somebody else: the system takes the
process that has most memory, and a person any; that proves little, unless it happens again and again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a batch whose worker was lost.

    Attributes:
        convicted: Inputs that will not be tried again.
        groups: The others, in the groups in which they are to be tried: the innocent first.
    """

    convicted: Sequence[Entry]
    groups: Sequence[Sequence[Entry]]


def judge(batch: Sequence[Entry], place: Place | None, *, outside: bool) -> Verdict:
    """Find who is suspected, and note it on the entries.

    Args:
        batch: What the worker had.
        place: Its last mark; None if it had not begun.
        outside: True if somebody else ended it.
    """
    suspects = _suspects(batch, place)
    for entry in suspects:
        entry.guilt += FROM_OUTSIDE if outside or place is None else BY_ITSELF
    innocent = [entry for entry in batch if entry not in suspects]
    if len(suspects) == 1 and suspects[0].guilt >= GUILTY:
        return Verdict(suspects, [innocent] if innocent else [])
    return Verdict((), [group for group in (innocent, *halves(suspects)) if group])


def halves(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Two groups of like size, or the only entry."""
    middle = (len(entries) + 1) // 2
    return [group for group in (entries[:middle], entries[middle:]) if group]


def _suspects(batch: Sequence[Entry], place: Place | None) -> Sequence[Entry]:
    if place is None or place.item >= len(batch):
        return batch
    step = (STEP_IMAGES if batch[0].modality == "image" else STEP_TEXTS) if place.inference else 1
    return batch[place.item : place.item + step]


class Convicts:
    """Inputs that are refused at once, for an hour. Any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = Lock()
        self._guilt = Guilt(clock)

    def add(self, key: Key) -> None:
        """Remember one more; the oldest is forgotten where they are too many."""
        with self._lock:
            self._guilt.note(key, GUILTY)

    def __contains__(self, key: Key) -> bool:
        with self._lock:
            return self._guilt.of(key) >= GUILTY
