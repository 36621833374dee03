"""Importing 624,000 x 512 vectors that exist: rows a second, memory, and a second run that has nothing to do.

    python benchmarks/importing.py [--work-dir scratch] [--rows 624000] [--out results/importing.json]

The vectors of benchmarks/store.py, with an id, a caption and a fact each, and no pictures: what is measured is reading
the table twice, hashing each vector, storing items, vectors and ledger durably. Each case runs in a process of its
own. Memory is the most that the process has of its own after any batch; mapped files are the system's to take away.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import store as stores
from memory import own_bytes

from lookalike.importing import Destination, Terms, take_in
from lookalike.progress import Progress
from lookalike.sources.pictures import PictureFinder
from lookalike.store.embedded import create, open_store
from lookalike.tables import VectorTable
from lookalike.transfer import open_table

ROOT = Path(__file__).resolve().parent.parent
BATCH = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=ROOT / ".bench" / "store", help="scratch; 6 GB")
    parser.add_argument("--rows", type=int, default=624_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "importing.json")
    parser.add_argument("--take", nargs=2, type=Path, metavar=("TABLE", "INDEX"), help="one case, as JSON")
    options = parser.parse_args()
    if options.take:
        print(json.dumps(take(*options.take)))
        return
    options.work_dir.mkdir(parents=True, exist_ok=True)
    index, rows = options.work_dir / "imported.lookalike", []
    for kind, path in tables(options.work_dir, options.rows):
        shutil.rmtree(index, ignore_errors=True)
        first, again = measured(path, index), measured(path, index)
        assert first["counts"] == {"stored": options.rows}
        assert again["counts"] == {"unchanged": options.rows}
        rate = options.rows / first["seconds"]
        note = f"{first['seconds']:.0f} s; a second run, with nothing to do, {again['seconds']:.0f} s"
        rows.append(stores.row(f"{kind}: rows imported a second", rate, "rows/s", note=note))
        rows.append(stores.row(f"{kind}: memory", first["memory_bytes"] / 1e6, "MB"))
    shutil.rmtree(index)
    named = [{**row, "what": f"{options.rows:,} rows, {row['what']}"} for row in rows]
    document = {"name": "Import of vectors", "machine": stores.machine(), "rows": named}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    for row in named:
        print(json.dumps(row))


def tables(folder: Path, n: int) -> Iterator[tuple[str, Path]]:
    """The same rows as an array with JSON lines and, where pyarrow is here, as Parquet; made once and kept."""
    vectors, _ = stores.collection(folder, n)
    items = folder / f"items-{n}.jsonl"
    if not items.exists():
        with items.open("w") as file:
            file.writelines(json.dumps(facts(number)) + "\n" for number in range(n))
    yield ".npy with .jsonl", folder / f"vectors-{n}.npy"
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        print("pyarrow is not here: no Parquet")
        return
    path = folder / f"vectors-{n}.parquet"
    schema = pa.schema(
        [("embedding", pa.list_(pa.float32(), vectors.shape[1])), *((name, pa.string()) for name in facts(0))]
    )
    if not path.exists():
        with pq.ParquetWriter(path, schema) as writer:
            for first in range(0, n, BATCH):
                part = np.array(vectors[first : first + BATCH])
                columns = {
                    "embedding": pa.FixedSizeListArray.from_arrays(part.ravel(), vectors.shape[1]),
                    **columns_of(range(first, first + len(part))),
                }
                writer.write_table(pa.table(columns, schema=schema))
    yield ".parquet", path


def facts(number: int) -> dict[str, str]:
    """What a shop knows of a picture."""
    item = stores.item(number)
    return {"id": item.id, "uri": item.uri, "caption": f"garment {number}", "colour": ("red", "blue")[number % 2]}


def columns_of(numbers: range) -> dict[str, list[str]]:
    """The same, by column."""
    rows = [facts(number) for number in numbers]
    return {name: [row[name] for row in rows] for name in rows[0]}


def measured(table: Path, index: Path) -> dict[str, Any]:
    """One import in a process of its own."""
    command = [sys.executable, __file__, "--take", str(table), str(index)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(answer)
    return found


def take(path: Path, index: Path) -> dict[str, Any]:
    """Import, and tell seconds, outcomes and memory."""
    peak = 0

    def watch(_: Progress) -> None:
        nonlocal peak
        peak = max(peak, own_bytes())

    began = time.perf_counter()
    with open_store(index, write=True) if index.exists() else create(index, stores.SPACE) as store:
        to = Destination(store=store, ledger=store.ledger, pictures=PictureFinder(Path()))
        report = take_in(opened(path), to, None, Terms(unchecked=True, on_progress=watch))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "counts": report.report.counts, "memory_bytes": peak}


def opened(path: Path) -> VectorTable:
    """The table, as the command opens it."""
    items = path.with_name(path.name.replace("vectors", "items")).with_suffix(".jsonl")
    return open_table(path, items=items if path.suffix == ".npy" else None)


if __name__ == "__main__":
    main()
