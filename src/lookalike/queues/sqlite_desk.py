"""A worker's side of the queue in a SQLite file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from threading import Event

from lookalike.errors import StoreError
from lookalike.orders import Claim, JobState
from lookalike.queues.feed import Ended, Handed
from lookalike.queues.listening import beside
from lookalike.queues.orders import LOST, read
from lookalike.queues.patience import Patience
from lookalike.queues.sqlite_file import QueueFile, overtake
from lookalike.sql import statements

LOOK_S = 0.05
"""How often a worker looks whether somebody has written to the file: a read of its memory-mapped index."""

CLEAN_EVERY = 12
CLEAN_AT_ONCE = 5000
"""With every twelfth heartbeat, so many jobs that were done long ago are forgotten."""

_SQL = statements("lookalike.queues", "sqlite.sql")


class SqliteDesk:
    """feed.Desk over one file."""

    def __init__(self, file: QueueFile, patience: Patience) -> None:
        self._file = file
        self._patience = patience
        self._worker = 0
        self._n_beats = 0

    def take(self, n: int) -> list[Handed]:
        """At most n orders, the oldest first; they are this worker's now."""
        now = time.time()
        with self._file.reading() as connection:  # nobody waits for the disk where there is nothing to do
            if connection.execute(_SQL["any_due"], (now,)).fetchone() is None:
                return []
        with self._file.writing() as connection:
            rows = connection.execute(_SQL["take"], {"worker": self._worker, "now": now, "n": n}).fetchall()
        return [
            Handed(Claim(number, self._worker), read(json.loads(text)), attempts)
            for number, text, attempts in sorted(rows)
        ]

    def held(self, claims: Sequence[Claim]) -> set[Claim]:
        """Those that still hold."""
        with self._file.reading() as connection:
            return {claim for claim in claims if connection.execute(_SQL["held"], claim).fetchone()}

    def settle(self, ended: Sequence[Ended]) -> None:
        """Put on record what became of orders; of one that is not this worker's any more nothing."""
        now = time.time()
        with self._file.writing() as connection:
            items = []
            for one in ended:
                values = (one.state.value, now + one.pause_s, one.reason, one.reason, one.number, self._worker)
                items += connection.execute(_SQL["settle"], values).fetchall()
            overtake(connection, items)

    def beat(self) -> None:
        """Say that this worker lives, and bring back what dead ones have left."""
        patience, now = self._patience, time.time()
        with self._file.writing() as connection:
            connection.execute(_SQL["prune"], (now - patience.dead_s, self._worker))
            if connection.execute(_SQL["still_there"], (now, self._worker)).rowcount == 0:
                self._worker = int(connection.execute(_SQL["register"], (now,)).fetchone()[0])
            for number, attempts in connection.execute(_SQL["lost"]).fetchall():
                state = JobState.WAITING if attempts + 1 < patience.attempts else JobState.DEAD
                # At once the first time: the job is rarely to blame.
                pause_s = min(patience.cap_s, patience.base_s * 2.0 ** min(attempts - 1, 60)) if attempts else 0.0
                connection.execute(_SQL["release"], (state.value, LOST, now + pause_s, number))
            if self._n_beats % CLEAN_EVERY == 0:
                connection.execute(_SQL["forget"], (CLEAN_AT_ONCE, now - patience.kept_s))
        self._n_beats += 1

    def leave(self) -> None:
        """This worker ends."""
        with self._file.writing() as connection:
            connection.execute(_SQL["unregister"], (self._worker,))
        self._file.close()

    def listening(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """While the block runs, call `wake` when somebody has written to the file."""
        return beside(partial(self._look, wake))

    def _look(self, wake: Callable[[], None], over: Event) -> None:
        while not over.is_set():
            try:
                with self._file.lent() as connection:
                    seen = None
                    while not over.wait(LOOK_S):
                        version = connection.execute("PRAGMA data_version").fetchone()
                        if version != seen:
                            wake()
                        seen = version
            except StoreError:  # the worker itself says so
                over.wait(1.0)
