"""`lookalike import`: vectors that were made elsewhere, in real files of every kind, beside their pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lookalike import Config, Embedder, Index
from lookalike.cli import main
from lookalike.errors import InputError, SpaceMismatch, StoreError
from lookalike.importing import Destination, Terms, take_in
from lookalike.sources.pictures import PictureFinder
from lookalike.sources.url import UrlPolicy, UrlReader
from lookalike.store.memory import MemoryStore
from lookalike.tables import VectorTable
from lookalike.transfer import open_pictures, open_table
from lookalike.types import Filter, Outcome, Rows
from tests.integration.picture_server import Behaviour, PictureServer
from tests.pictures import noise, write

N = 40


class Made:
    """Pictures, and vectors of them that somebody made with the built-in model."""

    def __init__(self, folder: Path) -> None:
        self.folder = write(folder, {f"{n % 3}/{n:03}.png": noise(n) for n in range(N)})
        self.paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
        self.rows = Embedder.open("tiny").embed_images([folder / path for path in self.paths]).values

    def array(self, folder: Path, values: Any = None, entries: list[dict[str, Any]] | None = None) -> VectorTable:
        """A table of them: a .npy with JSON lines beside it."""
        np.save(folder / "vectors.npy", self.rows if values is None else values)
        entries = entries or [{"path": path, "caption": f"noise of {path}", "colour": "grey"} for path in self.paths]
        (folder / "items.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return open_table(folder / "vectors.npy", items=folder / "items.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return replace(Config.from_environ(), model="tiny", index=tmp_path / "photos.lookalike")


def taken_in(config: Config, table: VectorTable, made: Made, **terms: Any) -> Any:
    opened = Index.open(config=config, write=True) if config.index.exists() else Index.create(config=config)
    with opened as index:
        return index.import_vectors(table, open_pictures(config, made.folder), Terms(**terms))


def lookalike(config: Config, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], obj=config)


def test_imported_vectors_are_the_indexs_own(made: Made, config: Config, tmp_path: Path) -> None:
    """Items, captions and metadata are there, each picture finds itself, and a second run changes nothing."""
    table = made.array(tmp_path, (made.rows * 7).astype(np.float16))
    first = taken_in(config, table, made)
    assert first.report.counts == {Outcome.STORED: N}
    assert first.check.n == N
    assert first.check.cosine_min > 0.9999
    assert first.n_unread == 0
    assert taken_in(config, table, made).report.counts == {Outcome.UNCHANGED: N}
    with Index.open(config=config) as index:
        item = index.item((made.folder / made.paths[5]).as_posix())
        assert (item.caption, item.metadata) == (f"noise of {made.paths[5]}", {"colour": "grey"})
        assert index.search(image=made.folder / made.paths[5], limit=1).hits[0].item == item
        assert index.stats().unchecked == 0


def test_indexing_the_folder_afterwards_embeds_nothing(made: Made, config: Config, tmp_path: Path) -> None:
    """An ingest of the same pictures finds them all, and what was said of them stays even when a file was touched."""
    pictures = Made(tmp_path / "pictures")
    entries = [{"id": f"sku-{n}", "path": path, "caption": "grey"} for n, path in enumerate(pictures.paths)]
    taken_in(config, pictures.array(tmp_path, entries=entries), pictures)
    (pictures.folder / pictures.paths[0]).touch()

    with Index.open(config=config, write=True) as index:
        report = index.ingest([pictures.folder])
        assert report.counts == {Outcome.UNCHANGED: N}
        assert index.stats().items == N
        assert index.item("sku-0").caption == "grey"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda rows: np.roll(rows, -1, axis=0), "agree with the next picture"),
        (lambda rows: np.roll(rows, 1, axis=0), "agree with the previous picture"),
        (lambda rows: rows[np.random.default_rng(1).permutation(N)], "in different orders"),
        (
            lambda rows: np.random.default_rng(1).standard_normal(rows.shape),
            "different models: most vectors have little in common",
        ),
        (lambda rows: rows + np.float32(0.01) * np.sign(rows), "Likely the precision"),
        (lambda rows: np.concatenate([-rows[:1], rows[1:]]), "these pictures have changed since"),
    ],
)
def test_vectors_that_are_not_the_models_are_refused_with_the_cause(
    made: Made, config: Config, tmp_path: Path, change: Any, cause: str
) -> None:
    """The check names the worst rows and what is likely wrong, and no row is written."""
    with pytest.raises(SpaceMismatch, match=cause) as caught:
        taken_in(config, made.array(tmp_path, change(made.rows)), made)
    assert ".png (" in str(caught.value)
    with Index.open(config=config) as index:
        assert index.stats().items == 0


def test_another_preprocessing_is_found_by_trying_it(config: Config, tmp_path: Path) -> None:
    """Vectors of photos that were not turned upright: the refusal names the cause, --orientation ignore mends it."""
    paths = [tmp_path / f"{n:02}.jpg" for n in range(12)]
    for n, path in enumerate(paths):
        path.write_bytes(turned(noise(n, size=(64, 32), kind="JPEG")))
    embedder = Embedder.open(config=replace(config, orientation="ignore"))
    np.save(tmp_path / "vectors.npy", embedder.embed_images(paths).values)
    (tmp_path / "items.txt").write_text("\n".join(map(str, paths)))
    arguments = ["import", tmp_path / "vectors.npy", "--items", tmp_path / "items.txt"]
    refused = lookalike(config, *arguments)
    assert refused.exit_code == 1
    assert "With EXIF's orientation ignored, tiny agrees with the table" in refused.output
    other = replace(config, index=tmp_path / "other")
    assert "12 stored" in lookalike(other, *arguments, "--orientation", "ignore").output


def turned(data: bytes) -> bytes:
    """The same photo, as of a camera that was held upright."""
    exif, file = Image.Exif(), BytesIO()
    exif[0x0112] = 6
    Image.open(BytesIO(data)).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


def test_what_was_not_checked_stays_known_as_that_until_it_is(made: Made, config: Config, tmp_path: Path) -> None:
    """Without pictures only --unchecked imports; an ingest then makes vectors of its own, which no import undoes."""
    table = made.array(tmp_path)
    nowhere = Made.__new__(Made)
    nowhere.folder = tmp_path / "nowhere"
    with pytest.raises(InputError, match=r"the pictures of 0 can be read .* --root; or .* --unchecked"):
        taken_in(config, table, nowhere)
    report = taken_in(config, table, made, unchecked=True)
    assert (report.check, report.n_unread) == (None, N)
    with Index.open(config=config, write=True) as index:
        assert index.stats().unchecked == N
        assert index.ingest([made.folder]).counts == {Outcome.STORED: N}
        assert (index.stats().items, index.stats().unchecked) == (N, 0)
        assert index.item((made.folder / made.paths[3]).as_posix()).caption == f"noise of {made.paths[3]}"
    assert taken_in(config, table, made, unchecked=True).report.counts == {Outcome.UNCHANGED: N}


def test_bad_rows_are_listed_and_the_others_imported(made: Made, config: Config, tmp_path: Path) -> None:
    """A row that is not finite, or all zeros, fails by name; the next run with better ones takes them in."""
    broken = made.rows.copy()
    broken[2, 5], broken[7], broken[9, 0] = np.nan, 0, np.inf
    report = taken_in(config, made.array(tmp_path, broken), made)
    assert report.report.counts == {Outcome.STORED: N - 3, Outcome.FAILED: 3}
    assert [Path(entry.item_id).name for entry in report.report.failures] == [
        Path(made.paths[n]).name for n in (2, 7, 9)
    ]
    with Index.open(config=config) as index:
        assert {entry.reason for entry in index.failures()} == {
            "its vector is all zeros.",
            "its vector has numbers that are not finite.",
        }
    again = taken_in(config, made.array(tmp_path), made)
    assert again.report.counts == {Outcome.UNCHANGED: N - 3, Outcome.STORED: 3}
    with Index.open(config=config) as index:
        assert list(index.failures()) == []


@pytest.mark.parametrize("factor", [1e20, 1e-25])
def test_rows_of_any_size_are_imported(made: Made, config: Config, tmp_path: Path, factor: float) -> None:
    """Only the direction of a vector counts, also where the squares of its numbers are more than float32 can hold."""
    report = taken_in(config, made.array(tmp_path, made.rows * np.float32(factor)), made)
    assert report.report.counts == {Outcome.STORED: N}
    assert report.check.cosine_min > 0.9999


def test_a_picture_that_is_elsewhere_goes_with_the_check_of_the_others(
    made: Made, config: Config, tmp_path: Path
) -> None:
    """Rows whose picture is not here are imported if the sample passes, filed under their vector."""
    entries = [{"path": path} for path in made.paths]
    entries[4] = {"path": "https://example.com/a.png"}
    report = taken_in(config, made.array(tmp_path, entries=entries), made)
    assert report.n_unread == 1
    assert report.check.unread == (("https://example.com/a.png", "is not on this machine, and is not fetched."),)
    with Index.open(config=config) as index:
        assert len(index.item("https://example.com/a.png").content) == 66
        assert index.stats().unchecked == 0


def test_pictures_by_url_are_read_for_the_check_where_that_is_allowed(
    made: Made, config: Config, tmp_path: Path
) -> None:
    """A table of URLs passes the check by fetching a sample; its vectors are filed under themselves."""

    def answer(path: str) -> Behaviour:
        return lambda handler: handler.answer(200, {"Content-Type": "image/png"}, (made.folder / path).read_bytes())

    with PictureServer({f"/{path}": answer(path) for path in made.paths}) as server:
        port = urlsplit(server.url).port
        policy = UrlPolicy(ports=frozenset({port or 0}), is_allowed=lambda _: True)
        table = made.array(tmp_path, entries=[{"url": f"{server.url}/{path}"} for path in made.paths])
        with Index.create(config=config) as index:
            pictures = PictureFinder(tmp_path, UrlReader(policy))
            report = index.import_vectors(table, pictures, Terms(sample=12))
    assert (report.check.n, report.n_unread) == (12, N) if report.check else False
    assert len(server.seen) == 12


def test_a_dry_run_knows_imported_items_by_their_ids(made: Made, config: Config, tmp_path: Path) -> None:
    """Files that were touched after an import with ids of its own: the survey says what the ingest then does."""
    folder = write(tmp_path / "own", {f"{n}.png": noise(n) for n in range(12)})
    paths = sorted(path.name for path in folder.iterdir())
    rows = Embedder.open("tiny").embed_images([folder / path for path in paths]).values
    table = made.array(tmp_path, rows, [{"id": f"sku {n}", "path": path} for n, path in enumerate(paths)])
    with Index.create(config=config) as index:
        index.import_vectors(table, open_pictures(config, folder), Terms())
        os.utime(folder / paths[3], (1, 1))
        assert +index.survey([folder]).counts == index.ingest([folder]).counts == {Outcome.UNCHANGED: 12}


@pytest.mark.parametrize("kind", ["csv", "txt", "npy"])
def test_items_beside_an_array(made: Made, config: Config, tmp_path: Path, kind: str) -> None:
    """CSV with a column that is named, and paths alone as text or as an array, say what the rows are of."""
    items = tmp_path / f"items.{kind}"
    if kind == "csv":
        rows = "".join(f'"{path}","a, b",{n}\n' for n, path in enumerate(made.paths))
        items.write_text(f"photo,title,size\n{rows}")
    elif kind == "txt":
        items.write_text("\n".join(made.paths))
    else:
        np.save(items, np.array(made.paths))
    made.array(tmp_path)
    columns = {"uri": ["photo"]} if kind == "csv" else {}
    report = taken_in(config, open_table(tmp_path / "vectors.npy", items=items, columns=columns), made)
    assert report.report.counts == {Outcome.STORED: N}
    if kind == "csv":
        with Index.open(config=config) as index:
            item = index.item((made.folder / made.paths[9]).as_posix())
            assert (item.caption, item.metadata) == ("a, b", {"size": "9"})


def test_an_empty_table_is_nothing_to_do(made: Made, config: Config, tmp_path: Path) -> None:
    """No rows, no items: no error, and nothing stored."""
    np.save(tmp_path / "vectors.npy", made.rows[:0])
    (tmp_path / "items.txt").write_text("")
    report = taken_in(config, open_table(tmp_path / "vectors.npy", items=tmp_path / "items.txt"), made)
    assert (report.n_rows, report.report.counts) == (0, {})


@pytest.mark.parametrize("fixed", [True, False])
def test_parquet(made: Made, config: Config, tmp_path: Path, fixed: bool) -> None:
    """Lists of fixed and of any length; a row without a vector, and one of another length, are failures."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'lookalike[parquet]'")
    pq = pytest.importorskip("pyarrow.parquet")
    vectors: list[Any] = made.rows.astype(np.float32).tolist()
    vectors[3] = None
    if not fixed:
        vectors[6] = vectors[6][:5]
    kind = pa.list_(pa.float32(), made.rows.shape[1]) if fixed else pa.list_(pa.float32())
    fields = {
        "embedding": pa.array(vectors, kind),
        "image_path": made.paths,
        "text": [None, *["a"] * (N - 1)],
        "year": [2000 + n for n in range(N)],
        "score": [float("nan")] * N,
    }
    table = pa.table(fields)
    (tmp_path / "parts").mkdir()
    pq.write_table(table.slice(0, 25), tmp_path / "parts" / "0.parquet", row_group_size=7)
    pq.write_table(table.slice(25), tmp_path / "parts" / "1.parquet")
    report = taken_in(config, open_table(tmp_path / "parts"), made)
    n_bad = 1 if fixed else 2
    assert report.report.counts == {Outcome.STORED: N - n_bad, Outcome.FAILED: n_bad}
    assert report.report.failures[0].reason == "has no vector."
    with Index.open(config=config) as index:
        item = index.item((made.folder / made.paths[30]).as_posix())
        assert (item.caption, item.metadata) == ("a", {"year": "2030"})


