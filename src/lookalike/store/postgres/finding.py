"""A search in the database: planned, asked in one statement, read as items."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from lookalike.errors import StoreError
from lookalike.postgres import Database
from lookalike.sql import statements
from lookalike.store.postgres.mirror import Mirror
from lookalike.store.postgres.passing import Passing
from lookalike.store.postgres.planning import EXACT, IN_MEMORY, SPARE, Kind, Plan, Setting, Tuning, plan
from lookalike.store.postgres.rows import asked_metadata, item_of, plain, rows_of, text_of
from lookalike.store.postgres.schema import Bound
from lookalike.store.postgres.shadow import Shadow
from lookalike.store.postgres.writing import project_codes
from lookalike.types import Filter, Rows, Scored
from lookalike.vectors import normalise

if TYPE_CHECKING:
    from lookalike.postgres import Connection

MORE = 8
"""How many times as many contents are looked at when those of a search were not enough to be sure of its answer."""

TIMEOUT_S = 30.0
"""How long a search may take before its connection is cut; a database that has stopped answering would hold its thread.
The server's own statement_timeout is usually shorter."""

REFRESH_S = 30.0
"""How often it is looked whether the index has been made, measured or outgrown."""

Answer = TypeVar("Answer")

_SQL = statements("lookalike.store.postgres", "store.sql")
_SEARCH = statements("lookalike.store.postgres", "search.sql")
_MIRROR = statements("lookalike.store.postgres", "mirror.sql")
_log = logging.getLogger("lookalike.index")


