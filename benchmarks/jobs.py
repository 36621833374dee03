"""From an order to a find: how long until a new photo is searchable, by another process, and how fast orders are taken.

    python benchmarks/jobs.py [--photos 50] [--out results/jobs.json]

`lookalike worker` with the built-in model runs as it would in production, for an index in a PostgreSQL of the script's
own and for one in a folder. A photo of 1,280 x 960 is ordered; this process, which is not the worker, searches for its
vector until it finds it. Orders come one at a time, at moments of chance, so that the worker is idle when they do.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from store import Row, machine, row

from lookalike import Config, Embedder, app
from lookalike.orders import Order
from lookalike.places import Address, Place
from lookalike.types import Filter, Rows

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1280, 960)
LOOK_S = 0.005
LIMIT_S = 30.0
N_ORDERS = 1000
TARGET = "<= 2 s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "jobs.json")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.postgres import running_postgres

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch, running_postgres(fsync="on") as server:
        places: dict[str, Place] = {"PostgreSQL": Address(server.url), "folder": Path(scratch) / "index.lookalike"}
        for name, place in places.items():
            rows += measured(name, place, Path(scratch), options.photos)
    document = {"name": "Orders: from a new photo to a find", "machine": machine(), "rows": rows}
    options.out.write_text(json.dumps(document, indent=1) + "\n")


def measured(name: str, place: Place, scratch: Path, n_photos: int) -> list[Row]:
    """The rows of one place."""
    embedder = Embedder.open("tiny", config=Config.from_environ())
    app.create_store(place, embedder.space).close()
    with working(place):
        waits = [searchable_s(place, embedder, photo(scratch, number)) for number in range(n_photos + 1)][1:]
    note = f"{n_photos} photos of {SIZE[0]} x {SIZE[1]}, one at a time"
    rows = [
        row(f"{name}: a new photo is searchable after, p{share}", float(np.percentile(waits, share)), "s", **more)
        for share, more in ((50, {"target": TARGET, "note": note}), (95, {"target": TARGET}))
    ]
    return [*rows, row(f"{name}: {N_ORDERS:,} orders are on record after", submitting_s(place), "s")]


@contextmanager
def working(place: Place) -> Iterator[None]:
    """A worker, once it has its model."""
    address = place.reveal() if isinstance(place, Address) else str(place)
    command = [sys.executable, "-m", "lookalike", "worker", "--model", "tiny", "--index", address]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def photo(scratch: Path, number: int) -> Path:
    """A photo like no other: soft noise, so that JPEG has as much to do as with a real one."""
    chance = np.random.default_rng([number, len(str(scratch))])
    small = Image.fromarray(chance.integers(0, 256, (24, 32, 3), np.uint8))
    buffer = BytesIO()
    small.resize(SIZE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    path = scratch / f"{number}-{time.monotonic_ns()}.jpg"
    path.write_bytes(buffer.getvalue())
    return path


def searchable_s(place: Place, embedder: Embedder, path: Path) -> float:
    """Seconds from the order until a search finds the photo."""
    vector: Rows = embedder.embed_images([path]).values[0]
    time.sleep(random.random() * 0.3)
    queue = app.open_queue(place)
    with app.open_store(place) as store:
        began = time.perf_counter()
        queue.submit([Order(id=path.name, uri=str(path))])
        wait_until(lambda: path.name in {hit.item.id for hit in store.search(vector, limit=3, where=Filter())[0]})
        took_s = time.perf_counter() - began
    queue.close()
    return took_s


def submitting_s(place: Place) -> float:
    """Seconds until so many orders are on record; the best of three."""
    queue = app.open_queue(place)
    took = []
    for turn in range(3):
        orders = [Order(id=f"{turn}/{number}", uri=f"s3://photos/{number}.jpg") for number in range(N_ORDERS)]
        began = time.perf_counter()
        queue.submit(orders)
        took.append(time.perf_counter() - began)
    queue.close()
    return min(took)


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.perf_counter() + LIMIT_S
    while not holds():
        if time.perf_counter() > until:
            raise TimeoutError("The photo did not become searchable.")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
