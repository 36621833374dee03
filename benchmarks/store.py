"""The embedded store at 624,000 x 512: durable writes, searches, filters, recall; beside HNSW indexes.

    python benchmarks/store.py --work-dir scratch [--peer-python PYTHON] [--rows 624000] [--out results/store.json]

PYTHON is an interpreter with numpy, faiss-cpu and hnswlib. HNSW builds slowly, so the peers index --peer-rows pictures,
and a second store of ours with as many is asked in turns with them. Recall is against float32 cosines of all rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Set before numpy loads its BLAS: every figure is of one thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import processor
import synthetic_clip

from lookalike.ports import VectorReader
from lookalike.spaces import Space
from lookalike.store.embedded import EmbeddedStore, create, open_store
from lookalike.types import Filter, Item

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT.parent / "shared" / "golden" / "clip_vit_b32_vectors.npz"

SEED = 7
ROWS = 624_000
"""The usual size, for which promises are made."""
K = 10
BATCH = 10_000
N_QUERIES = 100
ROUND = 10
PEERS = ("faiss HNSW16,SQ8", "hnswlib")
N_CLIENTS = 16
ALL = Filter()
LARGE = "large"
Keep = Callable[[np.ndarray], np.ndarray]
FILTERS: dict[str, tuple[Filter, Keep]] = {
    "1 %": (Filter(project="p7"), lambda numbers: numbers % 100 == 7),
    "10 %": (Filter(project=LARGE), lambda numbers: numbers % 100 >= 90),
}
"""By share of the items that pass: the filter, and which rows those are."""

SPACE = Space(
    model="synthetic", weights="0" * 64, preprocessing="", pooling="projection", dim=512, modalities=("image", "text")
)

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True, help="scratch; 3 GB at the default size")
    parser.add_argument("--peer-python", help="an interpreter with numpy, faiss-cpu and hnswlib")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--peer-rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "store.json")
    options = parser.parse_args()
    options.work_dir.mkdir(parents=True, exist_ok=True)

    vectors, queries = collection(options.work_dir, options.rows)
    rows = own_rows(options.work_dir, vectors, queries)
    if options.peer_python:
        n_peer_rows = min(options.peer_rows, options.rows)
        rows += peer_rows(options.work_dir, options.peer_python, vectors, queries, n_peer_rows)
    write(options.out, "Embedded store", rows)


def write(out: Path, name: str, rows: list[Row]) -> None:
    """Write a results file; what it has from this machine of collections of other sizes stays."""
    before = json.loads(out.read_text()) if out.exists() else {}
    measured = {size_of(entry) for entry in rows}
    is_here = all(before.get("machine", {}).get(key) == machine()[key] for key in ("cpu", "cores"))
    kept = [entry for entry in before.get("rows", ()) if is_here and size_of(entry) not in measured]
    everything = sorted([*rows, *kept], key=lambda entry: (size_of(entry) != ROWS, -size_of(entry)))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"name": name, "machine": machine(), "rows": everything}, indent=1) + "\n")
    for entry in rows:
        print(json.dumps(entry))


def sized(rows: list[Row], n: int) -> list[Row]:
    """Rows of a collection of this size, which say so; how long a search may take is promised for the usual one."""
    return [
        {
            **entry,
            "what": f"{n:,} rows: {entry['what']}",
            "target": None if entry["unit"] == "ms" and n != ROWS else entry["target"],
        }
        for entry in rows
    ]


def size_of(entry: Row) -> int:
    """The size of the collection of a row."""
    return int(entry["what"].partition(" ")[0].replace(",", ""))


def collection(folder: Path, n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """n pictures, made once and kept, and queries of both kinds."""
    shape = synthetic_clip.shape(SEED, GOLDEN)
    path = folder / f"vectors-{n}{'' if GOLDEN.exists() else '-made-up'}.npy"  # of another shape without the reference
    if not path.exists():
        unfinished = path.with_suffix(".new")
        rows = np.lib.format.open_memmap(unfinished, "w+", np.float32, (n, synthetic_clip.DIM))
        first = 0
        for chunk in synthetic_clip.images(shape, n):
            rows[first : first + len(chunk)] = chunk
            first += len(chunk)
        rows.flush()
        unfinished.rename(path)
    queries = {"text": synthetic_clip.text_queries, "image": synthetic_clip.image_queries}
    return np.load(path, mmap_mode="r"), {kind: make(shape, N_QUERIES) for kind, make in queries.items()}


def best(vectors: np.ndarray, queries: np.ndarray, keep: Keep | None = None) -> np.ndarray:
    """(queries, K): the rows with the greatest cosines, by computing all of them."""
    scores, places = [], []
    for first in range(0, len(vectors), 16_384):
        cosines = queries @ vectors[first : first + 16_384].T
        if keep is not None:
            cosines[:, ~keep(np.arange(first, first + cosines.shape[1]))] = -2
        top = np.argpartition(-cosines, K - 1, axis=1)[:, :K]
        scores.append(np.take_along_axis(cosines, top, 1))
        places.append(top + first)
    order = np.argsort(-np.concatenate(scores, 1), axis=1)[:, :K]
    return np.take_along_axis(np.concatenate(places, 1), order, 1)


def fill(folder: Path, vectors: np.ndarray) -> tuple[EmbeddedStore, float]:
    """A new store of these vectors and the seconds that its `add` took."""
    shutil.rmtree(folder, ignore_errors=True)
    os.sync()  # or the store would wait for the disk to take what others have written, the collection first of all
    store, seconds = create(folder, SPACE), 0.0
    for first in range(0, len(vectors), BATCH):
        rows = np.array(vectors[first : first + BATCH])
        items = [item(number) for number in range(first, first + len(rows))]
        contents = [entry.content for entry in items]
        began = time.perf_counter()
        store.add(items, contents, rows)
        seconds += time.perf_counter() - began
    return store, seconds


def item(number: int) -> Item:
    """One picture of a collection as a shop would have it."""
    name = f"photos/{number % 365:03}/{number:08}.jpg"
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return Item(id=name, content=digest, project=project_of(number), uri=f"s3://pictures/{name}")


def project_of(number: int) -> str:
    """One project with a tenth of the pictures, ninety with a hundredth each."""
    return LARGE if number % 100 >= 90 else f"p{number % 100}"


def search(store: VectorReader, queries: np.ndarray, where: Filter = ALL) -> tuple[list[float], list[list[int]]]:
    """Milliseconds of each query, and the rows that it found."""
    times, found = [], []
    for query in queries:
        began = time.perf_counter()
        answers, _ = store.search(query, limit=K, where=where)
        times.append((time.perf_counter() - began) * 1000)
        found.append([int(answer.item.id[-12:-4]) for answer in answers])
    return times, found


def cpu(store: EmbeddedStore, queries: np.ndarray, where: Filter = ALL) -> str:
    """What the processor itself spent on a query: on a busy machine the clock also counts waiting for it."""
    times = []
    for query in queries:
        began = time.thread_time()
        store.search(query, limit=K, where=where)
        times.append((time.thread_time() - began) * 1000)
    return f"processor time p50 {np.median(times):.3g} ms"


def recall(found: list[list[int]], truth: np.ndarray) -> float:
    """The share of the true K best that was found."""
    return float(np.mean([len(set(mine) & set(right)) / K for mine, right in zip(found, truth.tolist(), strict=True)]))


def own_rows(folder: Path, vectors: np.ndarray, queries: dict[str, np.ndarray]) -> list[Row]:
    """What the store does at full size."""
    n = len(vectors)
    store, seconds = fill(folder / "full.lookalike", vectors)
    store.close()
    rows = [row("durable rows added a second, batches of 10,000", n / seconds, "rows/s", target=">= 50,000 rows/s")]
    began = time.perf_counter()
    with open_store(folder / "full.lookalike") as store:
        opened = time.perf_counter()
        search(store, queries["text"][:1])
        rows.append(row("open", (opened - began) * 1000, "ms"))
        rows.append(row("first search", (time.perf_counter() - opened) * 1000, "ms"))
        note = "vectors 1,152, the rest items; a float32 row is 2,048"
        rows.append(row("bytes on disk a row", store.stats().n_bytes / n, "bytes", note=note))
        for kind, asked in queries.items():
            times, found = search(store, asked)
            rows.append(
                row(f"{kind} search p50, 1 thread", np.median(times), "ms", target="<= 20 ms", note=cpu(store, asked))
            )
            rows.append(row(f"{kind} search p95, 1 thread", np.percentile(times, 95), "ms"))
            rows.append(row(f"{kind} recall@10", recall(found, best(vectors, asked)), "", target=">= 0.995"))
        for name, (where, keep) in FILTERS.items():
            search(store, queries["text"][:1], where)  # reads the posting list
            times, found = search(store, queries["text"], where)
            note = cpu(store, queries["text"], where)
            target = "<= 2 ms" if name == "1 %" else None
            rows.append(row(f"text search p50, filter {name}", np.median(times), "ms", target=target, note=note))
            truth = best(vectors, queries["text"], keep)
            rows.append(row(f"text recall@10, filter {name}", recall(found, truth), "", target=">= 0.995"))
        rows += crowd(store, queries["text"])
    return sized(rows, n)


def crowd(store: VectorReader, queries: np.ndarray) -> list[Row]:
    """Many who search at the same time, each one query after another."""
    with ThreadPoolExecutor(N_CLIENTS) as clients:
        began = time.perf_counter()
        times = [ms for taken, _ in clients.map(lambda _: search(store, queries), range(N_CLIENTS)) for ms in taken]
        seconds = time.perf_counter() - began
    what = f"text search, {N_CLIENTS} clients at once"
    note = f"p50 {np.median(times):.3g} ms, p95 {np.percentile(times, 95):.3g} ms"
    return [row(what, len(times) / seconds, "queries/s", note=note)]


def peer_rows(folder: Path, python: str, vectors: np.ndarray, queries: dict[str, np.ndarray], n: int) -> list[Row]:
    """Ours and the peers' at the same, smaller size, asked in turns."""
    store, seconds = fill(folder / "peer.lookalike", vectors[:n])
    vectors_path = folder / f"vectors-{len(vectors)}.npy"
    command = [python, str(Path(__file__).with_name("store_peers.py"))]
    rows = []
    with store, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for peer in PEERS:
            built = ask(process, "build", peer, str(vectors_path), n, os.cpu_count())
            rate = n / built["seconds"]
            note = f"peer: {peer}, in memory only, {os.cpu_count()} threads"
            rows.append(
                row("rows added a second", n / seconds, "rows/s", peer=rate, ratio=n / seconds / rate, note=note)
            )
        for kind, asked in queries.items():
            path = folder / f"queries-{kind}.npy"
            np.save(path, asked)
            rows += turns(store, process, kind, asked, path, best(vectors[:n], asked))
        assert process.stdin is not None
        process.stdin.close()
    return sized(rows, n)


