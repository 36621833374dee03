"""Imports vectors of a folder's pictures, telling each acknowledged number of rows. Run as a process, to be killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import StoreNotFound
from lookalike.importing import Destination, Terms, take_in
from lookalike.progress import Progress
from lookalike.sources.pictures import PictureFinder
from lookalike.store.embedded import create, open_store
from lookalike.tables import Entry, TablePart
from lookalike.types import Outcome

PART = 60


class Table:
    """The pictures of a folder and their vectors, some rows at a time; row 30 has none."""

    name = "table"

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._paths = sorted(folder.rglob("*.png"))
        self._values = embedder.embed_images(self._paths).values
        self.n_rows, self.dim = self._values.shape

    def parts(self) -> Iterator[TablePart]:
        for first in range(0, self.n_rows, PART):
            paths = self._paths[first : first + PART]
            yield TablePart(
                entries=[Entry(id=path.name, uri=str(path), caption=f"picture {path.stem}") for path in paths],
                values=self._values[first : first + PART],
                problems={30: "has no vector."} if first == 0 else {},
            )


def main(folder: Path, index: Path) -> None:
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    try:
        store = open_store(index, write=True)
    except StoreNotFound:
        store = create(index, embedder.space)
    with store:
        to = Destination(store=store, ledger=store.ledger, pictures=PictureFinder(Path()))
        report = take_in(Table(folder, embedder), to, embedder, Terms(on_progress=tell))
        print("done", {outcome.value: count for outcome, count in report.report.counts.items()}, flush=True)


def tell(progress: Progress) -> None:
    stored = progress.counts.get(Outcome.STORED, 0) + progress.counts.get(Outcome.DUPLICATE, 0)
    print("acknowledged", stored, progress.done, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
