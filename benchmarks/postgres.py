"""The production store on a PostgreSQL of its own: durable writes, the index on vectors, searches, filters, recall.

    python benchmarks/postgres.py --work-dir scratch [--rows 3000000 --no-peer --no-index] [--out results/postgres.json]

The peer is what most design notes show, in the same server: a table with a column `vector`, an HNSW index with its
default settings, and `WHERE 1 - (embedding <=> q) >= threshold ORDER BY embedding <=> q LIMIT 10`, filled row by row.
Without it (--no-peer) three million rows need 12 GB of disk, and an hour for the index on vectors, if one is made.
Recall is against float32 cosines of all rows. "In memory" is a reader that keeps the vectors (LOOKALIKE_MIRROR).

The server has been at work before: its buffers were touched once, and there are segments of its log to write over. In a
fresh one, each is written as zeros first, and loading takes half as long again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil
import psycopg
from store import (
    ALL,
    BATCH,
    FILTERS,
    ROWS,
    SPACE,
    K,
    Keep,
    Row,
    best,
    collection,
    crowd,
    item,
    project_of,
    recall,
    row,
    search,
    sized,
    write,
)

from lookalike.secret import Secret
from lookalike.store.postgres import tuning
from lookalike.store.postgres.rows import text_of
from lookalike.store.postgres.store import PostgresStore, create, open_store
from lookalike.types import Filter, Item

ROOT = Path(__file__).resolve().parent.parent

N_QUERIES = 60
WRITERS = (1, 2)
STRETCH = 16 * BATCH
"""Rows that are added before the number of writers changes: each number loads while there are few rows and many."""

NAIVE_LOAD = 5_000
TIE = 1e-4
"""Cosines that differ by less are equal for this note: half precision rounds each by about as much."""

THRESHOLDS = {"text": 0.2, "image": 0.7}
"""Of the peer: at 0.7, which the notes have for both, no text finds anything."""

WARM_MB = 2200
"""More than the buffers hold, and more than the log has when its segments are used again (max_wal_size)."""

TABLE = "CREATE TABLE naive (id bigint PRIMARY KEY, project text NOT NULL, embedding vector(512) NOT NULL)"
INSERT = "INSERT INTO naive VALUES (%s, %s, %s)"
QUERY = """SELECT id FROM naive WHERE 1 - (embedding <=> %(query)s::vector) >= %(threshold)s {filter}
ORDER BY embedding <=> %(query)s::vector LIMIT 10"""

EVERYTHING: dict[str, tuple[Filter, Keep | None]] = {
    "": (ALL, None),
    **{f", filter {share}": filtered for share, filtered in FILTERS.items()},
}

Search = Callable[[np.ndarray], list[int]]
Peer = psycopg.Connection | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True, help="scratch; the server's data go to the usual one")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--shared-buffers", default="2GB")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "postgres.json")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--no-index", action="store_true", help="without one on vectors, every search is exact")
    options = parser.parse_args()
    options.work_dir.mkdir(parents=True, exist_ok=True)
    vectors, queries = collection(options.work_dir, options.rows)
    queries = {kind: asked[:N_QUERIES] for kind, asked in queries.items()}
    sys.path.insert(0, str(ROOT))
    from tests.postgres import running_postgres

    with ExitStack() as stack:
        server = stack.enter_context(running_postgres(fsync="on", shared_buffers=options.shared_buffers))
        warm(server.url)
        store = stack.enter_context(create(Secret(server.url), SPACE))
        naive = None if options.no_peer else stack.enter_context(psycopg.connect(server.url, autocommit=True))
        rows = loads(store, naive, vectors)
        rows += [] if options.no_index else indexes(store, naive, queries, len(vectors))
        rows += searches(store, naive, vectors, queries)
        rows.append(row("memory of the server, its 2 GB of buffers among it", server_memory(server.pid), "MB"))
        rows += in_memory(Secret(server.url), vectors, queries)
    write(options.out, "PostgreSQL store", sized(rows, len(vectors)))


def warm(url: str) -> None:
    """Have the server write and throw away as much as a day's work would."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE warm (filler text STORAGE EXTERNAL)")
        filled = "INSERT INTO warm SELECT repeat('x', 1900) FROM generate_series(1, %s)"
        connection.execute(filled, (WARM_MB * 500,))
        connection.execute("DROP TABLE warm")
        connection.execute("CHECKPOINT")


