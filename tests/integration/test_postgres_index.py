"""An index in PostgreSQL is used as one in a folder is: by the commands, by Python and by the service."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Index, Part
from lookalike.cli import main
from lookalike.encoders.fake import COLOURS
from lookalike.places import Address, place_of
from lookalike.store.postgres import store as production
from lookalike.types import Filter
from tests.catalogued import EMBEDDER, catalogue, collection, put
from tests.postgres import NewDatabase, with_password
from tests.serving import InlineService, serving
from training.catalogue import write_catalogue

PASSWORD = "hush-hush"
N_PICTURES = 12


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered catalogue, with a copy and a broken file."""
    folder = tmp_path_factory.mktemp("catalogue")
    write_catalogue(folder, count=N_PICTURES, seed=5, size_px=96)
    first = sorted(folder.iterdir())[0]
    shutil.copy(first, folder / "copy.jpg")
    (folder / "broken.jpg").write_bytes(first.read_bytes()[:500])
    return folder


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    """The address of an empty place for an index, with a password in it."""
    return with_password(new_database(), PASSWORD).reveal()


def run(url: str, *arguments: str, config: Config | None = None) -> Result:
    """One command, as the shell would run it."""
    own = config or replace(Config.from_environ(), model="tiny")
    return CliRunner().invoke(main, [*arguments, "--index", url], obj=own)


def test_the_commands_work_as_with_a_folder(url: str, pictures: Path) -> None:
    """Indexing, again, searching, similar, duplicates, stats, forgetting; and no output shows the password."""
    said = [run(url, "index", str(pictures), "--json")]
    first = json.loads(said[0].stdout)
    assert (first["stored"], first["duplicate"], first["failed"]) == (N_PICTURES, 1, 1)
    said.append(run(url, "index", str(pictures), "--json"))
    again = json.loads(said[1].stdout)
    assert (again["unchanged"], again["stored"], again["failed"]) == (N_PICTURES + 1, 0, 1)
    item = (pictures / "copy.jpg").as_posix()
    for arguments in (["search", "a red shirt"], ["search", item], ["similar", item], ["duplicates", "--near"]):
        said.append(run(url, *arguments))
        assert said[-1].exit_code == 0, said[-1].output
    held = json.loads(run(url, "stats", "--failures", "--json").stdout)
    assert (held["items"], held["contents"], len(held["failures"])) == (N_PICTURES + 1, N_PICTURES, 1)
    said += [run(url, "stats"), run(url, "forget", item), run(url, "forget", "nothing"), run(url, "doctor")]
    assert "Removed 1 item from" in said[-3].output
    assert "every item with its vector" in said[-1].output
    assert "postgresql://127.0.0.1" in said[-4].output
    assert not [one.output for one in said if PASSWORD in one.output or PASSWORD in str(one.exception)]


def test_python_finds_what_a_folder_finds(url: str, pictures: Path, tmp_path: Path) -> None:
    """The same pictures in both: the same hits, in the same order, with the same confidence."""
    config = replace(Config.from_environ(), model="tiny", index=tmp_path / "photos.lookalike")
    with Index.create(url, config=config) as production, Index.create(config=config) as embedded:
        for index in (production, embedded):
            index.ingest([pictures])
        example = sorted(pictures.glob("0*.jpg"))[3]
        for parts in ([Part(text="a red dress")], [Part(image=example)], [Part(image=example), Part(text="blue")]):
            mine, theirs = (index.find(index.query(parts), limit=8) for index in (production, embedded))
            assert mine.considered == theirs.considered
            assert [hit.item for hit in mine] == [hit.item for hit in theirs]
            for one, other in zip(mine, theirs, strict=True):
                assert one.similarity == pytest.approx(other.similarity, abs=1e-3)
                assert one.confidence == pytest.approx(other.confidence, abs=0.02)
        assert production.compact() == 0
        assert production.delete([(pictures / "copy.jpg").as_posix()]) == 1
    with Index.open(url, config=config) as again:
        assert again.stats().items == N_PICTURES


