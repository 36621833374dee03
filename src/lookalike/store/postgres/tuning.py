"""The index on vectors: made after the load, and asked only as far as its recall was measured on this collection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lookalike.errors import InputError, StoreError
from lookalike.sql import statements
from lookalike.store.postgres.planning import EXACT, MEASURED_LIMIT, Kind, Plan, Setting, wanted_recall
from lookalike.store.postgres.rows import plain, text_of
from lookalike.store.postgres.store import LONG_TIMEOUT_S, PostgresStore
from lookalike.types import Filter, Rows, Scored
from lookalike.vectors import normalise

if TYPE_CHECKING:
    from lookalike.postgres import Connection

EF_SEARCHES = (40, 100, 200, 400, 550, 700, 850, 1000)
"""Settings that are tried, the quickest first."""

SHIFT = 0.2
"""By how much of the difference of two others a picture is moved to stand for one that is not in the index, since what
is in it is found more easily. At 100,000 rows the recall of such vectors (0.974, 0.991, 0.995 for an ef_search of 100,
200, 400) was that of pictures that were not indexed (0.970, 0.991, 0.996); unmoved ones had 0.990, 0.994, 0.994."""

LARGE_PROJECT = 10_000
LARGE_SHARE = 0.05
"""Projects with at least so many items, and such a share of all, are measured for themselves: of smaller ones every
item is looked at in less than 25 ms, and the index would have to be scanned for long to meet enough of them."""

MAX_MEMORY_BYTES = 2**30
"""What an index is built in unless more is asked for; the server's memory is not known here."""

BUILD_TIMEOUT_S = 24 * 3600.0
POLL_S = 1.0

_SQL = statements("lookalike.store.postgres", "tuning.sql")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a plan did for a probe.

    Attributes:
        recall: The share of the true ten best that it found.
        p50_ms: Its median time, in milliseconds.
        p95_ms: The time that 95 % of the queries took at most.
    """

    recall: float
    p50_ms: float
    p95_ms: float


class Planned(Protocol):
    """What searches by a plan; see finding.Finder."""

    def plan(self, query: Rows, *, limit: int, where: Filter) -> Plan:
        """How this search is made."""
        ...

    def find(self, how: Plan, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to a query, and how many passed the filter."""
        ...


class Measurable(Protocol):
    """A store whose searches are planned."""

    @property
    def finder(self) -> Planned:
        """Plans and makes them."""
        ...

    def sample(self, n: int, *, seed: int) -> tuple[list[str], Rows]:
        """At most n contents in use, drawn evenly, and their vectors."""
        ...