def loads(store: PostgresStore, naive: Peer, vectors: np.ndarray) -> list[Row]:
    """Durable rows a second, bytes a row."""
    seconds, added = dict.fromkeys(WRITERS, 0.0), dict.fromkeys(WRITERS, 0)
    for first, n_writers in zip(range(0, len(vectors), STRETCH), cycle(WRITERS), strict=False):
        last = min(first + STRETCH, len(vectors))
        seconds[n_writers] += load(store, vectors, first, last, n_writers)
        added[n_writers] += last - first
    ours = {n_writers: added[n_writers] / seconds[n_writers] for n_writers in WRITERS}
    note = "batches of 10,000; the peer one row at a time"
    peer = load_naive(naive, vectors) if naive else None
    heap = store.stats().n_bytes / len(vectors)
    rows = []
    for n_writers, rate in ours.items():
        what = f"durable rows added a second, {n_writers} writer{'s' * (n_writers > 1)}"
        ratio = rate / peer if peer else None
        rows.append(row(what, rate, "rows/s", peer=peer, ratio=ratio, target=">= 50,000 rows/s", note=note))
    return [*rows, row("bytes on disk a row, before the index on vectors", heap, "bytes")]


def load(store: PostgresStore, vectors: np.ndarray, first: int, last: int, n_writers: int) -> float:
    """The seconds that these rows take, which are read and named before the clock runs."""
    batches = []
    for start in range(first, last, BATCH):
        part = np.array(vectors[start : min(start + BATCH, last)])
        batches.append(([item(number) for number in range(start, start + len(part))], part))

    def add(batch: tuple[list[Item], np.ndarray]) -> None:
        items, part = batch
        store.add(items, [entry.content for entry in items], part)

    with ThreadPoolExecutor(n_writers) as pool:
        began = time.perf_counter()
        list(pool.map(add, batches))
        return time.perf_counter() - began


def load_naive(naive: psycopg.Connection, vectors: np.ndarray) -> float:
    """Rows a second of the first rows, one at a time; the others are copied, without a clock."""
    naive.execute(TABLE)
    began = time.perf_counter()
    for number in range(NAIVE_LOAD):
        naive.execute(INSERT, (number, project_of(number), json.dumps(vectors[number].tolist())))
    rate = NAIVE_LOAD / (time.perf_counter() - began)
    with naive.cursor().copy("COPY naive FROM STDIN") as copy:
        for number in range(NAIVE_LOAD, len(vectors)):
            copy.write_row((number, project_of(number), text_of(vectors[number])))
    naive.execute("VACUUM ANALYZE")
    return rate