def test_odd_parquet_is_a_sentence_or_a_row(made: Made, config: Config, tmp_path: Path) -> None:
    """No rows, no vectors, a first vector of another length, two columns of one name, damage, parts of two types."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'lookalike[parquet]'")
    pq = pytest.importorskip("pyarrow.parquet")
    kind, place = pa.list_(pa.float32()), tmp_path / "odd.parquet"
    vectors: list[Any] = made.rows.tolist()
    table = pa.table({"embedding": pa.array(vectors, kind), "path": made.paths})

    def report_of(odd: Any) -> Any:
        pq.write_table(odd, place)
        return taken_in(config, open_table(place), made).report

    assert report_of(table.slice(0, 0)).counts == {}
    with pytest.raises(InputError, match="none of its rows has a vector"):
        report_of(pa.table({"embedding": pa.array([None] * N, kind), "path": made.paths}))
    with pytest.raises(InputError, match="two columns that are called 'path'"):
        report_of(table.append_column("path", pa.array(made.paths)))
    (failure,) = report_of(pa.table({"embedding": pa.array([[1.0], *vectors[1:]], kind), "path": made.paths})).failures
    assert failure.reason == "its vector has 1 numbers, the others 128."
    pq.write_table(table, place, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(place.read_bytes())
    data[data.index(made.rows[7].tobytes())] ^= 1
    place.write_bytes(data)
    with pytest.raises(InputError, match="is no Parquet file that can be read"):
        taken_in(config, open_table(place), made)
    (tmp_path / "parts").mkdir()
    pq.write_table(table.slice(0, 20), tmp_path / "parts" / "0.parquet")
    pq.write_table(pa.table({"embedding": ["x"], "path": ["y"]}), tmp_path / "parts" / "1.parquet")
    with pytest.raises(InputError, match=r"1.parquet: its column 'embedding' does not hold lists of numbers"):
        taken_in(config, open_table(tmp_path / "parts"), made)


def test_clip_retrieval(made: Made, config: Config, tmp_path: Path) -> None:
    """Its folder of arrays and of metadata about them, in the order of their numbers."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'lookalike[parquet]'")
    pq = pytest.importorskip("pyarrow.parquet")
    for folder in ("img_emb", "metadata"):
        (tmp_path / "out" / folder).mkdir(parents=True)
    for number, part in ((0, slice(0, 25)), (10, slice(25, N))):
        np.save(tmp_path / "out" / "img_emb" / f"img_emb_{number}.npy", made.rows[part].astype(np.float16))
        paths = [str(made.folder / path) for path in made.paths[part]]
        fields = {"image_path": paths, "caption": ["grey"] * len(paths), "width": [40] * len(paths)}
        pq.write_table(pa.table(fields), tmp_path / "out" / "metadata" / f"metadata_{number}.parquet")
    assert taken_in(config, open_table(tmp_path / "out"), made).report.counts == {Outcome.STORED: N}
    (tmp_path / "out" / "metadata" / "metadata_10.parquet").unlink()
    with pytest.raises(InputError, match=r"metadata_10.parquet: there is no such file"):
        open_table(tmp_path / "out")


