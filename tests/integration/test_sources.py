"""Buckets and tables from the command line, and what becomes of projects, captions and rows that change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Embedder, Index
from lookalike.cli import main
from tests.buckets import Bucket
from tests.pictures import noise, picture, write
from tests.postgres import NewDatabase

TABLE = "customer_photos"


class Shop:
    """A bucket, a table that knows its pictures, and an index of the built-in model."""

    def __init__(self, bucket: Bucket, url: str, connection: Any, folder: Path) -> None:
        self.bucket = bucket
        self.connection = connection
        self.variables = {
            **bucket.variables,
            "DATABASE_URL": url,
            "LOOKALIKE_INDEX": str(folder / "photos.lookalike"),
            "LOOKALIKE_CACHE_DIR": str(folder / "cache"),
            "LOOKALIKE_MODEL": "tiny",
        }
        connection.execute(
            "CREATE TABLE customer_photos (id bigserial PRIMARY KEY, customer_id text, storage_path text, room text, "
            "caption text, email text, updated_at timestamptz DEFAULT now())"
        )

    def add(self, path: str | None, *, customer: str = "ann", room: str = "hall", data: bytes | None = None) -> str:
        if path and data:
            self.bucket.put({path: data})
        row = self.connection.execute(
            "INSERT INTO customer_photos (customer_id, storage_path, room, caption, email) "
            "VALUES (%s, %s, %s, %s, 'hush@example.com') RETURNING id",
            (customer, path, room, f"a {room}"),
        ).fetchone()
        return str(row[0])

    def execute(self, statement: str, *values: str) -> None:
        self.connection.execute(statement, values)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments], env=self.variables)

    def index(self, *more: str) -> dict[str, Any]:
        columns = [f"--column={column}" for column in ("project=customer_id", "metadata=room", *more)]
        done = self.run("index", "--table", TABLE, *columns, "--root", self.bucket.place, "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        return {key: value for key, value in told.items() if value and key not in ("elapsed_s", "space")}

    def items(self) -> dict[tuple[str, str], Any]:
        with Index.open(config=Config.from_environ(self.variables)) as index:
            return {(item.project, item.id): item for item in index.items()}


@pytest.fixture
def shop(bucket: Bucket, new_database: NewDatabase, tmp_path: Path) -> Iterator[Shop]:
    import psycopg

    url = new_database().reveal()
    with psycopg.connect(url, autocommit=True) as connection:
        yield Shop(bucket, url, connection, tmp_path)


def test_a_bucket_is_indexed_as_a_folder_is(shop: Shop) -> None:
    """Told first, then done, then nothing; a mistyped place is an error, and what is forgotten is gone."""
    shop.bucket.put({"2026/a.png": noise(1), "2026/b.png": noise(2), "2026/.x.png": b"x", "2026/notes.txt": b"x"})
    place = f"{shop.bucket.place}2026"
    told = shop.run("index", place, "--dry-run")
    assert "new         2 pictures" in told.output, told.output
    done = shop.run("index", place)
    assert "2 stored" in done.output and "1 other files were left alone" in done.output, done.output
    assert shop.items().keys() == {("default", f"{place}/a.png"), ("default", f"{place}/b.png")}
    shop.bucket.delete("2026/b.png")
    assert "1 unchanged, 1 removed" in shop.run("index", place).output
    assert shop.run("index", f"{shop.bucket.place}2062/").output.endswith(
        "there is nothing there; check the spelling.\n"
    )
    assert "Removed 1 item from" in shop.run("forget", place).output
    assert shop.items() == {}


def test_rows_become_items_of_their_projects(shop: Shop) -> None:
    """With the id, the caption and the facts that were asked for; nothing else of the table is copied."""
    first = shop.add("ann/1.png", data=noise(1), room="kitchen")
    second = shop.add("/bob/1.png", customer="bob")
    shop.bucket.put({"bob/1.png": noise(1)})
    shop.add(None)
    assert shop.index() == {"stored": 1, "duplicate": 1, "items": 2}
    items = shop.items()
    assert items.keys() == {("ann", first), ("bob", second)}
    item = items["ann", first]
    assert (item.uri, item.caption, dict(item.metadata)) == (
        f"{shop.bucket.place}ann/1.png",
        "a kitchen",
        {"file_type": "png", "room": "kitchen"},
    )
    assert items["bob", second].uri == f"{shop.bucket.place}bob/1.png"


def test_rows_that_change_move_and_go(shop: Shop) -> None:
    """A new fact is taken over without the model, another project moves the item, a deleted row takes it along."""
    first, second, third = (shop.add(f"{n}.png", data=noise(n)) for n in range(3))
    shop.index()
    shop.execute("UPDATE customer_photos SET room = 'attic' WHERE id = %s", first)
    shop.execute("UPDATE customer_photos SET customer_id = 'eve' WHERE id = %s", second)
    shop.execute("DELETE FROM customer_photos WHERE id = %s", third)
    assert shop.index() == {"unchanged": 1, "duplicate": 1, "removed": 2, "items": 2}
    items = shop.items()
    assert items.keys() == {("ann", first), ("eve", second)}
    assert dict(items["ann", first].metadata) == {"file_type": "png", "room": "attic"}
    assert shop.index() == {"unchanged": 2, "items": 2}


def test_a_picture_that_was_replaced_is_noticed_by_its_stamp(shop: Shop) -> None:
    """The column of the time of a change says so; without one, the path is the same and so is the picture."""
    row = shop.add("a.png", data=noise(1))
    shop.index()
    shop.bucket.put({"a.png": picture("red")})
    assert shop.index() == {"unchanged": 1, "items": 1}
    shop.execute("UPDATE customer_photos SET updated_at = updated_at + interval '1 second' WHERE id = %s", row)
    assert shop.index()["stored"] == 1


def test_what_was_deleted_from_the_index_comes_back_with_its_row(shop: Shop) -> None:
    """The table has the last word on what there is."""
    row = shop.add("a.png", data=noise(1))
    shop.index()
    assert "Removed 1 item from" in shop.run("forget", row, "--project", "ann").output
    shop.index()
    assert shop.items().keys() == {("ann", row)}


def test_rows_reach_nothing_but_the_bucket(shop: Shop, tmp_path: Path) -> None:
    """Whoever may write a row must not make the index read files of the machine, or other buckets."""
    (tmp_path / "secret.png").write_bytes(noise(1))
    for path in (f"file://{tmp_path}/secret.png", "s3://others/a.png", "../others/a.png", f"{tmp_path}/secret.png"):
        shop.add(path)
    told = shop.index()
    assert set(told) == {"failed", "failures"}
    assert [failure["reason"].partition(",")[0] for failure in told["failures"]] == [
        f"is outside of {shop.bucket.place}",
        f"is outside of {shop.bucket.place}",
        "has a name that cannot be asked for: '.'",
        "is not there.",
    ]


def test_rows_reach_no_file_outside_of_the_root(shop: Shop, tmp_path: Path) -> None:
    """Nor below a folder: what is beside it is somebody else's."""
    write(tmp_path, {"photos/a.png": noise(1), "private/b.png": noise(2)})
    for path in ("a.png", "../private/b.png", str(tmp_path / "private" / "b.png"), f"{shop.bucket.place}c.png"):
        shop.add(path)
    done = shop.run("index", "--table", TABLE, "--root", str(tmp_path / "photos"), "--json")
    told = json.loads(done.stdout)
    assert (told["stored"], told["failed"]) == (1, 3)
    assert {"is outside of" in failure["reason"] for failure in told["failures"]} == {True}
    assert {item.uri for item in shop.items().values()} == {str(tmp_path / "photos" / "a.png")}


