"""Indexes a folder with the test encoder, telling each acknowledged number of items. Run as a process, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import StoreNotFound
from lookalike.ingest import Ingest, Target
from lookalike.progress import Progress
from lookalike.sources.folder import FolderSource
from lookalike.store.embedded import create, open_store
from lookalike.types import Outcome


def main(folder: Path, index: Path) -> None:
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    try:
        store = open_store(index, write=True)
    except StoreNotFound:
        store = create(index, embedder.space)
    with store:
        run = Ingest(Target(store=store, ledger=store.ledger, embedder=embedder, threads=2))
        report = run.run([FolderSource(folder)], on_progress=tell)
        print("done", {outcome.value: count for outcome, count in report.counts.items()}, flush=True)


def tell(progress: Progress) -> None:
    acknowledged = progress.counts.get(Outcome.STORED, 0) + progress.counts.get(Outcome.DUPLICATE, 0)
    print("acknowledged", acknowledged, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