@pytest.mark.parametrize("kind", ["vector", "halfvec", "real[]"])
def test_pgvector(made: Made, config: Config, tmp_path: Path, postgres_url: str, kind: str) -> None:
    """A table of a real server, with names that have to be quoted; a row without a vector is a failure."""
    import psycopg

    name, size = '"My ""shop"""."Pictures; --"', "" if kind == "real[]" else f"({made.rows.shape[1]})"
    rows = [row if kind == "real[]" else str(row) for row in made.rows.tolist()]
    values = [(n, path, None if n == 3 else rows[n]) for n, path in enumerate(made.paths)]
    with psycopg.connect(postgres_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute('CREATE SCHEMA IF NOT EXISTS "My ""shop"""')
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
        cursor.execute(f'CREATE TABLE {name} (sku int, "photo %s" text, "v""1" {kind}{size}, seen timestamptz)')
        cursor.executemany(f"INSERT INTO {name} VALUES (%s, %s, %s::{kind}, now())", values)  # noqa: S608
    columns = {"uri": ["photo %s"], "vector": ['v"1'], "metadata": ["sku"]}
    table = open_table(postgres_url, table=name, columns=columns)
    assert (table.n_rows, table.dim) == (N, made.rows.shape[1])
    report = taken_in(config, table, made)
    assert report.report.counts == {Outcome.STORED: N - 1, Outcome.FAILED: 1}
    with Index.open(config=config) as index:
        item = index.item("9")
        assert (item.uri, item.metadata) == ((made.folder / made.paths[9]).as_posix(), {"sku": "9"})
    with pytest.raises(InputError, match=r"no column 'nothing'; there are: sku, photo %s, v\"1, seen"):
        open_table(postgres_url, table=name, columns={"id": ["nothing"]})
    with pytest.raises(InputError, match="there is no such table"):
        open_table(postgres_url, table="nothing; DROP TABLE pictures")
    with pytest.raises(InputError, match="--table"):
        open_table(postgres_url)


def test_columns_of_a_database_that_are_no_facts(made: Made, config: Config, postgres_url: str) -> None:
    """A price becomes metadata; a date that Python does not know, JSON and arrays are not read; no rows, no error."""
    import psycopg

    rows = [(path, row) for path, row in zip(made.paths, made.rows.tolist(), strict=True)]
    with psycopg.connect(postgres_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS facts")
        cursor.execute(
            "CREATE TABLE facts (path text, embedding real[], price numeric DEFAULT 9.90, seen date DEFAULT 'infinity',"
            " more jsonb DEFAULT '{}', tags text[] DEFAULT '{a}')"
        )
        assert taken_in(config, open_table(postgres_url, table="facts"), made).report.counts == {}
        cursor.executemany("INSERT INTO facts VALUES (%s, %s)", rows)
    taken_in(config, open_table(postgres_url, table="facts"), made)
    with Index.open(config=config) as index:
        assert index.item((made.folder / made.paths[9]).as_posix()).metadata == {"price": "9.90"}


def test_a_database_that_is_not_there_is_an_error() -> None:
    """Nobody listens: a sentence, without the password."""
    with pytest.raises(StoreError, match="cannot be read") as caught:
        open_table("postgresql://me:secret-word@127.0.0.1:1/shop", table="pictures")
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"path": "a.png"}] * (N - 1), "40 rows, and the list of items 39"),
        ([{"path": f"{n}.png"} for n in range(N + 2)], "40 rows, and the list of items 42"),
        ([{"path": f"{n // 2}.png"} for n in range(N)], "20 rows have a name that another row .* '0.png'"),
        ([{"path": f"{'./' * (n % 2)}0/{n // 6 * 3:03}.png"} for n in range(N)], "33 rows have a name that another"),
        ([{"path": "a.png"}, {"title": "b"}], "items.jsonl, line 2: has neither a column with the items' ids"),
        ([{"title": "a"}] * N, "neither a column with the items' ids nor .* There are: title"),
        ([{"path": f"{n}.png"} for n in range(N - 1)] + [{"path": ""}], "row 39 has neither an id nor"),
    ],
)
def test_a_list_of_items_that_does_not_fit_is_refused(
    made: Made, config: Config, tmp_path: Path, entries: list[dict[str, Any]], message: str
) -> None:
    """Too few, too many, two of one name, no names: a sentence, before anything is written."""
    with pytest.raises(InputError, match=message):
        taken_in(config, made.array(tmp_path, entries=entries), made, unchecked=True)
    with Index.open(config=config) as index:
        assert index.stats().items == 0


