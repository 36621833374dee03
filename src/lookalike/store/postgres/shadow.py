"""Live searches looked at again: now and then one is made once more, exactly, and what the first found is compared."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from lookalike.errors import LookalikeError
from lookalike.types import Scored

EVERY_S = 60.0
"""How often one search is looked at again, at most."""

SHARE = 0.01
"""Of the time, at most, that exact searches may take: where one takes seconds they are made less often."""

WEIGHT = 0.02
"""Of a search in the figure that is told: that of the last fifty or so."""

TIE = 1e-6
"""Similarities are equal that differ by no more: all are of the same half precision vectors."""

_log = logging.getLogger("lookalike.index")


class Shadow:
    """How much of the truth live searches find. Every method may be called from several threads at once.

    Args:
        clock: A clock in seconds that only moves forward.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._seen: dict[str, int] = defaultdict(int)
        self._recall: dict[str, float] = {}

    @property
    def recall(self) -> Mapping[str, float]:
        """The share of the best answers that was found lately, by the way in which they were searched for."""
        with self._lock:
            return dict(self._recall)

    def follow(
        self, way: str, found: Sequence[Scored], exact: Callable[[], Sequence[Scored]]
    ) -> threading.Thread | None:
        """Look at a search again, in the background, if it is time to; the thread that does.

        Args:
            way: How it was made.
            found: Its answers.
            exact: Makes it once more, looking at every vector.
        """
        with self._lock:
            if self._clock() < self._due:
                return None
            self._due = float("inf")  # one at a time
        thread = threading.Thread(target=self._look, args=(way, found, exact), name="lookalike-shadow", daemon=True)
        thread.start()
        return thread

    def _look(self, way: str, found: Sequence[Scored], exact: Callable[[], Sequence[Scored]]) -> None:
        began = self._clock()
        try:
            truth = exact()
        except LookalikeError as error:
            _log.debug("A search was not looked at again: %s", error)
        else:
            self._note(way, found, truth)
        finally:
            took_s = self._clock() - began
            with self._lock:
                self._due = began + max(EVERY_S, took_s / SHARE)

    def _note(self, way: str, found: Sequence[Scored], truth: Sequence[Scored]) -> None:
        if not truth:
            return
        least = truth[-1].similarity - TIE  # of equal ones either may be answered
        right = min(sum(scored.similarity >= least for scored in found), len(truth)) / len(truth)
        with self._lock:
            self._seen[way] += 1
            weight = max(WEIGHT, 1 / self._seen[way])
            self._recall[way] = self._recall.get(way, 0.0) * (1 - weight) + right * weight
