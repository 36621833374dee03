"""The cache of vectors: lookups and puts a second, in memory and in SQLite; beside cachetools and diskcache.

    python benchmarks/cache.py [--work-dir scratch] [--entries 50000] [--out results/cache.json]

Entries of 512 numbers, all looked up in random order, 256 to a call. The peers take one key to a call:
cachetools.LRUCache, bounded by bytes, behind the lock that its documentation asks for; and diskcache.Cache, which is
SQLite too, and checks no sums. Both keep a vector as bytes and make an array of it. Best of several rounds, in turns;
one thread.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cachetools
import diskcache
import numpy as np
from processor import cpu

from lookalike.cache.memory import MemoryCache
from lookalike.cache.sqlite import SqliteCache
from lookalike.cached import CacheEntry, TowerName
from lookalike.caching import CachedVectorizer, key_of
from lookalike.calls import Inputs
from lookalike.embed import LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.vectors import normalise

ROOT = Path(__file__).resolve().parent.parent
DIM, BATCH, ROUNDS = 512, 256, 5
TOWER = TowerName(fingerprint="0" * 64, model="synthetic", space="synthetic", dim=DIM)

Work = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=ROOT / ".bench" / "cache", help="scratch; 300 MB")
    parser.add_argument("--entries", type=int, default=50_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "cache.json")
    options = parser.parse_args()
    shutil.rmtree(options.work_dir, ignore_errors=True)
    options.work_dir.mkdir(parents=True)
    vectors = normalise(np.random.default_rng(0).standard_normal((options.entries, DIM)))
    keys = [key_of(TOWER.fingerprint, "text", f"text {n}") for n in range(options.entries)]
    rows = [*in_memory(keys, vectors), *in_sqlite(options.work_dir, keys, vectors), *whole_call(options.entries)]
    shutil.rmtree(options.work_dir)
    machine = {"cpu": cpu(), "python": platform.python_version()}
    options.out.write_text(json.dumps({"name": "Cache of vectors", "machine": machine, "rows": rows}, indent=1) + "\n")
    for entry in rows:
        print(json.dumps(entry))


def in_memory(keys: list[bytes], vectors: np.ndarray) -> list[dict[str, Any]]:
    """Lookups in the process."""
    ours = MemoryCache(max_bytes=1 << 30)
    ours.put(TOWER, {key: CacheEntry(vector=row) for key, row in zip(keys, vectors, strict=True)})
    theirs: cachetools.LRUCache[bytes, bytes] = cachetools.LRUCache(1 << 30, getsizeof=len)
    theirs.update((key, row.tobytes()) for key, row in zip(keys, vectors, strict=True))
    lock, order = threading.Lock(), shuffled(keys)

    def peer() -> None:
        for key in order:
            with lock:
                found = theirs.get(key)
            np.frombuffer(found, np.float32)

    rates = best(len(keys), lambda: look_up(ours, order), peer)
    return [row("lookups a second in memory", *rates, target=">= 200,000 /s", note=named("cachetools"))]


def in_sqlite(folder: Path, keys: list[bytes], vectors: np.ndarray) -> list[dict[str, Any]]:
    """Puts and lookups in a file."""
    ours, theirs = SqliteCache(folder / "ours.sqlite"), diskcache.Cache(str(folder / "peer"), size_limit=1 << 40)

    def put() -> None:
        for first in range(0, len(keys), BATCH):
            part = slice(first, first + BATCH)
            ours.put(TOWER, {k: CacheEntry(vector=v) for k, v in zip(keys[part], vectors[part], strict=True)})

    def peer_put() -> None:
        for first in range(0, len(keys), BATCH):
            with theirs.transact():  # many to a transaction, as ours has them
                for key, vector in zip(keys[first : first + BATCH], vectors[first : first + BATCH], strict=True):
                    theirs.set(key, vector.tobytes())

    order = shuffled(keys)

    def peer() -> None:
        for key in order:
            np.frombuffer(theirs.get(key), np.float32)

    puts = best(len(keys), put, peer_put, rounds=1)
    gets = best(len(keys), lambda: look_up(ours, order), peer)
    n_bytes = ours.stats().n_bytes / len(keys)
    ours.close()
    peer_bytes = theirs.volume() / len(keys)
    theirs.close()
    note = named("diskcache")
    return [
        row("lookups a second in SQLite", *gets, target=">= 20,000 /s", note=note),
        row("puts a second in SQLite", *puts, note=f"{note}; 256 to a transaction"),
        row("bytes on disk an entry", n_bytes, peer_bytes, unit="bytes", smaller=True, note="2,048 of them numbers"),
    ]


def whole_call(n: int) -> list[dict[str, Any]]:
    """Texts to vectors through CachedVectorizer, all of them known: hashing, looking up, putting in order."""
    texts = [f"a photo of a garment, number {number}" for number in range(min(n, 20_000))]
    inputs = Inputs(modality="text", payloads=texts, names=[f"texts[{i}]" for i in range(len(texts))])
    cached = CachedVectorizer(LocalVectorizer(FakeEncoder(), batch_size=1000), MemoryCache(max_bytes=1 << 30))
    list(cached.embed(inputs))
    (rate,) = best(len(texts), lambda: list(cached.embed(inputs)) and None)
    return [row("texts to vectors a second, all known, in memory", rate, None)]


def look_up(cache: MemoryCache | SqliteCache, order: Sequence[bytes]) -> None:
    for first in range(0, len(order), BATCH):
        assert None not in cache.get(order[first : first + BATCH])


def best(n: int, *works: Work, rounds: int = ROUNDS) -> list[float]:
    """The greatest rate of each, taken in turns."""
    seconds = [float("inf")] * len(works)
    for _ in range(rounds):
        for place, work in enumerate(works):
            began = time.perf_counter()
            work()
            seconds[place] = min(seconds[place], time.perf_counter() - began)
    return [n / taken for taken in seconds]


def shuffled(keys: list[bytes]) -> list[bytes]:
    return random.Random(0).sample(keys, len(keys))


def named(peer: str) -> str:
    return f"peer: {peer} {version(peer)}"


def row(
    what: str,
    ours: float,
    peer: float | None,
    *,
    unit: str = "/s",
    target: str | None = None,
    note: str = "",
    smaller: bool = False,
) -> dict[str, Any]:
    """A row of a results file; see report.py."""
    ratio = None if peer is None else peer / ours if smaller else ours / peer
    figures = {
        name: None if value is None else float(f"{value:.4g}")
        for name, value in (("ours", ours), ("peer", peer), ("ratio", ratio))
    }
    return {"what": what, **figures, "unit": unit, "target": target, "note": note}


if __name__ == "__main__":
    main()