def turns(
    store: EmbeddedStore, process: subprocess.Popen[str], kind: str, asked: np.ndarray, path: Path, truth: np.ndarray
) -> list[Row]:
    """Ten queries to ours, ten to each peer, and so on."""
    times: dict[str, list[float]] = {name: [] for name in ("ours", *PEERS)}
    found: dict[str, list[list[int]]] = {name: [] for name in ("ours", *PEERS)}
    for first in range(0, len(asked), ROUND):
        taken, answers = search(store, asked[first : first + ROUND])
        times["ours"] += taken
        found["ours"] += answers
        for peer in PEERS:
            answer = ask(process, "search", peer, str(path), first, first + ROUND, K)
            times[peer] += [seconds * 1000 for seconds in answer["times"]]
            found[peer] += answer["found"]
    rows = []
    for peer in PEERS:
        ours_ms, peer_ms = np.median(times["ours"]), np.median(times[peer])
        ours_recall, peer_recall = recall(found["ours"], truth), recall(found[peer], truth)
        note = f"peer: {peer} M 16 ef 256"
        rows.append(row(f"{kind} search p50", ours_ms, "ms", peer=peer_ms, ratio=peer_ms / ours_ms, note=note))
        rows.append(
            row(f"{kind} recall@10", ours_recall, "", peer=peer_recall, ratio=ours_recall / peer_recall, note=note)
        )
    return rows


def ask(process: subprocess.Popen[str], *command: object) -> dict[str, Any]:
    """One command to the peers' process and its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def row(
    what: str,
    ours: float,
    unit: str,
    *,
    peer: float | None = None,
    ratio: float | None = None,
    target: str | None = None,
    note: str = "",
) -> Row:
    """A row of a results file; see report.py."""
    figures = {
        name: None if value is None else float(f"{value:.5g}")
        for name, value in (("ours", ours), ("peer", peer), ("ratio", ratio))
    }
    return {"what": what, **figures, "unit": unit, "target": target, "note": note}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    load = os.getloadavg()[0]
    return {
        "cpu": processor.cpu(),
        "cores": os.cpu_count(),
        "load at the end": round(load, 1),
    }


if __name__ == "__main__":
    main()
