"""Taking in a table: check a sample of it, then write its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lookalike.embed import Embedder
from lookalike.importing.checking import Checked, check
from lookalike.importing.sampling import survey
from lookalike.importing.writing import Destination, Writer
from lookalike.ingest import compact_if_due
from lookalike.parity import Variant
from lookalike.progress import Progress, Report, Tally
from lookalike.tables import VectorTable

SAMPLE_SIZE = 64
"""Rows that are checked, if nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a table is taken in.

    Attributes:
        project: Of rows that name none; the configuration's if left out.
        sample: How many rows are checked.
        unchecked: Take the vectors as they are; the index remembers that.
        dry_run: Check, and write nothing.
        before: What a dry run of this very table found, which is not checked again.
        on_progress: Told how far it is.
        variants: The model in other ways, which are tried out to say why a check fails; see `lookalike.variants`.
    """

    project: str = ""
    sample: int = SAMPLE_SIZE
    unchecked: bool = False
    dry_run: bool = False
    before: ImportReport | None = None
    on_progress: Callable[[Progress], None] | None = None
    variants: Iterable[Variant] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What came of an import.

    Attributes:
        n_rows: How many rows the table has.
        report: Outcomes, by row.
        check: What the check of a sample found; None if there was none.
        n_unread: Rows now in the index whose picture was not read, so that they are filed under their vector.
    """

    n_rows: int
    report: Report
    check: Checked | None
    n_unread: int


def take_in(table: VectorTable, destination: Destination, embedder: Embedder | None, terms: Terms) -> ImportReport:
    """Check a table and take it in.

    Safe to interrupt at any point and to run again: rows that are stored as the table has them are left alone.

    Args:
        table: The vectors.
        destination: Where to.
        embedder: The model that they are said to be of, to check them with; None to take them unchecked.
        terms: How.

    Raises:
        InputError: The table cannot be used, or too few pictures can be read to check it.
        SpaceMismatch: The check failed; nothing was written.
        StoreError: The store cannot be written, or the table's database failed; what was acknowledged before is safe.
    """
    if embedder is not None:
        destination.store.space.require(embedder.space, doing="Importing")
    n_rows, checked = _looked_at(table, destination, embedder, terms)
    tally = Tally(terms.on_progress)
    with ThreadPoolExecutor(destination.threads, thread_name_prefix="import") as pool:
        writer = Writer(destination, pool, tally, is_checked=checked is not None)
        try:
            for part in () if terms.dry_run else table.parts():
                writer.write(part)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if not terms.dry_run:
        compact_if_due(destination.store)
    return ImportReport(n_rows=n_rows, report=tally.report(), check=checked, n_unread=writer.n_unread)


def _looked_at(
    table: VectorTable, destination: Destination, embedder: Embedder | None, terms: Terms
) -> tuple[int, Checked | None]:
    """How many rows there are, and what the check of some of them found."""
    if terms.before is not None:
        return terms.before.n_rows, terms.before.check
    found = survey(
        table,
        destination.pictures,
        dim=destination.store.space.dim,
        project=destination.project,
        size=terms.sample,
        threads=destination.threads,
    )
    checked = None if embedder is None else check(found, embedder, destination.pictures, terms.variants)
    return found.n_rows, checked