def test_the_command(made: Made, config: Config, tmp_path: Path) -> None:
    """A dry run writes nothing; a run tells what it did, as text and as JSON, and `stats` what was not checked."""
    made.array(tmp_path)
    arguments = ["import", tmp_path / "vectors.npy", "--items", tmp_path / "items.jsonl", "--root", made.folder]
    dry = lookalike(config, *arguments, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "checked 40 rows: cosine at least 1.000000" in dry.output
    assert "Nothing was written." in dry.output
    assert not config.index.exists()
    document = json.loads(lookalike(config, *arguments, "--json").stdout)
    assert {name: document[name] for name in ("rows", "stored", "failed", "unread", "items")} == {
        "rows": N,
        "stored": N,
        "failed": 0,
        "unread": 0,
        "items": N,
    }
    assert "40 unchanged" in lookalike(config, *arguments).output
    other = replace(config, index=tmp_path / "other")
    assert "40 vectors were not checked" in lookalike(other, *arguments, "--unchecked").output
    assert "unchecked 40 vectors" in lookalike(other, "stats").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npy", "--items", "items.txt"], "there is no such file"),
        (["vectors.npy"], "name the file that does with --items"),
        (["vectors.npy", "--items", "nowhere.csv"], "nowhere.csv: there is no such file with the items"),
        (["vectors.npy", "--items", "items.doc"], "has to end in .jsonl"),
        (["vectors.npy", "--items", "objects.npy"], "is no array that NumPy wrote without pickle"),
        (["vectors.npy", "--items", "vectors.npy"], "is no array of texts but float32"),
        (["vectors.npy", "--items", "broken.jsonl"], "broken.jsonl: line 2 is no JSON object"),
        (["vectors.npy", "--items", "deep.jsonl"], "deep.jsonl: line 1 is no JSON object"),
        (["vectors.npy", "--items", "twice.csv"], "twice.csv: has two columns that are called 'path'"),
        (["vectors.npy", "--items", "latin.csv"], "latin.csv: is not UTF-8"),
        (["nowhere.parquet"], "there is no such file or folder"),
        (["items.txt"], "is no table of vectors that is known by its name"),
        (["flat.npy", "--items", "items.txt"], "is not an array of (rows, numbers)"),
        (["cut.npy", "--items", "items.txt"], "or is cut off"),
        (["wide.npy", "--items", "items.txt"], "these vectors have 768 numbers, the model's 128"),
        (["vectors.npy", "--items", "items.txt", "--column", "price=a"], "is not ROLE=NAME"),
    ],
)
def test_what_cannot_be_imported_is_a_sentence(
    made: Made, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """No traceback, whatever is handed in."""
    monkeypatch.chdir(tmp_path)
    np.save("vectors.npy", made.rows)
    np.save("flat.npy", made.rows[0])
    np.save("wide.npy", np.ones((N, 768), np.float32))
    Path("cut.npy").write_bytes(Path("vectors.npy").read_bytes()[:1000])
    Path("items.txt").write_text("\n".join(made.paths))
    Path("items.doc").write_text("")
    Path("broken.jsonl").write_text('{"path": "a"}\n{"path": \n')
    Path("deep.jsonl").write_text("[" * 100_000)
    Path("twice.csv").write_text("path,path\na,b\n")
    Path("latin.csv").write_bytes("path\ncaf\xe9".encode("latin-1"))
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    result = lookalike(config, "import", *arguments)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.output.split())
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert not config.index.exists()


