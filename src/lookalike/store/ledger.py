"""The ledger of the embedded store: what became of each source object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lookalike.sql import statements
from lookalike.store.database import Database
from lookalike.types import LedgerEntry, Outcome

PAGE = 1000
"""Entries to a transaction when all under a prefix are walked."""

_SQL = statements("lookalike.store", "ledger.sql")


class SqliteLedger:
    """ports.Ledger over the database of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, project: str, uris: Sequence[str]) -> Mapping[str, LedgerEntry]:
        """The entries of these objects, by uri."""
        with self._database.reading() as connection:
            rows = [connection.execute(_SQL["known"], (project, uri)).fetchone() for uri in uris]
        return {entry.uri: entry for entry in map(_entry, filter(None, rows))}

    def under(self, project: str | None, prefix: str) -> Iterator[LedgerEntry]:
        """Every entry whose uri starts with `prefix`, by project and uri; of all projects if `project` is None.

        Entries may be recorded and forgotten meanwhile.
        """
        if project is not None:
            yield from self._of_project(project, prefix)
            return
        with self._database.reading() as connection:
            projects = [row[0] for row in connection.execute(_SQL["projects"])]
        for name in projects:
            yield from self._of_project(name, prefix)

    def record(self, entries: Iterable[LedgerEntry]) -> None:
        """Insert or replace entries by (project, uri). Durable when it returns."""
        rows = [(e.project, e.uri, e.item_id, e.stamp, e.outcome.value, e.content, e.reason) for e in entries]
        with self._database.writing() as connection:
            connection.executemany(_SQL["record"], rows)

    def forget(self, project: str, uris: Sequence[str]) -> None:
        """Drop these entries."""
        with self._database.writing() as connection:
            connection.executemany(_SQL["forget"], [(project, uri) for uri in uris])

    def _of_project(self, project: str, prefix: str) -> Iterator[LedgerEntry]:
        start = prefix
        while True:
            with self._database.reading() as connection:
                page = [_entry(row) for row in connection.execute(_SQL["page"], (project, start, PAGE))]
            for entry in page:
                if not entry.uri.startswith(prefix):
                    return  # in order of uri, those with one prefix stand together
                yield entry
            if len(page) < PAGE:
                return
            start = page[-1].uri + "\0"  # the next string there can be


def _entry(row: tuple[str, str, str, str, str, str, str]) -> LedgerEntry:
    project, uri, item_id, stamp, outcome, content, reason = row
    return LedgerEntry(
        project=project,
        uri=uri,
        item_id=item_id,
        stamp=stamp,
        outcome=Outcome(outcome),
        content=content,
        reason=reason,
    )