def indexes(store: PostgresStore, naive: Peer, queries: dict[str, np.ndarray], n: int) -> list[Row]:
    """The index on vectors: how long it takes, how large it is, what it was measured to find."""
    began = time.perf_counter()
    tuning.build(store, memory_bytes=2 * 2**30 * max(1, n // 1_000_000))
    seconds, peer = time.perf_counter() - began, None
    if naive:
        naive.execute("SET maintenance_work_mem = '2GB'")
        began = time.perf_counter()
        naive.execute("CREATE INDEX ON naive USING hnsw (embedding vector_cosine_ops)")
        peer = time.perf_counter() - began
    began = time.perf_counter()
    probes = dict(tuning.probes_of(store, queries["text"], n=N_QUERIES))
    settings = tuning.tune(store, probes)
    took = time.perf_counter() - began
    heap = store.stats().n_bytes / n
    notes = [f"{kind}: ef_search {one.ef_search or 'none'}, recall {one.recall:.3f}" for kind, one in settings.items()]
    return [
        row("index on vectors made", seconds, "s", peer=peer, ratio=peer / seconds if peer else None),
        row("measured", took, "s", note="; ".join(notes)),
        row("bytes on disk a row", heap, "bytes", target="<= 3,000 bytes"),
    ]


def searches(store: PostgresStore, naive: Peer, vectors: np.ndarray, queries: dict[str, np.ndarray]) -> list[Row]:
    """Times and recall by kind of query and filter, ours and the peer's in turns."""
    rows = []
    for name, (where, keep) in EVERYTHING.items():
        for kind, asked in queries.items():
            truth = best(vectors, asked, keep)
            peer = naive_search(naive, THRESHOLDS[kind], where) if naive else None

            def ours(query: np.ndarray, where: Filter = where) -> list[int]:
                return [int(answer.item.id[-12:-4]) for answer in store.search(query, limit=K, where=where)[0]]

            rows += turns(f"{kind} search{name}", vectors, asked, truth, ours, peer)
            if where.is_empty:
                rows[-2]["note"] = store.finder.plan(asked[0], limit=K, where=where).reason
    return rows + crowd(store, queries["text"][: N_QUERIES // 10])


def naive_search(naive: psycopg.Connection, threshold: float, where: Filter) -> Search:
    """The peer's query."""
    statement = QUERY.format(filter="AND project = %(project)s" if where.project else "")

    def search(query: np.ndarray) -> list[int]:
        values = {"query": text_of(query), "threshold": threshold, "project": where.project}
        return [found for (found,) in naive.execute(statement, values).fetchall()]

    return search


def in_memory(url: Secret, vectors: np.ndarray, queries: dict[str, np.ndarray]) -> list[Row]:
    """The same searches by a process that keeps the vectors."""
    rows = []
    with open_store(url) as store:
        before = psutil.Process().memory_info().rss
        began = time.perf_counter()
        store.finder.keep_in_memory().join()
        rows.append(row("in memory: vectors read", time.perf_counter() - began, "s"))
        taken = (psutil.Process().memory_info().rss - before) / len(vectors)
        rows.append(row("in memory: bytes a row", taken, "bytes"))
        for name, (where, keep) in EVERYTHING.items():
            for kind, asked in queries.items():
                times, found = search(store, asked, where)
                what = f"in memory: {kind} search{name}"
                note = f"p95 {np.percentile(times, 95):.3g} ms"
                rows.append(row(f"{what} p50", np.median(times), "ms", target="<= 25 ms", note=note))
                target = ">= 0.98" if where.is_empty else ">= 0.99"
                rows.append(row(f"{what} recall@10", recall(found, best(vectors, asked, keep)), "", target=target))
        rows += [{**entry, "what": f"in memory: {entry['what']}"} for entry in crowd(store, queries["text"])]
    return rows


def server_memory(pid: int) -> float:
    """Megabytes of a server's processes; what they share counts once."""
    server = psutil.Process(pid)
    return sum(process.memory_full_info().pss for process in [server, *server.children(recursive=True)]) / 1e6


def as_near(vectors: np.ndarray, queries: np.ndarray, truth: np.ndarray, found: list[list[int]]) -> float:
    """The share of what was found that is as near as the last of the true K best, within TIE."""
    shares = []
    for query, right, mine in zip(queries, truth, found, strict=True):
        least = vectors[right[-1]] @ query - TIE
        shares.append(np.sum(vectors[sorted(mine)] @ query >= least) / K)
    return float(np.mean(shares))


def turns(
    what: str, vectors: np.ndarray, queries: np.ndarray, truth: np.ndarray, ours: Search, peer: Search | None
) -> list[Row]:
    """Each query to ours, then to the peer."""
    both = [ours, peer] if peer else [ours]
    times: list[list[float]] = [[] for _ in both]
    found: list[list[list[int]]] = [[] for _ in both]
    for query in queries:
        for ask, taken, answers in zip(both, times, found, strict=True):
            began = time.perf_counter()
            answers.append(ask(query))
            taken.append((time.perf_counter() - began) * 1000)
    p50 = [float(np.median(taken)) for taken in times]
    recalls = [recall(answers, truth) for answers in found]
    peer_ms, peer_recall = (p50[1], recalls[1]) if peer else (None, None)
    ratio = peer_ms / p50[0] if peer_ms else None
    filtered = "filter" in what
    target = None if filtered else "<= 25 ms"
    ties = f"{as_near(vectors, queries, truth, found[0]):.4g} are as near as the tenth, within {TIE:g}"
    wanted, note = ">= 0.99" if filtered else ">= 0.98", f"p95 {np.percentile(times[0], 95):.3g} ms; {ties}"
    return [
        row(f"{what} p50", p50[0], "ms", peer=peer_ms, ratio=ratio, target=target),
        row(f"{what} recall@10", recalls[0], "", peer=peer_recall, target=wanted, note=note),
    ]


if __name__ == "__main__":
    main()
