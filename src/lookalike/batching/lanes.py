"""What waits in one lane, and which of it makes the next batch: one kind, one caller after the other."""

from __future__ import annotations

from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from lookalike.spaces import Modality
from lookalike.types import Embedded, Lane

TEXT_BUCKETS = (64, 256)
"""Characters: texts of one batch are of like length, so that a long one does not hold up the short."""

SUSPICIOUS = 3
"""Of this guilt and more an entry is suspected of ending workers; see workers.blame, which counts it."""

Key = tuple[Modality, bytes]
"""What makes two jobs one: the modality and the sha256 of the input."""

Kind = tuple[Modality, int]
"""What can share a batch: a modality and, of texts, a length bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much waits, and how much is worked on at once.

    Attributes:
        interactive_jobs: Jobs of the interactive lane that are accepted and not yet answered, at most.
        bulk_jobs: The same of the bulk lane. One caller may hold half of a lane when others use it too, and seven
            eighths when nobody does: there is room for whoever comes next.
        n_bytes: Bytes of all inputs together.
        batch_images: Pictures in one batch, at most: as many as the model is given at a time. Answers of a larger batch
            would come all at once, and a query waits until the event loop has written them.
        batch_texts: Texts in one batch, at most.
        batch_interactive: Jobs in a batch of the interactive lane, at most: the next query must not wait for many.
        batch_bytes: Bytes in one batch, unless a single input has more.
        max_wait_s: How long a batch of the bulk lane waits to become full.
    """

    interactive_jobs: int = 512
    bulk_jobs: int = 4096
    n_bytes: int = 512 << 20
    batch_images: int = 8
    batch_texts: int = 64
    batch_interactive: int = 8
    batch_bytes: int = 32 << 20
    max_wait_s: float = 0.002

    def jobs(self, lane: Lane) -> int:
        """The bound of a lane."""
        return self.interactive_jobs if lane == "interactive" else self.bulk_jobs

    def batch(self, lane: Lane, modality: Modality) -> int:
        """The size of a batch."""
        most = self.batch_images if modality == "image" else self.batch_texts
        return min(most, self.batch_interactive) if lane == "interactive" else most


@dataclass(slots=True, eq=False)
class Entry:
    """One input that is waiting or being worked on, and all who wait for it.

    Attributes:
        key: What it is.
        payload: The input.
        kind: What it can share a batch with.
        lane: The most urgent one of its jobs.
        caller: Who asked for it first in that lane.
        number: Its place in the order of arrival.
        since: When it arrived, on the queue's clock.
        waiters: The jobs and their futures.
        guilt: How much it is suspected of having ended a worker; see workers.blame.
    """

    key: Key
    payload: bytes | str
    kind: Kind
    lane: Lane
    caller: str
    number: int
    since: float
    waiters: list[Waiter] = field(default_factory=list)
    guilt: int = 0

    @property
    def modality(self) -> Modality:
        """Whether it is a picture or a text."""
        return self.kind[0]

    @property
    def is_suspect(self) -> bool:
        """Whether it may end the next worker as well."""
        return self.guilt >= SUSPICIOUS


@dataclass(slots=True, eq=False)
class Waiter:
    """Who waits for an entry, and what to call it in errors."""

    # Not the job: until its deadline has passed a waiter is remembered, and a picture must not be.
    item: str
    lane: Lane
    caller: str
    future: Future[Embedded]
    entry: Entry


class WaitingLine:
    """Entries that wait, handed out by one caller after the other."""

    def __init__(self) -> None:
        self.again: deque[list[Entry]] = deque()
        # Groups with a suspect, and their place in the order of arrival: behind all that was waiting already.
        self.suspects: deque[tuple[int, list[Entry]]] = deque()
        # By caller, the one whose turn it is first; by kind; in the order of arrival.
        self._callers: OrderedDict[str, dict[Kind, OrderedDict[int, Entry]]] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether anything waits, suspects aside."""
        return bool(self.again or self._callers)

    def add(self, entry: Entry) -> None:
        """Put it at the end of its caller's."""
        self._callers.setdefault(entry.caller, {}).setdefault(entry.kind, OrderedDict())[entry.number] = entry

    def remove(self, entry: Entry) -> bool:
        """Whether it was waiting here."""
        kinds = self._callers.get(entry.caller, {})
        found = kinds.get(entry.kind, OrderedDict()).pop(entry.number, None)
        if found is not None and not kinds[entry.kind]:
            del kinds[entry.kind]
            if not kinds:
                del self._callers[entry.caller]
        return found is not None

    def oldest_since(self) -> float:
        """Since when the first of them has been waiting; long ago for what was put back, never if nothing waits."""
        if self.again:
            return float("-inf")
        entries = (next(iter(of_kind.values())) for kinds in self._callers.values() for of_kind in kinds.values())
        return min((entry.since for entry in entries), default=float("inf"))

    def worth_waiting_s(self, limits: QueueLimits, now: float) -> float:
        """How long the next batch may still wait to become full."""
        oldest = self._oldest()
        if self.again or oldest is None:
            return 0.0
        n_waiting = sum(len(kinds.get(oldest.kind, ())) for kinds in self._callers.values())
        is_full = n_waiting >= limits.batch("bulk", oldest.modality)
        return 0.0 if is_full else oldest.since + limits.max_wait_s - now

    def take(self, lane: Lane, limits: QueueLimits) -> list[Entry]:
        """The next batch: what was put back, or the kind whose turn it is, a job of each caller in turn."""
        while self.again:
            group = [entry for entry in self.again.popleft() if entry.waiters]
            if group:
                return group
        oldest = self._oldest()
        batch: list[Entry] = []
        n_bytes = 0
        while oldest and len(batch) < limits.batch(lane, oldest.modality):
            entry = self._next_of(oldest.kind)
            if entry is None or (batch and n_bytes + len(entry.payload) > limits.batch_bytes):
                break
            self.remove(entry)
            if entry.caller in self._callers:
                self._callers.move_to_end(entry.caller)
            batch.append(entry)
            n_bytes += len(entry.payload)
        return batch

    def take_suspects(self) -> list[Entry]:
        """The next group with a suspect, once nothing is waiting that came before it; empty if there is none."""
        while self.suspects:
            number, group = self.suspects[0]
            wanted = [entry for entry in group if entry.waiters]
            if wanted and (self.again or self._first_number() < number):
                return []
            self.suspects.popleft()
            if wanted:
                return wanted
        return []

    def forget_suspects(self) -> None:
        """Let go of those that nobody waits for: their turn may come late, and they may be large."""
        self.suspects = deque((n, group) for n, group in self.suspects if any(entry.waiters for entry in group))

    def _first_number(self) -> float:
        """The place of what has been waiting for longest."""
        firsts = (next(iter(entries)) for kinds in self._callers.values() for entries in kinds.values())
        return min(firsts, default=float("inf"))

    def _oldest(self) -> Entry | None:
        """What the caller whose turn it is has been waiting for longest."""
        kinds = next(iter(self._callers.values()), {})
        firsts = [next(iter(entries.values())) for entries in kinds.values()]
        return min(firsts, key=lambda entry: entry.number, default=None)

    def _next_of(self, kind: Kind) -> Entry | None:
        """The first entry of this kind, of the first caller that has one."""
        of_kind = (kinds[kind] for kinds in self._callers.values() if kind in kinds)
        return next((entry for entries in of_kind for entry in entries.values()), None)
