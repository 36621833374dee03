"""The production store on a PostgreSQL of its own: durable writes, the index on vectors, searches, filters, recall.

    python benchmarks/postgres.py --work-dir scratch [--rows 624000] [--out results/postgres.json]

The peer is what most design notes show, in the same server: a table with a column `vector`, an HNSW index with its
default settings, and `WHERE 1 - (embedding <=> q) >= threshold ORDER BY embedding <=> q LIMIT 10`, filled row by row.
Recall is against float32 cosines of all rows. "In memory" is a reader that keeps the vectors (LOOKALIKE_MIRROR).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import psycopg
from store import ALL, BATCH, N_PROJECTS, SPACE, K, Row, best, collection, item, machine, recall, row, search

from lookalike.secret import Secret
from lookalike.store.postgres import tuning
from lookalike.store.postgres.rows import text_of
from lookalike.store.postgres.store import PostgresStore, create, open_store
from lookalike.types import Filter

ROOT = Path(__file__).resolve().parent.parent

N_QUERIES = 60
NAIVE_LOAD = 5_000
FILTERS = {"1 %": Filter(project="p7")}
THRESHOLDS = {"text": 0.2, "image": 0.7}
"""Of the peer: at 0.7, which the notes have for both, no text finds anything."""

TABLE = "CREATE TABLE naive (id bigint PRIMARY KEY, project text NOT NULL, embedding vector(512) NOT NULL)"
INSERT = "INSERT INTO naive VALUES (%s, %s, %s)"
QUERY = """SELECT id FROM naive WHERE 1 - (embedding <=> %(query)s::vector) >= %(threshold)s {filter}
ORDER BY embedding <=> %(query)s::vector LIMIT 10"""

Search = Callable[[np.ndarray], list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True, help="scratch; the server's data go to the usual one")
    parser.add_argument("--rows", type=int, default=624_000)
    parser.add_argument("--shared-buffers", default="2GB")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "postgres.json")
    options = parser.parse_args()
    options.work_dir.mkdir(parents=True, exist_ok=True)
    vectors, queries = collection(options.work_dir, options.rows)
    queries = {kind: asked[:N_QUERIES] for kind, asked in queries.items()}
    sys.path.insert(0, str(ROOT))
    from tests.postgres import running_postgres

    with (
        running_postgres(fsync="on", shared_buffers=options.shared_buffers) as server,
        create(Secret(server.url), SPACE) as store,
        psycopg.connect(server.url, autocommit=True) as naive,
    ):
        rows = loads(store, naive, vectors)
        rows += indexes(store, naive, vectors, queries)
        rows += searches(store, naive, vectors, queries)
        rows += in_memory(Secret(server.url), vectors, queries)
    rows = [{**entry, "what": f"{len(vectors):,} rows: {entry['what']}"} for entry in rows]
    options.out.write_text(
        json.dumps({"name": "PostgreSQL store", "machine": machine(), "rows": rows}, indent=1) + "\n"
    )
    for entry in rows:
        print(json.dumps(entry))


def loads(store: PostgresStore, naive: psycopg.Connection, vectors: np.ndarray) -> list[Row]:
    """Durable rows a second, bytes a row."""
    seconds = 0.0
    for first in range(0, len(vectors), BATCH):
        part = np.array(vectors[first : first + BATCH])
        items = [item(number) for number in range(first, first + len(part))]
        began = time.perf_counter()
        store.add(items, [entry.content for entry in items], part)
        seconds += time.perf_counter() - began
    naive.execute(TABLE)
    began = time.perf_counter()
    for number in range(NAIVE_LOAD):
        naive.execute(INSERT, (number, f"p{number % N_PROJECTS}", json.dumps(vectors[number].tolist())))
    peer = NAIVE_LOAD / (time.perf_counter() - began)
    with naive.cursor().copy("COPY naive FROM STDIN") as copy:
        for number in range(NAIVE_LOAD, len(vectors)):
            copy.write_row((number, f"p{number % N_PROJECTS}", text_of(vectors[number])))
    naive.execute("VACUUM ANALYZE")
    ours = len(vectors) / seconds
    note = "batches of 10,000; the peer one row at a time"
    what = "durable rows added a second"
    heap = store.stats().n_bytes / len(vectors)
    return [
        row(what, ours, "rows/s", peer=peer, ratio=ours / peer, target=">= 50,000 rows/s", note=note),
        row("bytes on disk a row, before the index on vectors", heap, "bytes"),
    ]


def indexes(
    store: PostgresStore, naive: psycopg.Connection, vectors: np.ndarray, queries: dict[str, np.ndarray]
) -> list[Row]:
    """The index on vectors: how long it takes, how large it is, what it was measured to find."""
    began = time.perf_counter()
    tuning.build(store, memory_bytes=2 * 2**30)
    seconds = time.perf_counter() - began
    naive.execute("SET maintenance_work_mem = '2GB'")
    began = time.perf_counter()
    naive.execute("CREATE INDEX ON naive USING hnsw (embedding vector_cosine_ops)")
    peer = time.perf_counter() - began
    began = time.perf_counter()
    probes = dict(tuning.probes_of(store, queries["text"], n=N_QUERIES))
    settings = tuning.tune(store, probes)
    took = time.perf_counter() - began
    heap = store.stats().n_bytes / len(vectors)
    notes = [f"{kind}: ef_search {one.ef_search or 'none'}, recall {one.recall:.3f}" for kind, one in settings.items()]
    return [
        row("index on vectors made", seconds, "s", peer=peer, ratio=peer / seconds),
        row("measured", took, "s", note="; ".join(notes)),
        row("bytes on disk a row", heap, "bytes", target="<= 3,000 bytes"),
    ]


def searches(
    store: PostgresStore, naive: psycopg.Connection, vectors: np.ndarray, queries: dict[str, np.ndarray]
) -> list[Row]:
    """Times and recall by kind of query and filter, ours and the peer's in turns."""
    rows = []
    for name, where in {"": ALL, **FILTERS}.items():
        for kind, asked in queries.items():
            keep = (lambda numbers: numbers % N_PROJECTS == 7) if name else None
            truth = best(vectors, asked, keep)

            def ours(query: np.ndarray, where: Filter = where) -> list[int]:
                return [int(answer.item.id[-12:-4]) for answer in store.search(query, limit=K, where=where)[0]]

            def peer(query: np.ndarray, kind: str = kind, name: str = name) -> list[int]:
                statement = QUERY.format(filter="AND project = 'p7'" if name else "")
                values = {"query": text_of(query), "threshold": THRESHOLDS[kind]}
                return [found for (found,) in naive.execute(statement, values).fetchall()]

            rows += turns(f"{kind} search" + (f", filter {name}" if name else ""), asked, truth, (ours, peer))
            if not name:
                rows[-2]["note"] = store.finder.plan(asked[0], limit=K, where=where).reason
    return rows


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
        for name, where in {"": ALL, **FILTERS}.items():
            keep = (lambda numbers: numbers % N_PROJECTS == 7) if name else None
            for kind, asked in queries.items():
                times, found = search(store, asked, where)
                what = f"in memory: {kind} search" + (f", filter {name}" if name else "")
                note = f"p95 {np.percentile(times, 95):.3g} ms"
                rows.append(row(f"{what} p50", np.median(times), "ms", target="<= 25 ms", note=note))
                target = ">= 0.99" if name else ">= 0.98"
                rows.append(row(f"{what} recall@10", recall(found, best(vectors, asked, keep)), "", target=target))
    return rows


def turns(what: str, queries: np.ndarray, truth: np.ndarray, both: tuple[Search, Search]) -> list[Row]:
    """Each query to ours, then to the peer."""
    times: tuple[list[float], list[float]] = ([], [])
    found: tuple[list[list[int]], list[list[int]]] = ([], [])
    for query in queries:
        for ask, taken, answers in zip(both, times, found, strict=True):
            began = time.perf_counter()
            answers.append(ask(query))
            taken.append((time.perf_counter() - began) * 1000)
    (ours_ms, peer_ms), p95 = (np.median(taken) for taken in times), np.percentile(times[0], 95)
    ours, peer = (recall(answers, truth) for answers in found)
    filtered = "filter" in what
    return [
        row(
            f"{what} p50", ours_ms, "ms", peer=peer_ms, ratio=peer_ms / ours_ms, target=None if filtered else "<= 25 ms"
        ),
        row(
            f"{what} recall@10",
            ours,
            "",
            peer=peer,
            target=">= 0.99" if filtered else ">= 0.98",
            note=f"p95 {p95:.3g} ms",
        ),
    ]


if __name__ == "__main__":
    main()
