"""Taking pictures in: their bytes are kept, and for each an order is on record before anybody is told that it is.

And taking items out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from lookalike.errors import AccessDenied, InputError, LookalikeError
from lookalike.http.threads import Threads
from lookalike.orders import JobQueue, Order, PictureKeeper
from lookalike.working import Lending

N_THREADS = 4
"""Pictures that are kept, and questions to the queue, at the same time."""

MAX_WAITING = 1024
"""More of them wait: a batch keeps its pictures one by one."""

SAY_S = 0.5
"""So long before a request's time is over it is given up to wait for other writers, so as to say that."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A picture that may be ordered.

    Attributes:
        order: What shall become of it; of bytes without a uri, and where no id was said without an id.
        data: Its bytes; None if it lies elsewhere.
        name: What it is called in errors.
    """

    order: Order
    data: bytes | None = field(default=None, repr=False)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture that was ordered: the number of its job, the order, and sha256 (hex) of bytes that came with it."""

    number: int
    order: Order
    content: str = ""


class OpenQueue(JobQueue, Protocol):
    """A queue, and what closes it."""

    def close(self) -> None:
        """Close its connections."""
        ...


class Intake:
    """The queue of orders, the place where bytes are kept, the index as it is written, and threads for all of them.

    Args:
        open_queue: Opens the queue of the index; StoreError while there is no index. Called until it has opened one.
        keeper: Keeps bytes; None where they are not taken.
        lending: Lends the index to take items out of it.
        on_order: Is told that there are new orders.
    """

    def __init__(
        self,
        open_queue: Callable[[], OpenQueue],
        keeper: PictureKeeper | None,
        lending: Lending[Any],
        on_order: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_queue = open_queue
        self._keeper = keeper
        self._lending = lending
        self._on_order = on_order
        self._queue: OpenQueue | None = None
        self._lock = threading.Lock()
        self._keeping = Threads("pictures to keep", n_threads=N_THREADS, max_waiting=MAX_WAITING)
        self._asking = Threads("questions to the queue", n_threads=N_THREADS)
        self._removing = Threads("items to take out", n_threads=1)

    async def take(self, pictures: Sequence[Wanted | LookalikeError], *, until: float) -> list[Taken | LookalikeError]:
        """Order pictures; what has been taken is durable when this returns.

        Args:
            pictures: What may be ordered, or why not.
            until: When the answer is worth nothing any more, on time.monotonic().

        Returns:
            For each in order, what became of it: one that cannot be kept does not keep the others from being ordered.

        Raises:
            StoreError: No order could be put on record.
            ServiceError: There was no time or room for it.
        """
        # Asked anew each time: the index may be gone, and what is kept then would lie where the next one is made.
        await self.ask(lambda queue: queue.look_up(()), until=until)
        found = await asyncio.gather(*(self._kept(picture, until) for picture in pictures))
        entries = _distinct(found, [picture.name if isinstance(picture, Wanted) else "" for picture in pictures])
        orders = [entry.order for entry in entries if isinstance(entry, Taken)]
        numbers = iter(await self.ask(lambda queue: queue.submit(orders), until=until) if orders else ())
        self._on_order()
        return [replace(entry, number=next(numbers)) if isinstance(entry, Taken) else entry for entry in entries]

    async def ask(self, question: Callable[[JobQueue], Result], *, until: float) -> Result:
        """What the queue answers, asked in a thread. Errors are those of the queue, and ServiceError."""
        return await self._asking.run(lambda: question(self._opened()), until=until)

    async def remove(self, keys: Sequence[tuple[str, str]], *, until: float) -> int:
        """Take items out of the index; how many there were. Waits for its turn where another process writes to it.

        Args:
            keys: The project and the id of each.
            until: When it is given up, on time.monotonic().

        Raises:
            StoreError: There is no index, it cannot be written, or others wrote to it all the time.
            ServiceError: There was no time or room for it.
        """
        return await self._removing.run(lambda: self._remove(keys, until), until=until)

    def close(self) -> None:
        """Take no more."""
        for threads in (self._keeping, self._asking, self._removing):
            threads.close()
        with self._lock:
            if self._queue is not None:
                self._queue.close()

    async def _kept(self, picture: Wanted | LookalikeError, until: float) -> Taken | LookalikeError:
        if isinstance(picture, LookalikeError):
            return picture
        if picture.data is None:
            return Taken(0, picture.order)
        try:
            return await self._keeping.run(lambda: self._keep(picture.data or b"", picture.order), until=until)
        except LookalikeError as error:
            return error

    def _keep(self, data: bytes, order: Order) -> Taken:
        if self._keeper is None:
            raise AccessDenied(
                "This service keeps no pictures: send a URL or the address of an object in a bucket, or start the "
                "service with LOOKALIKE_UPLOADS=s3://bucket/folder (or a folder that the workers see as well).",
                known=True,
            )
        content = sha256(data).hexdigest()
        uri = self._keeper.keep(data, content=content)
        return Taken(0, replace(order, id=order.id or content, uri=uri), content)

    def _remove(self, keys: Sequence[tuple[str, str]], until: float) -> int:
        with self._lending(patience_s=until - time.monotonic() - SAY_S) as store:
            places = defaultdict(list)
            for item in filter(None, store.get(keys)):
                places[item.project].append(item.uri)
            for project, uris in places.items():
                # First the ledger: killed in between, the next ingest looks at these pictures again.
                store.ledger.forget(project, uris)
            return int(store.delete(keys))

    def _opened(self) -> OpenQueue:
        with self._lock:
            self._queue = self._queue or self._open_queue()
            return self._queue


def _distinct(entries: Sequence[Taken | LookalikeError], names: Sequence[str]) -> list[Taken | LookalikeError]:
    """The same, but of several that would be one item only the first: the others would be lost without a word."""
    seen: set[tuple[str, str]] = set()
    checked: list[Taken | LookalikeError] = []
    for entry, name in zip(entries, names, strict=True):
        key = (entry.order.project, entry.order.id) if isinstance(entry, Taken) else None
        is_again = key in seen
        checked.append(InputError("has the id of another picture of this request.", item=name) if is_again else entry)
        if key is not None:
            seen.add(key)
    return checked
