"""Pictures that shall be indexed: orders, what becomes of them, the seams to queues and to where pictures are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import NamedTuple, Protocol


class JobState(StrEnum):
    """Where an order to index a picture stands."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A picture that shall be indexed: the item that it will be, and where its bytes are.

    Attributes:
        id: The caller's name for it, unique within the project; an item that is there already is replaced.
        uri: Where the picture is: a path, a URL, or an object of a bucket ("s3://bucket/key").
        project: The collection that it will belong to.
        caption: Free text of the owner.
        metadata: Further facts.
    """

    id: str
    uri: str
    project: str = "default"
    caption: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexJob:
    """What has become of an order.

    Attributes:
        number: Its name in the queue.
        order: What was ordered.
        state: Where it stands.
        attempts: How often it has been begun.
        reason: Why the last attempt failed; empty if none has.
        ordered_s: When it was ordered, in seconds since 1970.
        changed_s: When it came into this state; for one that waits, when it is tried.
    """

    number: int
    order: Order
    state: JobState
    attempts: int = 0
    reason: str = ""
    ordered_s: float
    changed_s: float


class Claim(NamedTuple):
    """By what a worker has an order: until it is taken for dead, then the order is somebody else's."""

    number: int
    worker: int


class JobQueue(Protocol):
    """Orders to index pictures: on record until each is done, or dead with the reason. Any number may ask at once."""

    def submit(self, orders: Sequence[Order]) -> list[int]:
        """Take orders; their numbers, in order. Durable when it returns, all or nothing."""
        ...

    def look_up(self, numbers: Sequence[int]) -> list[IndexJob | None]:
        """The jobs of these numbers, in order; None for one that is not known, or was done long ago."""
        ...

    def page(self, *, state: JobState, project: str | None, above: int, limit: int) -> list[IndexJob]:
        """Jobs in this state with numbers above this one, by number; of every project if that is None."""
        ...

    def replay(self, numbers: Sequence[int]) -> list[int]:
        """Let dead jobs begin anew, at once and with all their attempts; the numbers of those that were dead."""
        ...


class JobFeed(Protocol):
    """The working half of a queue. A job that is handed out and never ends, as its worker died, is handed out again."""

    def work(self, do: Callable[[Order, Claim], None], *, concurrency: int, stopping: Event) -> None:
        """Do orders until told to stop, then finish those that were begun.

        Args:
            do: Does one; called from `concurrency` threads. An error that is `retryable` is tried again, later and
                later; any other, or the last, makes the job dead with its sentence.
            concurrency: How many are done at the same time.
            stopping: Set when it shall end.
        """
        ...

    def held(self, claims: Sequence[Claim]) -> set[Claim]:
        """Those that still hold: a worker that stood still may wake up with an order that is done, and overtaken."""
        ...


class PictureKeeper(Protocol):
    """Where pictures are kept that were handed in as bytes."""

    def keep(self, data: bytes, *, content: str) -> str:
        """Keep the bytes of a picture with this sha256 (hex); its uri. Durable when it returns; equal bytes once.

        Raises:
            StoreError: There is no room, or no right to write there.
            ProviderError: The bucket did not do its part.
        """
        ...
