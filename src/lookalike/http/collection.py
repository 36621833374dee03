"""The index that the service searches: opened once it is there, and again when another one is in its place."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from lookalike import app
from lookalike.config import Config
from lookalike.errors import ItemNotFound, LookalikeError, ServiceError, SpaceMismatch, StoreError
from lookalike.http.keys import Caller
from lookalike.http.pool_embedder import PoolEmbedder
from lookalike.http.threads import Threads
from lookalike.http.thumbnails import Thumbnails
from lookalike.http.view import View
from lookalike.index import Index
from lookalike.policy import ImagePolicy
from lookalike.ports import EmbeddingService
from lookalike.transfer import open_pictures
from lookalike.types import StoreStats

N_THREADS = 4
"""Searches, and readings of files, at the same time: more than there are cores mostly wait for each other."""

MAX_PROCESSES = 4
"""Thumbnails are made so many at a time, where there are as many cores: the largest picture takes two gigabytes."""

STATS_EVERY_S = 5.0
"""How often it is read at most what the index holds, however often that is asked."""

STATS_WAIT_S = 1.0
"""How long whoever asks that waits for it; then what was read before has to do."""

WARM_UP_EVERY_S = 0.1
"""How often it is tried whether the service has its model."""

Result = TypeVar("Result")

_log = logging.getLogger("lookalike.index")


class Collection:
    """An index, the threads that ask it, and the thumbnails of its pictures.

    Args:
        config: Where the index is, and the budgets of its pictures.
        service: What embeds queries; no model is opened in this process.
        number: The space of the index to search, whatever is searched by others; the current one if left out.
    """

    def __init__(self, config: Config, service: EmbeddingService, *, number: int | None = None) -> None:
        self.config = config
        self._number = number
        n_processes = min(MAX_PROCESSES, app.available_threads(config))
        policy = ImagePolicy(max_pixels=config.max_pixels)
        self.pictures = open_pictures(config)
        self.thumbnails = Thumbnails(config.cache_dir / "thumbnails", policy, n_processes=n_processes)
        self._embedder = PoolEmbedder(service, max_bytes=config.max_bytes)
        self._searches = Threads("searches", n_threads=N_THREADS)
        self._files = Threads("files", n_threads=N_THREADS)
        self._pictures = Threads("thumbnails", n_threads=n_processes, max_waiting=256)
        self._figures = Threads("figures of the index", n_threads=1)
        self._stats: StoreStats | None = None
        self._stats_due = 0.0
        self._index: Index | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def warm_up(self) -> None:
        """Do in the background, once the service has a model, what the first search by words would wait for.

        That is opening the index, and embedding the caption bank where no process has done so before.
        """
        threading.Thread(target=self._warm_up, name="lookalike-warm-up", daemon=True).start()

    def is_warm(self) -> bool:
        """Whether a search by words is answered, and thereby all that the first one waits for is done.

        Raises:
            LookalikeError: It cannot be, and not for want of a model alone.
        """
        try:
            self._ask(lambda index: index.search(text="a picture", limit=1))
        except ServiceError:  # it has no model yet, or too much to do
            return False
        return True

    def mismatch(self) -> str:
        """Why words and pictures cannot be searched for: the index is of another model; empty as far as is known."""
        index = self._index
        try:
            if index is not None:
                _ = index.embedder
        except SpaceMismatch as error:
            return str(error)
        except ServiceError:  # it has no model yet
            pass
        return ""

    async def require(self, *, until: float) -> None:
        """Nothing, if there is an index: without one a search is refused before a model is asked for anything.

        Raises:
            StoreError: There is none, or it cannot be read.
            ServiceError: There was no time or room to open it.
        """
        if self._index is None:
            await self._searches.run(self._open, until=until)

    async def ask(self, question: Callable[[View], Result], *, caller: Caller, until: float) -> Result:
        """What the index answers, asked in a thread.

        An index that was deleted, replaced or damaged is opened again once, so that one that is whole answers.

        Args:
            question: Asks it; may be called twice.
            caller: Who asks: the question is put to what the key may see.
            until: When the answer is worth nothing any more, on time.monotonic().

        Raises:
            StoreError: There is no index, or it cannot be read.
            ServiceError: There was no time or room for the question.
        """
        return await self._searches.run(lambda: self._ask(lambda index: question(View(caller, index))), until=until)

    async def read(
        self, work: Callable[[], Result], *, until: float, unheard: Callable[[Result], None] | None = None
    ) -> Result:
        """What a function reads from files, in a thread: a drive that hangs holds up no search; see `Threads.run`."""
        return await self._files.run(work, until=until, unheard=unheard)

    async def draw(self, work: Callable[[], Result], *, until: float) -> Result:
        """What a function makes of pictures, a few at the same time."""
        return await self._pictures.run(work, until=until)

    async def stats(self) -> StoreStats | None:
        """What the index holds, or held a little while ago; None if there is none that can be read.

        Read in a thread of its own: neither many searches nor a drive that hangs hold up the figures.
        """
        now = time.monotonic()
        if now >= self._stats_due:
            self._stats_due = now + STATS_EVERY_S
            with suppress(ServiceError):  # there was no time: what is known is the best there is
                await self._figures.run(self._read_stats, until=now + STATS_WAIT_S)
        return self._stats

    def close(self) -> None:
        """Let go of everything."""
        self._closed.set()
        for threads in (self._searches, self._files, self._pictures, self._figures):
            threads.close()
        self.thumbnails.close()
        with self._lock:
            if self._index is not None:
                self._index.close()

    def _read_stats(self) -> None:
        # Kept here and not by who asked, who waits for a second only: of millions of items they take longer.
        try:
            self._stats = self._ask(Index.stats)
        except StoreError:
            self._stats = None

    def _warm_up(self) -> None:
        while not self._closed.wait(WARM_UP_EVERY_S):
            try:
                if not self.is_warm():
                    continue
            except SpaceMismatch as error:
                _log.error("No search: %s", error)
            except LookalikeError:  # searches will say it themselves
                pass
            return

    def _ask(self, question: Callable[[Index], Result]) -> Result:
        index = self._open()
        try:
            return question(index)
        except ItemNotFound:
            raise
        except StoreError:
            self._drop(index)
        return question(self._open())

    def _open(self) -> Index:
        with self._lock:
            if self._index is None:
                store = app.open_store(self.config.index, mirror=self.config.mirror, number=self._number)
                self._index = Index(store, self.config, self._embedder)
            return self._index

    def _drop(self, index: Index) -> None:
        with self._lock:
            if self._index is index:
                self._index = None
        index.close()
