"""A worker's side of the queue in PostgreSQL: many orders to a question, one statement for what became of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from operator import itemgetter
from threading import Event
from typing import TYPE_CHECKING, Any

from lookalike.errors import StoreError
from lookalike.orders import Claim
from lookalike.queues.feed import Ended, Handed
from lookalike.queues.listening import beside
from lookalike.queues.orders import LOST, OVERTAKEN, read
from lookalike.queues.patience import Patience
from lookalike.queues.tables import STATUSES, Tables

if TYPE_CHECKING:
    from lookalike.postgres import Connection

HEAR_S = 0.2
HELLO_S = 2.0
"""A notification to oneself that has not come by then will not come."""

CLEAN_EVERY = 12
CLEAN_AT_ONCE = 5000
"""With every twelfth heartbeat, so many jobs that were done long ago are forgotten."""

_log = logging.getLogger("lookalike.jobs")


class PostgresDesk:
    """feed.Desk over one database."""

    def __init__(self, tables: Tables, patience: Patience) -> None:
        self._tables = tables
        self._patience = patience
        self._worker = 0
        self._n_beats = 0

    def take(self, n: int) -> list[Handed]:
        """At most n orders, the oldest first; they are this worker's now."""

        def take(connection: Connection) -> list[tuple[int, dict[str, Any], int]]:
            with connection.transaction():
                connection.execute(self._tables.sql["plan_take"])
                return connection.execute(self._tables.sql["take"], {"n": n, "worker": self._worker}).fetchall()

        rows = self._tables.do(take)
        rows = sorted(rows, key=itemgetter(0))
        return [Handed(Claim(number, self._worker), read(args), attempts) for number, args, attempts in rows]

    def held(self, claims: Sequence[Claim]) -> set[Claim]:
        """Those that still hold."""
        rows = self._tables.run("held", numbers=[claim.number for claim in claims])
        return {Claim(*row) for row in rows}.intersection(claims)

    def settle(self, ended: Sequence[Ended]) -> None:
        """Put on record what became of orders; of one that is not this worker's any more nothing."""
        columns: dict[str, object] = {
            "numbers": [one.number for one in ended],
            "statuses": [STATUSES[one.state][0] for one in ended],
            "pauses": [one.pause_s for one in ended],
            "reasons": [one.reason.replace("\0", "\N{SYMBOL FOR NULL}") for one in ended],
            "worker": self._worker,
        }

        def write(connection: Connection) -> None:
            with connection.transaction():
                rows = connection.execute(self._tables.sql["settle"], columns).fetchall()
                if rows:
                    locks = {"locks": [row[0] for row in rows], "reason": OVERTAKEN}
                    connection.execute(self._tables.sql["overtake"], locks)

        self._tables.do(write)

    def beat(self) -> None:
        """Say that this worker lives, and bring back what dead ones have left."""
        patience = self._patience
        self._tables.run("prune", dead_s=patience.dead_s, worker=self._worker)
        if not self._tables.run("still_there", worker=self._worker):
            self._worker = self._tables.run("register")[0][0]
        self._tables.do(
            lambda connection: connection.execute(
                self._tables.sql["release"],
                {"most": patience.attempts, "base_s": patience.base_s, "cap_s": patience.cap_s, "reason": LOST},
            )
        )
        if self._n_beats % CLEAN_EVERY == 0:
            forgotten = {"n": CLEAN_AT_ONCE, "kept_s": patience.kept_s}
            self._tables.do(lambda connection: connection.execute(self._tables.sql["forget"], forgotten))
        self._n_beats += 1

    def leave(self) -> None:
        """This worker ends."""
        self._tables.run("unregister", worker=self._worker)
        self._tables.close()

    def listening(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """While the block runs, call `wake` when orders come in: at once where notifications come through."""
        return beside(partial(self._listen, wake))

    def _listen(self, wake: Callable[[], None], over: Event) -> None:
        while not over.is_set():
            try:
                if not self._hears(wake, over):
                    _log.warning(
                        "No notifications come through from %s: there is a transaction pooler between, or a standby. "
                        "The queue is asked every %g s instead. For an answer at once give the worker the address of "
                        "the database itself.",
                        self._tables.place,
                        self._patience.poll_s,
                    )
                    return
            except StoreError:  # the worker itself says so
                over.wait(1.0)

    def _hears(self, wake: Callable[[], None], over: Event) -> bool:
        """Listen until it is over, True; or until it is clear that nothing will be heard, False."""
        is_heard, until = False, time.monotonic() + HELLO_S
        with closing(self._tables.hear(HEAR_S)) as heard:
            next(heard)
            self._tables.run("hello")
            for said in heard:
                if over.is_set():
                    break
                if said:
                    is_heard = True
                    wake()
                if not is_heard and time.monotonic() > until:
                    return False
        return True
