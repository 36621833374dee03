"""Vectors for the pictures of an index that have none in a space: read, checked, embedded, stored.

What is stored is the record of how far a fill has come: killed anywhere, the next goes on with what is missing then.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np

from lookalike.changeover import Filling, Missing
from lookalike.chunks import chunked
from lookalike.contents import is_unread
from lookalike.embed import Embedder
from lookalike.errors import InputError, LookalikeError, ProviderError
from lookalike.progress import Progress
from lookalike.tables import Pictures
from lookalike.types import Outcome, Rows

CHUNK = 16
"""Pictures that are embedded together: enough to fill the model's batch, few enough to store often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a space is filled.

    Attributes:
        threads: How many chunks are read and embedded at the same time.
        per_s: Pictures a second at most; None for no limit.
        stopping: Set when it shall end early; what was begun is stored.
        on_progress: Told after every chunk.
    """

    threads: int = 2
    per_s: float | None = None
    stopping: Event | None = None
    on_progress: Callable[[Progress], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReport:
    """What a fill did.

    Attributes:
        stored: Pictures that got their vector.
        failures: What could not be given one, by item, and why; they are tried again next time.
        n_behind: Items that have no vector in the space now.
        elapsed_s: Seconds that it took.
    """

    stored: int
    failures: tuple[tuple[str, str], ...]
    n_behind: int
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Chunk:
    """Some pictures with their vectors, and the others with why they have none."""

    contents: Sequence[str]
    vectors: Rows
    failures: Sequence[tuple[Missing, str]]


def fill(filling: Filling, pictures: Pictures, embedder: Embedder, terms: Terms) -> FillReport:
    """Give a vector to every picture that has none in the space; safe to interrupt, and to run again.

    Args:
        filling: The space.
        pictures: Where the uris of items lead.
        embedder: Of the space's model; should use one core per call.
        terms: How.

    Raises:
        StoreError: The space cannot be written; what was stored before is safe.
        BudgetExceeded: Going on would cost too much; what was paid for is stored.
        ProviderError: The provider did not do its part; what it did before is stored.
    """
    run = _Run(filling, terms)
    pace = Pace(terms.per_s, terms.stopping or Event())
    with ThreadPoolExecutor(terms.threads, thread_name_prefix="fill") as pool:
        try:
            for chunk in pace.chunks(filling.missing()):
                run.begin(pool.submit(_filled, chunk, pictures, embedder))
            run.finish()
        except LookalikeError:
            pool.shutdown(cancel_futures=True)
            run.keep_paid()
            raise
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return run.report()


class Pace:
    """Hands out chunks no faster than is allowed.

    Args:
        per_s: Pictures a second; None for as fast as they are taken.
        stopping: Ends it early.
        clock: A clock in seconds that only moves forward.
    """

    def __init__(self, per_s: float | None, stopping: Event, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._stopping = stopping
        self._clock = clock

    def chunks(self, missing: Iterable[Missing]) -> Iterator[list[Missing]]:
        """All of them, a few at a time: smaller ones where one of the usual size would be more than a second's."""
        due_s = self._clock()
        for chunk in chunked(missing, CHUNK if self._per_s is None else max(1, min(CHUNK, int(self._per_s)))):
            if self._stopping.wait(max(0.0, due_s - self._clock())) or self._stopping.is_set():
                return
            if self._per_s is not None:
                due_s = max(due_s, self._clock()) + len(chunk) / self._per_s
            yield chunk


class _Run:
    """A fill under way: a bounded number of chunks that are worked on, and what has become of the others."""

    def __init__(self, filling: Filling, terms: Terms) -> None:
        self._filling = filling
        self._terms = terms
        self._running: deque[Future[_Chunk]] = deque()
        self._failures: list[tuple[Missing, str]] = []
        self._stored = 0
        self._began_s = time.monotonic()

    def begin(self, future: Future[_Chunk]) -> None:
        self._running.append(future)
        if len(self._running) > self._terms.threads + 1:
            self._keep(self._running.popleft().result())

    def finish(self) -> None:
        while self._running:
            self._keep(self._running.popleft().result())

    def keep_paid(self) -> None:
        """After an error: store what the other chunks have brought meanwhile, which may have cost money."""
        for future in self._running:
            if not future.cancel() and future.exception() is None:
                self._keep(future.result())

    def report(self) -> FillReport:
        n_behind = self._filling.settle({one.content: reason for one, reason in self._failures})
        return FillReport(
            stored=self._stored,
            failures=tuple((one.uris[0] if one.uris else one.item, reason) for one, reason in self._failures),
            n_behind=n_behind,
            elapsed_s=time.monotonic() - self._began_s,
        )

    def _keep(self, chunk: _Chunk) -> None:
        if chunk.contents:
            self._filling.put(chunk.contents, chunk.vectors)
        self._stored += len(chunk.contents)
        self._failures += chunk.failures
        if self._terms.on_progress:
            n_failed = len(self._failures)
            counts = {Outcome.STORED: self._stored, Outcome.FAILED: n_failed}
            elapsed_s = time.monotonic() - self._began_s
            done = self._stored + n_failed
            self._terms.on_progress(Progress(counts=counts, done=done, n_bytes=0, elapsed_s=elapsed_s))


def _filled(chunk: Sequence[Missing], pictures: Pictures, embedder: Embedder) -> _Chunk:
    """Read and embed some pictures."""
    read: list[tuple[Missing, bytes]] = []
    failures: list[tuple[Missing, str]] = []
    for one in chunk:
        try:
            read.append((one, _bytes_of(one, pictures, embedder.policy.max_bytes)))
        except InputError as error:
            failures.append((one, error.reason))
    if not read:
        return _Chunk(contents=[], vectors=np.empty((0, embedder.space.dim), np.float32), failures=failures)
    names = [one.uris[0] for one, _ in read]
    vectors = embedder.embed_images([data for _, data in read], names=names, on_error="collect")
    failures += [(read[failure.position][0], failure.reason) for failure in vectors.failures]
    contents = [read[position][0].content for position in vectors.positions.tolist()]
    return _Chunk(contents=contents, vectors=np.ascontiguousarray(vectors.values), failures=failures)


def _bytes_of(one: Missing, pictures: Pictures, max_bytes: int) -> bytes:
    """The bytes of a picture, from the first place that still has it. InputError, saying why, if none has."""
    if is_unread(one.content):
        raise InputError("its vector was imported without its picture: index its folder, which reads it.")
    if not one.uris:
        raise InputError("it was handed in as bytes, which nobody kept: hand it in again after the switch.")
    reason = ""
    for uri in one.uris:
        try:
            data = pictures.read(uri, max_bytes=max_bytes)
        except InputError as error:
            reason = reason or error.reason
        except ProviderError as error:
            reason = reason or str(error)
        else:
            if hashlib.sha256(data).hexdigest() == one.content:
                return data
            reason = reason or "another picture is there by now: bring the index up to date first."
    raise InputError(reason)