class Finder:
    """Searches one space of a database. Every method may be called from several threads at once."""

    def __init__(self, database: Database, bound: Bound) -> None:
        self._database = database
        self._space = bound.number
        self._by_index = {
            name: _search(name, space=bound.number, dim=bound.space.dim)
            for name in ("near_by_index", "near_by_index_in_project")
        }
        self._dim = bound.space.dim
        self._projects: dict[str, int] = {}
        self._mirror = Mirror(database, bound)
        self._passing = Passing(database)
        self._tuning: Tuning | None = None
        self._tuning_due = float("-inf")
        self._shadow = Shadow()

    @property
    def recall(self) -> Mapping[str, float]:
        """What `Shadow` has seen of live searches; the ways are "memory" and "index", "near" and "far"."""
        return self._shadow.recall

    def search(self, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to a query, and how many passed the filter; see ports.VectorReader."""
        how = self.plan(query, limit=limit, where=where)
        found, passed = self.find(how, query, limit=limit, where=where)
        if how.way != "exact":
            way = f"{how.way}_{self._tuning.kind_of(query)}" if self._tuning else how.way
            self._shadow.follow(way, found, lambda: self.find(EXACT, query, limit=limit, where=where)[0])
        return found, passed

    def keep_in_memory(self) -> threading.Thread:
        """Begin to read the vectors into memory, where they are searched once they are there; the thread that reads."""

        def load() -> None:
            try:
                self._mirror.load()
            except StoreError as error:
                _log.warning("The vectors are not kept in memory: %s", error)

        reading = threading.Thread(target=load, name="lookalike-mirror", daemon=True)
        reading.start()
        return reading

    def plan(self, query: Rows, *, limit: int, where: Filter) -> Plan:
        """How this search is made."""
        if self._mirror.is_ready:
            return IN_MEMORY
        if not where.metadata and time.monotonic() >= self._tuning_due:
            self._tuning = self._run(self._read_tuning)
            self._tuning_due = time.monotonic() + REFRESH_S
        return plan(query, limit=limit, where=where, tuning=self._tuning)

    def find(self, how: Plan, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """What `search` does, in this way."""
        asked = self._question(query, limit, where)
        if asked is None:
            return [], 0
        if how.in_memory:
            rows = self._search_memory(query, limit, where, asked)
            if rows is not None:
                return _answer(rows)
        elif not how.is_exact:
            rows = self._run(lambda connection: self._ask_index(connection, how, where, asked))
            if _is_whole(rows, limit, limit + SPARE):
                return _answer(rows)
        while True:
            rows = self._rows(_exact(where), asked)
            n_contents = asked["n_contents"]
            if _is_whole(rows, limit, n_contents) or self._has_seen_all(rows, where, n_contents):
                return _answer(rows)
            asked["n_contents"] *= MORE

    def explain(self, how: Plan, query: Rows, *, limit: int, where: Filter) -> list[str]:
        """The lines of the database's own plan for this search, which it makes, with times."""
        asked = self._question(query, limit, where)
        if asked is None:
            return []

        def ask(connection: Connection) -> list[str]:
            with connection.transaction():
                statement = _exact(where) if how.is_exact else self._set_index(connection, how, where)
                rows = connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}".encode(), asked).fetchall()
            return [row[0] for row in rows]

        return self._run(ask)

    def _run(self, work: Callable[[Connection], Answer]) -> Answer:
        return self._database.run(work, timeout_s=TIMEOUT_S)

    def _search_memory(self, query: Rows, limit: int, where: Filter, asked: dict[str, Any]) -> list[Any] | None:
        """The rows that the memory finds; None if those are not all that there must be."""
        view = self._mirror.view()
        passed = None if where.is_empty else self._passing.of(view, where, asked)
        n_items, among = (passed.n_items, passed.slots) if passed else (None, None)
        n_contents = limit + SPARE
        while True:
            nearest = view.nearest(query, limit=n_contents, among=among)
            rows = self._rows(_search("near_of_these"), asked | {"n_passed": n_items, "numbers": nearest})
            if len(rows) >= limit or (rows and len(rows) >= rows[0][7]) or n_items == 0:
                return rows
            if n_contents >= len(view.contents):
                return None
            n_contents *= MORE

    def _rows(self, statement: str, asked: dict[str, Any]) -> list[Any]:
        return self._run(lambda connection: connection.cursor(binary=True).execute(statement, asked).fetchall())

    def _question(self, query: Rows, limit: int, where: Filter) -> dict[str, Any] | None:
        """What the statements are asked with; None if the project is not known."""
        code = None if where.project is None else self._code(where.project)
        if where.project is not None and code is None:
            return None
        return {
            "query": text_of(query),
            "space": self._space,
            "limit": limit,
            "n_contents": limit + SPARE,
            "project": code,
            "metadata": asked_metadata(where),
        }

    def _ask_index(self, connection: Connection, how: Plan, where: Filter, asked: dict[str, Any]) -> list[Any]:
        with connection.transaction():
            statement = self._set_index(connection, how, where)
            return connection.cursor(binary=True).execute(statement.encode(), asked).fetchall()

    def _set_index(self, connection: Connection, how: Plan, where: Filter) -> str:
        """Have this transaction use the index; the statement that does."""
        name = "index" if where.project is None else "index_in_project"
        connection.execute(_SEARCH[f"set_{name}"], {"ef_search": how.ef_search})
        return self._by_index[f"near_by_{name}"]

    def _has_seen_all(self, rows: Sequence[Sequence[Any]], where: Filter, n_contents: int) -> bool:
        """Whether no vector was left out by an exact search of so many contents: some items may have none."""
        if rows:
            return bool(rows[0][8] < n_contents)
        if not where.is_empty:  # what passes a filter has items
            return True
        asked = {"space": self._space}
        row = self._run(lambda connection: connection.execute(_MIRROR["count"], asked).fetchone())
        return row is None or row[0] < n_contents

    def _code(self, project: str) -> int | None:
        if project not in self._projects:
            self._projects |= self._run(lambda connection: project_codes(connection, {project}))
        return self._projects.get(project)

    def _read_tuning(self, connection: Connection) -> Tuning | None:
        asked = {"space": self._space}
        row = connection.cursor(binary=True).execute(_SQL["read_tuning"], asked).fetchone()
        if row is None:
            return None
        rows = connection.execute(_SQL["read_settings"], asked).fetchall()
        kinds: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
        settings: dict[str | None, dict[Kind, Setting]] = {None: {}}
        for project, kind, *values in rows:
            settings.setdefault(project, {})[kinds[kind]] = Setting(*values)
        centre, boundary, measured_items, items = row
        return Tuning(
            centre=normalise(rows_of([centre], dim=self._dim))[0],
            boundary=boundary,
            measured_items=measured_items,
            items=items,
            settings=settings[None],
            projects={plain(project): measured for project, measured in settings.items() if project is not None},
        )


def _search(name: str, **names: int) -> str:
    """A statement that searches: for the nearest contents, then for their items."""
    near = _SEARCH[name].format(**names) if names else _SEARCH[name]
    return f"{near}\n{_SEARCH['answers']}"


def _exact(where: Filter) -> str:
    return _search("near_all" if where.is_empty else "near_among")


def _is_whole(rows: Sequence[Sequence[Any]], limit: int, n_contents: int) -> bool:
    """Whether these are the answers: as many as were wanted, or as there can be, and none left out that is equal."""
    if not rows or len(rows) < min(limit, rows[0][7]):
        return False
    n_seen, least = rows[0][8], rows[0][9]
    return bool(n_seen < n_contents or rows[-1][6] > least)


def _answer(rows: Sequence[Sequence[Any]]) -> tuple[list[Scored], int]:
    return [Scored(item_of(row[:6]), float(row[6])) for row in rows], int(rows[0][7]) if rows else 0