def test_rows_that_nothing_tells_apart_are_told(shop: Shop) -> None:
    """One of them would take the place of the other; those with an id of their own are taken."""
    for path in ("a.png", "a.png", "b.png"):
        shop.add(path, data=noise(1))
    told = shop.index("id=storage_path")
    assert (told["stored"], told["failed"]) == (1, 2)
    assert "another row has the same 'storage_path'" in told["failures"][0]["reason"]
    assert shop.items().keys() == {("ann", "b.png")}


def test_a_table_that_shows_no_rows_removes_nothing(shop: Shop) -> None:
    """That is what a role sees whom row-level security keeps out; the warning says how to remove them all the same."""
    shop.add("a.png", data=noise(1))
    shop.index()
    shop.execute("DELETE FROM customer_photos")
    told = shop.index()
    assert told["items"] == 1
    _, forget, place = told["warnings"][0].rpartition("lookalike forget ")
    assert forget and place.startswith("postgresql://") and "not-asked-for" not in place
    assert "Removed 1 item from" in shop.run("forget", place, "--project", "ann").output
    assert shop.items() == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--table", "nowhere"], "there is no such table"),
        (["--table", TABLE, "--column", "uri=nothing"], "has no column 'nothing'"),
        (["--table", TABLE, "--column", "stamp=nothing"], "has no column 'nothing'"),
        (["--column", "uri=path"], "name that too"),
        ([], "Name a folder, a picture or a bucket"),
    ],
)
def test_a_mistaken_command_says_what_is_wrong(shop: Shop, arguments: list[str], sentence: str) -> None:
    """Before anything is read or written."""
    done = shop.run("index", *arguments)
    assert done.exit_code != 0
    assert sentence in done.output


