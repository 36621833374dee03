"""An index of coloured pictures on disk, in the fake model's space, for tests of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from lookalike.config import Config, ServeSettings
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import COLOURS, FakeEncoder
from lookalike.http.collection import Collection
from lookalike.ports import EmbeddingService
from lookalike.spaces import Space
from lookalike.store.embedded import EmbeddedStore, create, open_store
from lookalike.store.postgres.store import PostgresStore
from lookalike.types import Item
from tests.pictures import picture
from tests.serving import InlineService, Running, serving

EMBEDDER = Embedder(LocalVectorizer(FakeEncoder()))


@dataclass(frozen=True)
class Catalogue:
    """Pictures in a folder, and an index of them.

    Attributes:
        folder: Where the pictures are; "red.png" and so on.
        config: Where the index is.
    """

    folder: Path
    config: Config

    def path(self, name: str) -> str:
        """The path, and thereby the id, of a picture."""
        return str(self.folder / f"{name}.png")

    def add(self, name: str, data: bytes, **facts: object) -> Item:
        """Write a picture and index it, as another process would."""
        path = self.folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        with open_store(self.config.index, write=True) as store:
            return put(store, path, **facts)


def put(store: EmbeddedStore | PostgresStore, path: Path, **facts: object) -> Item:
    """Index one picture."""
    data = path.read_bytes()
    item = Item(**{"id": str(path), "uri": str(path), "content": sha256(data).hexdigest(), **facts})  # type: ignore[arg-type]
    store.add([item], [item.content], EMBEDDER.embed_images([data]).values)
    return item


def catalogue(folder: Path, *, space: Space | None = None) -> Catalogue:
    """One picture of each colour; red and yellow in project "warm", the others in "default"; metadata colour=..."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    config = replace(Config.from_environ({}), index=folder / "photos.lookalike", cache_dir=folder / "cache")
    with create(config.index, space or EMBEDDER.space) as store:
        for name, rgb in COLOURS.items():
            path = pictures / f"{name}.png"
            path.write_bytes(picture(rgb))  # type: ignore[arg-type]
            project = "warm" if name in ("red", "yellow") else "default"
            put(store, path, project=project, metadata={"colour": name, "kind": "flat"})
    return Catalogue(pictures, config)


@contextmanager
def collection(of: Catalogue, service: EmbeddingService) -> Iterator[Collection]:
    """Its index behind a service."""
    behind = Collection(of.config, service)
    try:
        yield behind
    finally:
        behind.close()


@contextmanager
def shown(of: Catalogue, settings: ServeSettings | None = None) -> Iterator[Running]:
    """A service over a catalogue, whose model runs where it is asked."""
    behind = InlineService(EMBEDDER)
    with collection(of, behind) as index, serving(behind, index=index, settings=settings) as running:
        yield running
    behind.close(drain_s=0)
