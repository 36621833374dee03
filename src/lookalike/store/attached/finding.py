"""A search in an attached table: exact, or through the table's own index where that was measured and finds enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lookalike.postgres import Database
from lookalike.store.attached import registry
from lookalike.store.attached.catalog import VectorIndex
from lookalike.store.attached.rows import N_COLUMNS, item_of
from lookalike.store.attached.shape import Shape
from lookalike.store.postgres.finding import REFRESH_S, TIMEOUT_S
from lookalike.store.postgres.planning import SPARE, Plan, Tuning, plan
from lookalike.store.postgres.rows import text_of
from lookalike.types import Filter, Item, Rows, Scored

if TYPE_CHECKING:
    from lookalike.postgres import Connection

SETTINGS = {"hnsw": "hnsw.ef_search", "ivfflat": "ivfflat.probes"}
"""What says how much of an index is looked at. A plan's `ef_search` is the number for either."""

COUNTED_BELOW = 50_000
"""So many rows are counted, in milliseconds; the number of more is what the database's statistics say."""

Answer = TypeVar("Answer")


class AttachedFinder:
    """Searches one attached table. Every method may be called from several threads at once.

    Args:
        database: Where it is.
        name: What it is attached as.
        shape: Its statements.
        index: Its index on vectors that answers by cosine; None if it has none.
    """

    def __init__(self, database: Database, name: str, shape: Shape, index: VectorIndex | None) -> None:
        self.index = index
        self._database = database
        self._name = name
        self._shape = shape
        self._lock = threading.Lock()
        self._tuning: Tuning | None = None
        self._tuning_due = float("-inf")

    def plan(self, query: Rows, *, limit: int, where: Filter) -> Plan:
        """How this search is made."""
        if self.index is None and where.is_empty:
            return Plan(0, "Exact: the table has no index on its vectors that answers by cosine.")
        tuning = self._measured() if where.is_empty else None
        return plan(query, limit=limit, where=where, tuning=tuning)

    def find(self, how: Plan, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to a query, and how many passed the filter; see ports.VectorReader.

        Through the index, that number is an estimate for a large table.
        """
        if not how.is_exact:
            answers = self._ask_index(how, query, limit)
            if answers is not None:
                return answers, self.n_items()
        statement = self._exact(query, limit, where)
        if statement is None:
            return [], 0
        rows = self._run(lambda connection: _rows(connection, *statement))
        considered = rows[0][N_COLUMNS + 1] if rows else 0
        return [Scored(self._item(row), _similarity(row)) for row in rows], considered

    def explain(self, how: Plan, query: Rows, *, limit: int, where: Filter) -> list[str]:
        """The lines of the database's own plan for this search, which it makes, with times."""
        statement = self._exact(query, limit, where) if how.is_exact else self._by_index(query, limit)
        if statement is None:
            return []
        text, asked = statement

        def ask(connection: Connection) -> list[str]:
            with connection.transaction():
                self._set(connection, how)
                rows = connection.execute(b"EXPLAIN (ANALYZE, COSTS OFF) " + text, asked).fetchall()
            return [row[0] for row in rows]

        return self._run(ask)

    def n_items(self) -> int:
        """How many rows have a vector: counted where there are few, else as the database's statistics say."""

        def ask(connection: Connection) -> int:
            told: Any = connection.execute(self._shape.statement("estimate"), {}).fetchone()
            n = int(told[0][0]["Plan"]["Plan Rows"])
            if n < COUNTED_BELOW:
                counted: Any = connection.execute(self._shape.statement("count"), {}).fetchone()
                return int(counted[0])
            return n

        return self._run(ask)

    def keep(self, tuning: Tuning) -> None:
        """Keep what was measured, for all searches."""
        self._run(lambda connection: registry.write_tuning(connection, self._name, tuning))
        self._tuning_due = float("-inf")

    def _measured(self) -> Tuning | None:
        if time.monotonic() >= self._tuning_due:
            n_items = self.n_items()
            tuning = self._run(lambda connection: registry.read_tuning(connection, self._name, items=n_items))
            with self._lock:
                self._tuning, self._tuning_due = tuning, time.monotonic() + REFRESH_S
        return self._tuning

    def _ask_index(self, how: Plan, query: Rows, limit: int) -> list[Scored] | None:
        """What the index finds; None if it is too little, or others may be equal to the last."""
        statement = self._by_index(query, limit)

        def ask(connection: Connection) -> list[Any]:
            with connection.transaction():
                self._set(connection, how)
                return _rows(connection, *statement)

        rows = self._run(ask)
        if len(rows) < limit:
            return None
        n_seen, least = rows[0][N_COLUMNS + 1 :]
        is_whole = n_seen < limit + SPARE or rows[-1][N_COLUMNS] > least
        return [Scored(self._item(row), _similarity(row)) for row in rows] if is_whole else None

    def _exact(self, query: Rows, limit: int, where: Filter) -> tuple[bytes, dict[str, Any]] | None:
        condition = self._shape.condition(where)
        if condition is None:
            return None
        sql, asked = condition
        return self._shape.statement("search_exact", where=sql), {**asked, "query": text_of(query), "limit": limit}

    def _by_index(self, query: Rows, limit: int) -> tuple[bytes, dict[str, Any]]:
        order = self._shape.order_of(self.index) if self.index else "vector"
        asked = {"query": text_of(query), "near": text_of(query), "limit": limit, "n_near": limit + SPARE}
        return self._shape.statement("search_index", order=order), asked

    def _set(self, connection: Connection, how: Plan) -> None:
        if self.index is not None and not how.is_exact:
            statement = self._shape.statement("set_search", method=SETTINGS[self.index.method])
            connection.execute(statement, {"setting": how.ef_search})

    def _item(self, row: Any) -> Item:
        return item_of(row, self._shape)

    def _run(self, work: Callable[[Connection], Answer]) -> Answer:
        return self._database.run(work, timeout_s=TIMEOUT_S)


def _rows(connection: Connection, statement: bytes, asked: dict[str, Any]) -> list[Any]:
    return connection.cursor(binary=True).execute(statement, asked).fetchall()


def _similarity(row: Any) -> float:
    """Within -1 to 1, beyond which rounding may take it."""
    return min(1.0, max(-1.0, float(row[N_COLUMNS])))
