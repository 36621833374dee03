"""The ledger in PostgreSQL: what became of each source object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lookalike.postgres import Database
from lookalike.sql import statements
from lookalike.store.faults import speaking
from lookalike.store.postgres.rows import escaped, name_of, plain
from lookalike.types import LedgerEntry, Outcome

if TYPE_CHECKING:
    from lookalike.postgres import Connection

PAGE = 1000
"""Entries to a question when all under a prefix are walked."""

_SQL = statements("lookalike.store.postgres", "store.sql")


class PostgresLedger:
    """ports.Ledger over the table `lookalike_ledger`, or over another one.

    Args:
        database: Where it is.
        sql: Its statements.
        whose: Values of these for all questions, such as whose entries they are.
    """

    def __init__(
        self, database: Database, sql: Mapping[str, str] = _SQL, whose: Mapping[str, object] | None = None
    ) -> None:
        self._database = database
        self._sql = sql
        self._whose = dict(whose or {})

    def known(self, project: str, uris: Sequence[str]) -> Mapping[str, LedgerEntry]:
        """The entries of these objects, by uri."""
        rows = self._rows("ledger_known", project=escaped(project), uris=[escaped(uri) for uri in uris])
        return {entry.uri: entry for entry in map(_entry, rows)}

    def under(self, project: str | None, prefix: str) -> Iterator[LedgerEntry]:
        """Every entry whose uri starts with `prefix`, by project and uri; of all projects if `project` is None.

        Entries may be recorded and forgotten meanwhile.
        """
        names = [plain(row[0]) for row in self._rows("ledger_projects")] if project is None else [project]
        for name in names:
            yield from self._of_project(name, prefix)

    def record(self, entries: Iterable[LedgerEntry]) -> None:
        """Insert or replace entries by (project, uri). Durable when it returns."""
        by_key = {(entry.project, entry.uri): entry for entry in entries}
        columns = self._whose | {
            "projects": [name_of(entry.project, item=entry.project) for entry in by_key.values()],
            "uris": [name_of(entry.uri, item=entry.uri) for entry in by_key.values()],
            "item_ids": [escaped(entry.item_id) for entry in by_key.values()],
            "stamps": [escaped(entry.stamp) for entry in by_key.values()],
            "outcomes": [entry.outcome.value for entry in by_key.values()],
            "contents": [escaped(entry.content) for entry in by_key.values()],
            "reasons": [escaped(entry.reason) for entry in by_key.values()],
        }
        if by_key:
            with speaking():
                self._write("ledger_record", columns)

    def forget(self, project: str, uris: Sequence[str]) -> None:
        """Drop these entries."""
        gone = self._whose | {"project": escaped(project), "uris": [escaped(uri) for uri in uris]}
        with speaking():
            self._write("ledger_forget", gone)

    def _write(self, name: str, columns: Mapping[str, object]) -> None:
        def write(connection: Connection) -> None:
            with connection.transaction():  # for its level of isolation: others write the same entries
                connection.execute(self._sql[name], columns)

        self._database.run(write)

    def _of_project(self, project: str, prefix: str) -> Iterator[LedgerEntry]:
        start = prefix
        while True:
            page = self._rows("ledger_page", project=escaped(project), start=escaped(start), limit=PAGE)
            for entry in map(_entry, page):
                if not entry.uri.startswith(prefix):
                    return  # in order of uri, those with one prefix stand together
                yield entry
            if len(page) < PAGE:
                return
            start = plain(page[-1][1]) + "\0"  # the next string there can be

    def _rows(self, name: str, **asked: object) -> list[Any]:
        with speaking():
            return self._database.run(
                lambda connection: connection.execute(self._sql[name], self._whose | asked).fetchall()
            )


def _entry(row: Sequence[str]) -> LedgerEntry:
    project, uri, item_id, stamp, outcome, content, reason = map(plain, row)
    return LedgerEntry(
        project=project,
        uri=uri,
        item_id=item_id,
        stamp=stamp,
        outcome=Outcome(outcome),
        content=content,
        reason=reason,
    )