def test_a_refused_table_leaves_no_new_index_behind(made: Made, config: Config, tmp_path: Path) -> None:
    """Vectors that fail the check: the model's name is not taken by an empty index."""
    made.array(tmp_path, np.roll(made.rows, 1, axis=0))
    arguments = ["import", tmp_path / "vectors.npy", "--items", tmp_path / "items.jsonl", "--root", made.folder]
    refused = lookalike(config, *arguments)
    assert refused.exit_code == 1
    assert "out of step by one" in refused.output
    assert not config.index.exists()
    made.array(tmp_path)
    assert "40 stored" in lookalike(replace(config, model="auto"), *arguments).output


def test_a_sample_without_vectors_is_no_check(made: Made, config: Config, tmp_path: Path) -> None:
    """Where the sampled rows are all bad, nothing says what made the others: they are not taken as checked."""
    rows = np.array(made.rows)
    rows[np.linspace(0, N - 1, 12).round().astype(int)] = 0
    with pytest.raises(InputError, match="Of 12 sampled rows 0 have a vector that can be used"):
        taken_in(config, made.array(tmp_path, rows), made, sample=12)


class _Compacted(MemoryStore):
    """Another process gives back what no item uses, as soon as this one was told what is stored."""

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        found = super().vectors(contents)
        self.compact()
        return found


def test_a_compaction_beside_an_import_loses_nothing(made: Made, tmp_path: Path) -> None:
    """Rows whose vectors were stored when they were looked up, and no more when written, bring theirs."""
    table = made.array(tmp_path)
    store = _Compacted(Embedder.open("tiny").space)
    to = Destination(store=store, ledger=store.ledger, pictures=PictureFinder(made.folder))
    for _ in range(2):
        store.delete([(item.project, item.id) for item in store.items(Filter())])
        report = take_in(table, to, None, Terms()).report
        assert report.counts == {Outcome.STORED: N}
        assert store.n_items == N


def test_blank_lines_are_no_items(made: Made, config: Config, tmp_path: Path) -> None:
    """An empty line at the end of a list, or between its lines, is left out."""
    made.array(tmp_path)
    (tmp_path / "items.txt").write_text("\n" + "\n\n".join(made.paths) + "\n\n")
    lines = (tmp_path / "items.jsonl").read_text()
    (tmp_path / "items.jsonl").write_text(lines.replace("\n", "\r\n\r\n"))
    for items in ("items.txt", "items.jsonl"):
        table = open_table(tmp_path / "vectors.npy", items=tmp_path / items)
        assert taken_in(config, table, made).n_rows == N