def test_a_setting_keeps_the_vectors_in_memory(url: str, tmp_path: Path) -> None:
    """LOOKALIKE_MIRROR: who opens the index to search reads its vectors, and finds the same; who writes does not."""
    assert Config.from_environ({"LOOKALIKE_MIRROR": "1"}).mirror
    own, place = catalogue(tmp_path), Address(url)
    with production.create(place, EMBEDDER.space) as store:
        for path in sorted(own.folder.iterdir()):
            put(store, path)
    config = replace(own.config, index=place, mirror=True)
    with (
        Index.open(config=config, embedder=EMBEDDER) as index,
        Index.open(config=config, embedder=EMBEDDER, write=True) as writer,
    ):
        there = writer.search(text="something red", limit=3)
        for reading in threading.enumerate():
            if reading.name == "lookalike-mirror":
                reading.join()
        here = index.search(text="something red", limit=3)
        assert [hit.item for hit in here] == [hit.item for hit in there]
        for one, in_memory in ((index, True), (writer, False)):
            assert isinstance(one._store, production.PostgresStore)
            plan = one._store.finder.plan(index.query([Part(text="red")]).vector, limit=1, where=Filter())
            assert plan.in_memory == in_memory


def test_the_service_searches_it(url: str, tmp_path: Path) -> None:
    """Over HTTP as from a folder: words, filters, items; figures, in which there is no password."""
    own = catalogue(tmp_path)
    place = Address(url)
    with production.create(place, EMBEDDER.space) as store:
        for path in sorted(own.folder.iterdir()):
            put(store, path, project="warm" if path.stem in ("red", "yellow") else "default")
    service = InlineService(EMBEDDER)
    of = replace(own, config=replace(own.config, index=place))
    with collection(of, service) as behind, serving(service, index=behind) as running:
        asked = {"text": "something red", "limit": 3}
        hits = running.client.post("/search/images", json=asked).json()["hits"]
        assert hits[0]["item"]["id"] == own.path("red")
        assert running.client.get(hits[0]["item"]["picture"]).status_code == 200
        filtered = running.client.post("/search/images", json={**asked, "project": "warm"}).json()
        assert {hit["item"]["project"] for hit in filtered["hits"]} == {"warm"}
        assert filtered["considered"] == 2
        figures = running.client.get("/stats").text + running.client.get("/metrics").text
        assert str(len(COLOURS)) in figures
        assert PASSWORD not in figures
    service.close(drain_s=0)


def test_a_database_without_an_index_is_told(url: str) -> None:
    """A sentence that says what to do, as for a folder; the same where the database cannot be reached."""
    nothing = run(url, "search", "a cat")
    assert nothing.exit_code == 1
    assert "There is no index in postgresql://127.0.0.1/postgres. Make one: lookalike index FOLDER" in nothing.output
    unreachable = run(f"postgresql://me:{PASSWORD}@127.0.0.1:1/db", "stats")
    assert unreachable.exit_code == 1
    assert "postgresql://127.0.0.1/db cannot be reached" in unreachable.output
    assert PASSWORD not in unreachable.output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hush@host:5433/db", "postgresql://host:5433/db"),
        ("postgres://host/db", "postgresql://host/db"),
        ("postgresql://me:hush@host/db?sslpassword=hush&x=a@b", "postgresql://host/db"),
        ("postgresql://me:hu?hush@host/db", "postgresql://"),
        ("postgresql://me:hu/hush@host/db", "postgresql://host/db"),
        ("postgresql://me:hu#hush@hush@host/db", "postgresql://host/db"),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    """Neither printed nor in a configuration's repr; and it reaches another process whole."""
    address = place_of(url)
    assert isinstance(address, Address)
    assert str(address) == shown
    assert "hush" not in f"{address!r} {replace(Config.from_environ(), index=address)!r}"
    assert pickle.loads(pickle.dumps(address)).reveal() == url  # noqa: S301
