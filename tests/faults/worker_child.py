"""Workers to be killed: this process imports all that they need, then forks one after another, and says so.

    worker_child.py URL FOLDER

A line "worker PID" for each; the next is forked as soon as that one ends. No worker outlives this process.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.places import Address
from lookalike.queues import postgres
from lookalike.queues.patience import Patience
from lookalike.sources.pictures import PictureFinder
from lookalike.store.postgres.store import open_store
from lookalike.working import HostedEmbedding, Workplace, run_feed

PATIENCE = Patience(attempts=1000, base_s=0.02, cap_s=0.1, beat_s=0.2, dead_s=3.0, poll_s=0.05)
CONCURRENCY = 64


def work(url: Address, folder: Path) -> None:
    """Be a worker until killed."""
    with open_store(url) as store:
        place = Workplace(
            lend=lambda: nullcontext(store),
            pictures=PictureFinder(folder),
            embed=HostedEmbedding(Embedder(LocalVectorizer(FakeEncoder()))),
            max_bytes=1 << 20,
        )
        feed = postgres.open_feed(url, PATIENCE)
        run_feed(feed, place, concurrency=CONCURRENCY, stopping=threading.Event())


def main() -> None:
    url, folder = Address(sys.argv[1]), Path(sys.argv[2])
    while True:
        orphaned, alive = os.pipe()  # whoever holds its other end lives
        pid = os.fork()
        if pid == 0:
            os.close(alive)
            threading.Thread(target=end_with, args=[orphaned], daemon=True).start()
            try:
                work(url, folder)
            finally:
                os._exit(1)  # the server was not there: begun again
        os.close(orphaned)
        print("worker", pid, flush=True)
        os.waitpid(pid, 0)
        os.close(alive)


def end_with(orphaned: int) -> None:
    """Nobody outlives the process that forked it."""
    os.read(orphaned, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