def test_the_index_may_be_in_the_database_of_the_table(shop: Shop) -> None:
    """Then that database need not be named twice; projects, removals and all else are the same."""
    first, second = shop.add("1.png", data=noise(1)), shop.add("2.png", data=noise(2), customer="bob")
    shop.variables["LOOKALIKE_INDEX"] = shop.variables.pop("DATABASE_URL")
    assert shop.index() == {"stored": 2, "items": 2}
    shop.execute("UPDATE customer_photos SET customer_id = 'bob' WHERE id = %s", first)
    shop.execute("DELETE FROM customer_photos WHERE id = %s", second)
    assert shop.index() == {"duplicate": 1, "removed": 2, "items": 1}
    assert shop.items().keys() == {("bob", first)}


def test_a_table_without_a_database_is_told(shop: Shop) -> None:
    """By the variable that is missing."""
    shop.variables["DATABASE_URL"] = ""
    done = shop.run("index", "--table", TABLE)
    assert (done.exit_code, done.output.partition(" to ")[0]) == (1, "Error: Set DATABASE_URL")


def test_imported_vectors_are_checked_against_pictures_in_a_bucket(shop: Shop, tmp_path: Path) -> None:
    """By paths below it; an item has the picture's address, by which indexing the bucket finds it again."""
    pictures = {f"rooms/{n}.png": noise(n) for n in range(4)}
    shop.bucket.put(pictures)
    config = Config.from_environ(shop.variables)
    np.save(tmp_path / "vectors.npy", Embedder.open(config=config).embed_images([*pictures.values()]).values)
    (tmp_path / "paths.txt").write_text("\n".join(pictures))
    done = shop.run(
        *("import", str(tmp_path / "vectors.npy"), "--items", str(tmp_path / "paths.txt")),
        *("--root", shop.bucket.place, "--json"),
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["stored"], told["check"]["n"]) == (4, 4)
    assert {item.uri for item in shop.items().values()} == {f"{shop.bucket.place}{key}" for key in pictures}
    assert shop.run("index", shop.bucket.place, "--json").exit_code == 0
    assert {item.content for item in shop.items().values()} == {sha256(data).hexdigest() for data in pictures.values()}
