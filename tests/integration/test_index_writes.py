"""Writing through an index: what is removed, what comes back, what an index remembers of how it was made."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lookalike import Config, Index
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import InputError, ItemNotFound, SpaceMismatch, StoreError
from lookalike.query import Query, item_query
from lookalike.search import Searcher
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Item, Outcome, Scored
from tests.pictures import noise, picture, write


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return replace(Config.from_environ(), model="tiny", index=tmp_path / "photos.lookalike")


def test_a_deleted_item_comes_back_with_the_next_ingest(config: Config, tmp_path: Path) -> None:
    """An index mirrors its folders: what is still in one is stored again, without being embedded again."""
    folder = write(tmp_path / "photos", {f"{seed}.png": noise(seed) for seed in range(5)})
    with Index.create(config=config) as index:
        index.ingest([folder])
        ids = [item.id for item in index.items()]
        assert index.delete(ids[:2]) == 2
        assert index.delete(ids[:2]) == 0
        assert index.stats().items == 3
        report = index.ingest([folder])
        assert report.counts == {Outcome.DUPLICATE: 2, Outcome.UNCHANGED: 3}


def test_forget_takes_folders_files_and_failures(config: Config, tmp_path: Path) -> None:
    """Everything below a place goes, also what failed there; the files stay."""
    files = {"a/1.png": noise(1), "a/b/2.png": noise(2), "a2/3.png": noise(3), "4.png": noise(4)}
    files |= {"a/bad.png": b"x", "bad.png": b"x"}
    folder = write(tmp_path / "photos", files)
    with Index.create(config=config) as index:
        index.ingest([folder])
        assert index.forget([f"{folder.as_posix()}/a/", f"{folder.as_posix()}/4.png"]) == 3
        assert index.forget([f"{folder.as_posix()}/bad.png"]) == 0
        assert [Path(item.uri).name for item in index.items()] == ["3.png"]
        assert list(index.failures()) == []
        assert index.forget(["/nowhere/"]) == 0
    assert (folder / "4.png").exists()


def test_an_ingest_gives_the_space_of_dead_vectors_back(config: Config, tmp_path: Path) -> None:
    """Once a fifth is dead, also for those who call it from Python."""
    folder = write(tmp_path / "photos", {f"{seed}.png": noise(seed) for seed in range(10)})
    with Index.create(config=config) as index:
        index.ingest([folder])
        for seed in range(5):
            (folder / f"{seed}.png").unlink()
        index.ingest([folder])
        assert (index.stats().contents, index.stats().dead_slots) == (5, 0)


def test_an_index_keeps_the_orientation_it_was_made_with(config: Config, tmp_path: Path) -> None:
    """A photo on its side finds itself without anybody naming the orientation again; another one is refused."""
    image = Image.open(BytesIO(picture("red", size=(60, 40)))).convert("RGB")
    image.paste("blue", (0, 0, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    with Index.create(config=replace(config, orientation="ignore")) as index:
        index.ingest([tmp_path / "turned.jpg"])
    with Index.open(config=config) as index:
        assert index.embedder.space.orientation == "ignore"
        assert index.search(image=tmp_path / "turned.jpg")[0].similarity > 0.999
    upright = replace(config, index=tmp_path / "upright.lookalike")
    with Index.create(config=upright) as index:
        index.ingest([tmp_path / "turned.jpg"])
    turned = replace(upright, orientation="ignore")
    with Index.open(config=turned) as index, pytest.raises(SpaceMismatch, match="orientation 'apply'"):
        index.search(text="red")


def test_one_text_in_place_of_a_list_is_refused(config: Config, tmp_path: Path) -> None:
    """A text is a sequence of letters: without the refusal each would be taken for an item of its own."""
    with Index.create(config=config) as index:
        for call in (index.delete, index.forget, index.ingest, index.embedder.embed_texts, index.embedder.embed_images):
            with pytest.raises(InputError, match="list"):
                call("text")  # type: ignore[operator]
        with pytest.raises(InputError, match="empty"):
            index.search(text="  ")


def test_a_closed_index_neither_reads_nor_writes(config: Config, tmp_path: Path) -> None:
    """Its lock is another's by then."""
    index = Index.create(config=config)
    index.close()
    with Index.open(config=config, write=True):
        for call in (index.stats, lambda: index.delete(["x"])):
            with pytest.raises(StoreError, match="closed"):
                call()


class _Vanishing(MemoryStore):
    """A store whose best hit is removed, and its vector given back, right after it was found."""

    def search(self, query, *, limit: int, where: Filter) -> tuple[list[Scored], int]:  # type: ignore[no-untyped-def]
        found, considered = super().search(query, limit=limit, where=where)
        self.delete([(found[0].item.project, found[0].item.id)])
        self.compact()
        return found, considered

    def get(self, keys):  # type: ignore[no-untyped-def]
        found = super().get(keys)
        self.delete(list(keys))
        self.compact()
        return found


@pytest.fixture
def vanishing() -> _Vanishing:
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    store = _Vanishing(embedder.space)
    contents = [f"{number:064x}" for number in range(3)]
    items = [Item(id=name, content=content) for name, content in zip("abc", contents, strict=True)]
    store.add(items, contents, embedder.embed_images([noise(seed) for seed in range(3)]).values)
    return store


def test_a_hit_that_vanishes_is_left_out(vanishing: _Vanishing) -> None:
    """A search beside a writer that deletes and compacts answers with what is left, never with a KeyError."""
    embedder = Embedder(LocalVectorizer(FakeEncoder()))
    searcher = Searcher(vanishing, lambda: embedder.embed_texts(["red", "green", "blue"]).values)
    query = Query(embedder.embed_texts(["red"]).values[0], embedder.space, "text")
    assert len(searcher.search(query, limit=3)) == 2


def test_an_item_that_vanishes_is_named(vanishing: _Vanishing) -> None:
    """More like an item that has just been removed is an ItemNotFound."""
    with pytest.raises(ItemNotFound, match="'a'"):
        item_query(vanishing, "default", "a")
