"""What an ingest run tells whoever watches: progress while it goes, a report when it ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lookalike.types import LedgerEntry, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        counts: Objects by outcome so far.
        done: Objects with an outcome, removed ones aside.
        n_bytes: Bytes read.
        elapsed_s: Seconds since the run began.
    """

    counts: Mapping[Outcome, int]
    done: int
    n_bytes: int
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a run ended.

    Attributes:
        counts: Objects by outcome: every listed object once, and the removed ones.
        failures: The ledger entry of each object that failed, in the source's order.
        n_bytes: Bytes read.
        elapsed_s: Seconds that it took.
        warnings: Sentences about the run as a whole.
    """

    counts: Mapping[Outcome, int]
    failures: tuple[LedgerEntry, ...]
    n_bytes: int
    elapsed_s: float
    warnings: tuple[str, ...] = ()


class Tally:
    """Counts outcomes and tells whoever watches."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._counts: Counter[Outcome] = Counter()
        self._failures: list[LedgerEntry] = []
        self._warnings: dict[str, None] = {}  # each once
        self._n_bytes = 0
        self._began_s = time.monotonic()

    def count(self, counts: Mapping[Outcome, int]) -> None:
        """Add to the counts, and tell."""
        self._counts.update(counts)
        if self._on_progress:
            done = sum(self._counts.values()) - self._counts[Outcome.REMOVED]
            self._on_progress(
                Progress(counts=dict(self._counts), done=done, n_bytes=self._n_bytes, elapsed_s=self._elapsed_s())
            )

    def skip(self, n: int) -> None:
        """n objects are stored as they are now."""
        self.count({Outcome.UNCHANGED: n})

    def finish(self, entries: list[LedgerEntry], n_bytes: int) -> None:
        """These objects, read from so many bytes, have their outcome on record."""
        self._n_bytes += n_bytes
        self._failures.extend(entry for entry in entries if entry.outcome is Outcome.FAILED)
        self.count(Counter(entry.outcome for entry in entries))

    def warn(self, sentence: str) -> None:
        """Something about the run as a whole."""
        self._warnings[sentence] = None

    def report(self) -> Report:
        """How it ended."""
        return Report(
            counts=dict(self._counts),
            failures=tuple(self._failures),
            n_bytes=self._n_bytes,
            elapsed_s=self._elapsed_s(),
            warnings=tuple(self._warnings),
        )

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s