def build(
    store: PostgresStore,
    *,
    memory_bytes: int = 0,
    concurrently: bool = False,
    on_progress: Callable[[str, float], None] | None = None,
) -> bool:
    """Make the index on vectors, unless it is there; whether it had to be made.

    Args:
        store: Whose vectors.
        memory_bytes: maintenance_work_mem meanwhile; as much as the index takes, up to a gigabyte, if 0.
        concurrently: Let others write meanwhile. It takes longer, uses the server's own maintenance_work_mem, and
            cannot be done through a transaction pooler.
        on_progress: Told the phase and the share of it that is done, 0 to 1, once a second.

    Raises:
        StoreError: The database refuses.
    """
    names = {"space": store.bound.number, "dim": store.space.dim}
    state = _first(store, _SQL["index_state"].format(**names))
    if state is not None and state[0]:
        return False
    needed = store.n_items * (2 * store.space.dim + 800) + 2**26
    memory = memory_bytes or min(needed, MAX_MEMORY_BYTES)

    def work(connection: Connection) -> None:
        if state is not None:  # left half made by an interrupted one
            connection.execute(_SQL["drop_index"].format(**names).encode())
        statement = _SQL["make_index"].format(concurrently="CONCURRENTLY" if concurrently else "", **names).encode()
        if concurrently:
            connection.execute(statement)
            return
        with connection.transaction():
            connection.execute(_SQL["set_building"], {"kilobytes": str(memory // 1024)})
            connection.execute(statement)

    with _told_aside(lambda: _first(store, _SQL["progress"].format(**names)), on_progress):
        store.database.run(work, timeout_s=BUILD_TIMEOUT_S)
    store.database.run(lambda connection: connection.execute(_SQL["analyze"].encode()), timeout_s=LONG_TIMEOUT_S)
    return True


@contextmanager
def _told_aside(ask: Callable[[], Any], on_progress: Callable[[str, float], None] | None) -> Iterator[None]:
    """Tell the progress of what is done within, which is so left to the main thread: Ctrl-C reaches that alone, and
    has the database break off what it waits for."""
    is_over = threading.Event()

    def tell() -> None:
        while on_progress and not is_over.wait(POLL_S):
            with suppress(StoreError):  # what matters is told by the work itself
                if told := ask():
                    on_progress(told[0], told[1] / max(told[2], 1))

    with ThreadPoolExecutor(1) as aside:
        telling = aside.submit(tell)
        try:
            yield
        finally:
            is_over.set()
    telling.result()


def tune(
    store: PostgresStore,
    probes: Mapping[Kind, Rows],
    *,
    on_progress: Callable[[str, float], None] | None = None,
) -> dict[Kind, Setting]:
    """Measure which setting of the index is good enough for each kind of query, and keep it for all searches.

    Args:
        store: With its index made.
        probes: (n, dim) unit vectors to ask for, of `probes_of`; without "far", queries of that kind are searched
            exactly.
        on_progress: Told what is measured and the share of it that is done.

    Raises:
        InputError: There are too few pictures to measure with.
    """
    if len(probes["near"]) < MEASURED_LIMIT:
        raise InputError("There are too few pictures to measure with: an exact search is quick here anyway.")
    asked = {"space": store.bound.number, "least": LARGE_PROJECT, "share": LARGE_SHARE}
    rows = store.database.run(lambda connection: connection.execute(_SQL["large_projects"], asked).fetchall())
    settings = {
        (name, kind): choose(store, kind, probe, Filter(project=name and plain(name)), on_progress)
        for name in (None, *(name for (name,) in rows))
        for kind, probe in probes.items()
    }
    centre = normalise(probes["near"].mean(axis=0, keepdims=True))[0]
    boundary = boundary_of(*(rows @ centre for rows in probes.values()))
    tuned = {"space": store.bound.number, "centre": text_of(centre), "boundary": boundary}

    def write(connection: Connection) -> None:
        with connection.transaction():
            connection.execute(_SQL["delete_tuning"], tuned)
            connection.execute(_SQL["insert_tuning"], tuned)
            for (name, kind), setting in settings.items():
                measured = {key: getattr(setting, key) for key in ("ef_search", "recall", "p50_ms", "exact_p50_ms")}
                key = {"space": store.bound.number, "project": name, "kind": kind}
                connection.execute(_SQL["insert_setting"], key | measured)

    store.database.run(write)
    return {kind: settings[None, kind] for kind in probes}


def boundary_of(near: Rows, far: Rows | None = None) -> float:
    """The cosine to the centre that parts two kinds of queries.

    It is nearer to the pictures: what lies between counts as "far", the harder kind.

    Args:
        near: (n,) cosines of pictures.
        far: (m,) cosines of words; None if there are none.
    """
    lowest = float(np.quantile(near, 0.01))
    highest = lowest if far is None else float(far.max())
    return max(lowest - (lowest - highest) / 4, highest + 1e-6)


def compare(store: Measurable, probe: Rows, where: Filter, plan: Plan | None = None) -> tuple[Measured, Measured, str]:
    """What the planned search did, what the exact one took, and the reason of the last plan."""
    truth, exact = _ask(store, probe, EXACT, "exact", None, where=where)
    found, planned = _ask(store, probe, plan, "planned", None, where=where)
    reason = store.finder.plan(probe[-1], limit=MEASURED_LIMIT, where=where).reason
    return Measured(recall(found, truth), planned.p50_ms, planned.p95_ms), exact, reason


def recall(found: Sequence[Sequence[str]], truth: Sequence[Sequence[str]]) -> float:
    """The share of the true answers that was found."""
    n = sum(len(right) for right in truth)
    return sum(len(set(some) & set(right)) for some, right in zip(found, truth, strict=True)) / n if n else 1.0


def facts(store: PostgresStore) -> dict[str, Any]:
    """What can be said about the database: versions, settings, whether a pooler is between."""

    def read(connection: Connection) -> tuple[Any, int]:
        return connection.execute(_SQL["facts"].encode()).fetchone(), connection.info.backend_pid

    (server, pgvector, encoding, memory, buffers, timeout, pid), told_pid = store.database.run(read)
    return {
        "server": server,
        "pgvector": pgvector,
        "encoding": encoding,
        "maintenance_work_mem": memory,
        "shared_buffers": buffers,
        "statement_timeout": timeout,
        # A pooler gives its clients numbers of its own.
        "pooler": pid != told_pid,
    }


def relations(store: PostgresStore) -> list[tuple[str, str, int, int]]:
    """Every table and index of the store: name, "table" or "index", about how many rows, bytes."""
    rows = store.database.run(lambda connection: connection.execute(_SQL["relations"].encode()).fetchall())
    return [(name, kind, n_rows, n_bytes) for name, kind, n_rows, n_bytes in rows]


def half_made(store: PostgresStore) -> list[str]:
    """Indexes that the database keeps up and never asks: they are being made, or their making was broken off."""
    rows = store.database.run(lambda connection: connection.execute(_SQL["half_made"].encode()).fetchall())
    return [name for (name,) in rows]


def choose(
    store: Measurable, kind: Kind, probe: Rows, where: Filter, on_progress: Callable[[str, float], None] | None
) -> Setting:
    """The setting that finds enough of what a probe asks for among these items, and how well; see planning.Setting."""

    def ask(plan: Plan, name: str) -> tuple[list[list[str]], Measured]:
        place = f", project {where.project}" if where.project else ""
        return _ask(store, probe, plan, f"{name}{place}", on_progress, where=where)

    truth, exact = ask(EXACT, kind)
    wanted = wanted_recall(kind, where)
    best = Setting(0, 0.0, 0.0, exact.p50_ms)
    for ef_search in EF_SEARCHES:
        found, measured = ask(Plan(ef_search, "Measured."), f"ef_search {ef_search}")
        best = Setting(ef_search, recall(found, truth), measured.p50_ms, exact.p50_ms)
        if best.recall >= wanted or measured.p50_ms > exact.p50_ms:
            break
    is_worth_it = best.recall >= wanted and best.p50_ms < exact.p50_ms
    return best if is_worth_it else replace(best, ef_search=0)


def _ask(
    store: Measurable,
    probe: Rows,
    plan: Plan | None,
    name: str,
    tell: Callable[[str, float], None] | None,
    *,
    where: Filter | None = None,
) -> tuple[list[list[str]], Measured]:
    where = where or Filter()
    found, times_ms = [], []
    for number, query in enumerate(probe):
        began = time.perf_counter()
        how = plan or store.finder.plan(query, limit=MEASURED_LIMIT, where=where)
        answers, _ = store.finder.find(how, query, limit=MEASURED_LIMIT, where=where)
        times_ms.append((time.perf_counter() - began) * 1000)
        found.append([scored.item.content for scored in answers])
        _tell(tell, name, (number + 1) / len(probe))
    p50, p95 = np.quantile(times_ms, [0.5, 0.95]).tolist()
    return found, Measured(1.0, p50, p95)


def _tell(on_progress: Callable[[str, float], None] | None, name: str, share: float) -> None:
    if on_progress:
        on_progress(name, share)


def _first(store: PostgresStore, statement: str) -> Any:
    return store.database.run(lambda connection: connection.execute(statement.encode()).fetchone())


def probes_of(store: Measurable, words: Rows | None, *, n: int) -> Iterator[tuple[Kind, Rows]]:
    """What to measure with: n pictures like those of the collection, and as many words if there are some."""
    _, rows = store.sample(n, seed=1)
    yield "near", normalise(rows + SHIFT * (np.roll(rows, 1, axis=0) - np.roll(rows, 2, axis=0)))
    if words is not None:
        yield "far", words[:n]
