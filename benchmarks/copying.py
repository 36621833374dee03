"""An index copied from a folder into PostgreSQL and back: rows a second, memory, and the comparison afterwards.

    python benchmarks/copying.py --work-dir scratch [--rows 3000000] [--out results/copying.json]

The vectors of benchmarks/store.py, on a PostgreSQL of its own that has been at work before (benchmarks/postgres.py).
What `lookalike copy` does: every item and vector is brought over, then all of both sides is read back and compared.
Each case runs in a process of its own. Memory is the most that it has of its own after any batch.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from memory import own_bytes
from postgres import warm
from store import BATCH, SPACE, Row, collection, item, row, sized, write

from lookalike.copying import compare, copy
from lookalike.progress import Progress
from lookalike.secret import Secret
from lookalike.store.embedded import create, open_store
from lookalike.store.postgres.store import create as create_in_postgres
from lookalike.store.postgres.store import open_store as open_in_postgres

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True, help="scratch; 3 KB a row, and as much for the server")
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "copying.json")
    parser.add_argument("--take", nargs=2, metavar=("SOURCE", "TARGET"), help="one case, as JSON")
    options = parser.parse_args()
    if options.take:
        print(json.dumps(take(*options.take)))
        return
    options.work_dir.mkdir(parents=True, exist_ok=True)
    folders = [options.work_dir / name for name in ("copied.lookalike", "back.lookalike")]
    sys.path.insert(0, str(ROOT))
    from tests.postgres import running_postgres

    with ExitStack() as stack:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        fill(folders[0], options.work_dir, options.rows)
        server = stack.enter_context(running_postgres(fsync="on", shared_buffers="2GB"))
        warm(server.url)
        rows = list(case("folder to PostgreSQL", str(folders[0]), server.url, options.rows))
        rows += case("PostgreSQL to folder", server.url, str(folders[1]), options.rows)
    write(options.out, "Copy of an index", sized(rows, options.rows))


def fill(folder: Path, work_dir: Path, n: int) -> None:
    """An index of n pictures."""
    vectors, _ = collection(work_dir, n)
    with create(folder, SPACE) as store:
        for start in range(0, n, BATCH):
            items = [item(number) for number in range(start, min(start + BATCH, n))]
            store.add(items, [entry.content for entry in items], np.array(vectors[start : start + BATCH]))


def case(what: str, source: str, target: str, n: int) -> Iterator[Row]:
    """One way, in a process of its own."""
    command = [sys.executable, __file__, "--work-dir", ".", "--take", source, target]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert found["new"] == n
    assert found["is_equal"]
    note = f"then all was read back and compared in {found['compared_s']:.0f} s: equal"
    yield row(f"{what}: rows copied a second", n / found["copied_s"], "rows/s", note=note)
    yield row(f"{what}: memory", found["memory_bytes"] / 1e6, "MB")


def take(source: str, target: str) -> dict[str, Any]:
    """Copy and compare, and tell seconds and memory."""
    peak = 0

    def watch(_: Progress) -> None:
        nonlocal peak
        peak = max(peak, own_bytes())

    with opened(source) as old, opened(target, new=True) as new:
        began = time.perf_counter()
        report = copy(old, new, on_progress=watch)
        copied_s = time.perf_counter() - began
        comparison = compare(old, new, on_progress=watch)
    return {
        "new": report.new,
        "copied_s": copied_s,
        "compared_s": time.perf_counter() - began - copied_s,
        "is_equal": comparison.is_equal,
        "memory_bytes": peak,
    }


def opened(place: str, *, new: bool = False) -> Any:
    """The store in a folder or in a database."""
    if place.startswith("postgresql:"):
        return create_in_postgres(Secret(place), SPACE) if new else open_in_postgres(Secret(place))
    return create(Path(place), SPACE) if new else open_store(Path(place))


if __name__ == "__main__":
    main()
