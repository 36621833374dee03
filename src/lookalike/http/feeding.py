"""Orders done by the service itself, where its index is a folder: no worker is needed beside it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lookalike import app, transfer
from lookalike.config import Config
from lookalike.errors import InputError, StoreError
from lookalike.orders import Claim, JobFeed, Order
from lookalike.ports import EmbeddingService, Recorder
from lookalike.queues.sqlite_file import FILE
from lookalike.spaces import Space
from lookalike.types import Rows
from lookalike.working import Lending, ServiceEmbedding, Workplace, run_feed

CONCURRENCY = 16
"""Orders that are done at the same time: two full batches of the model, one being read."""

AWAY_S = 2.0
"""How long an index that cannot be written is left alone."""

END_S = 5.0
"""How long is waited at the end for what was begun, which has had the time since the service was told to stop."""

_log = logging.getLogger("lookalike.jobs")


class Feeding:
    """A thread that does the orders of an index in a folder, with the service's own model.

    It leaves an index alone that nobody has ordered anything for: neither its file of orders nor a lock is made there.

    Args:
        folder: Where the index is.
        config: How pictures are read.
        lending: Lends the index for writing.
        recorder: Counts what becomes of orders: "indexed", and "unusable" for pictures.
        stopping: Set when nothing more shall be begun.
    """

    def __init__(
        self, folder: Path, config: Config, *, lending: Lending[Any], recorder: Recorder, stopping: threading.Event
    ) -> None:
        self._folder = folder.expanduser()
        self._config = config
        self._lending = lending
        self._recorder = recorder
        self._stopping = stopping
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, service: Callable[[], EmbeddingService]) -> None:
        """Begin with what was left by the last process, if there is anything, else with the first order.

        Args:
            service: Says which service makes the vectors now.
        """
        if (self._folder / FILE).exists():
            self.wake()
        self._thread = threading.Thread(target=self._run, args=[service], name="lookalike-feeding", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is an order."""
        self._wanted.set()

    def close(self) -> None:
        """Begin nothing more, and wait for what was begun; what takes too long is done again by the next process."""
        self._stopping.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(END_S)

    def _run(self, service: Callable[[], EmbeddingService]) -> None:
        self._wanted.wait()

        def embed(data: bytes, item: str) -> tuple[Rows, Space]:
            return ServiceEmbedding(service(), self._stopping)(data, item)

        place = Workplace(
            lend=self._lending,
            pictures=transfer.open_pictures(self._config),
            embed=embed,
            max_bytes=self._config.max_bytes,
        )
        while not self._stopping.is_set():
            try:
                feed = _Counting(app.open_feed(self._folder), self._recorder)
                run_feed(feed, place, concurrency=CONCURRENCY, stopping=self._stopping)
            except StoreError as error:
                _log.warning("Orders wait: %s", error)
                self._stopping.wait(AWAY_S)


class _Counting:
    """A feed that counts what becomes of its orders."""

    def __init__(self, feed: JobFeed, recorder: Recorder) -> None:
        self._feed = feed
        self._recorder = recorder

    def work(self, do: Callable[[Order, Claim], None], *, concurrency: int, stopping: threading.Event) -> None:
        """See ports.JobFeed."""

        def counted(order: Order, claim: Claim) -> None:
            try:
                do(order, claim)
            except InputError:
                self._recorder.count("unusable")
                raise
            self._recorder.count("indexed")

        self._feed.work(counted, concurrency=concurrency, stopping=stopping)

    def held(self, claims: Sequence[Claim]) -> set[Claim]:
        """See ports.JobFeed."""
        return self._feed.held(claims)
