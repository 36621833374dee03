"""Pictures by URL, where that is allowed: in threads of their own, so that slow hosts hold up nobody."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock

from lookalike.config import ServeSettings
from lookalike.errors import TooLarge
from lookalike.http.inputs import Fetch
from lookalike.http.threads import Threads
from lookalike.sources.url import UrlPolicy, UrlReader

N_THREADS = 8
MAX_WAITING = 512


class Fetcher:
    """Fetches pictures for requests.

    Args:
        reader: Knows what may be asked.
        max_bytes: What the pictures of one request may have together.
    """

    def __init__(self, reader: UrlReader, *, max_bytes: int) -> None:
        self._reader = reader
        self._max_bytes = max_bytes
        self._threads = Threads("pictures to fetch", n_threads=N_THREADS, max_waiting=MAX_WAITING)

    @classmethod
    def of(cls, settings: ServeSettings) -> Fetcher | None:
        """The fetcher that the settings describe; None if they allow no URLs."""
        if not settings.allow_urls:
            return None
        reader = UrlReader(UrlPolicy(allowed_hosts=settings.url_hosts))
        return cls(reader, max_bytes=settings.max_body_bytes)

    def require(self, url: str) -> None:
        """Raise InputError unless this is a URL that may be asked, as far as that shows without asking anybody."""
        self._reader.require(url)

    def within(self, until: float, *, hold: Callable[[int], None]) -> Fetch:
        """Reads pictures for one request, which together have no more bytes than one may have.

        Args:
            until: When they are worth nothing any more, on time.monotonic().
            hold: Counts the bytes of a picture among what all requests hold; raises Overloaded if those are too many.

        Returns:
            A function from a URL to its bytes. It raises InputError or ProviderError as `UrlReader.read` does, and
            ServiceError if there was no time or room for it.
        """
        room = _Room(self._max_bytes)

        async def read(url: str) -> bytes:
            room.take(0)
            taken = 0

            def count(n_bytes: int) -> None:
                nonlocal taken
                room.take(n_bytes)
                taken += n_bytes

            work = partial(self._reader.read, url, max_bytes=self._max_bytes, deadline=until, count=count)
            try:
                data = await self._threads.run(work, until=until)
                hold(len(data))
            except BaseException:
                room.give_back(taken)
                raise
            return data

        return read

    def close(self) -> None:
        """Fetch nothing more."""
        self._threads.close()


class _Room:
    """What the pictures of one request may have together; counted as they arrive, since several do at once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0
        self._lock = Lock()

    def take(self, n_bytes: int) -> None:
        """Raise TooLarge unless there is room for so many more, and for one at least."""
        with self._lock:
            if self._taken + max(n_bytes, 1) > self._max_bytes:
                raise TooLarge(
                    "The pictures at the other URLs fill the request: send several.",
                    actual=self._taken + n_bytes,
                    limit=self._max_bytes,
                )
            self._taken += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """So many were not read, or are of no use."""
        with self._lock:
            self._taken -= n_bytes
