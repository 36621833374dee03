"""A team's own table from end to end: attached, searched, written and measured by commands and over HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Embedder, Index
from lookalike.cli import main
from lookalike.places import Address
from lookalike.sources.rows import RowSource
from lookalike.store.postgres.rows import text_of
from lookalike.types import Outcome, Rows, SourceObject
from tests.attached import attached, sql
from tests.catalogued import EMBEDDER, catalogue, collection
from tests.contract.test_store_attached import PLAIN
from tests.postgres import new_databases, with_password
from tests.serving import InlineService, serving
from training.catalogue import write_catalogue

pytest.importorskip("psycopg")

PASSWORD = "hush-hush"
N = 14
CONFIG = replace(Config.from_environ({}), model="tiny")
COLUMNS = ["--id", "id", "--vector", "embedding", "--uri", "storage_path"]
TEAMS = """
CREATE TABLE customer_photos (
    id bigint PRIMARY KEY, shop_id int NOT NULL, storage_path text NOT NULL, title text, sha256 text,
    colour text, created timestamptz NOT NULL DEFAULT now(), embedding vector({dim})
)
"""


@dataclass(frozen=True)
class Team:
    """A team's database, with photos of two shops and their vectors.

    Attributes:
        address: Of the database.
        folder: Where the photos are.
        names: Of the files; the first has id 1.
        rows: Their vectors.
    """

    address: Address
    folder: Path
    names: list[str]
    rows: Rows

    @property
    def table(self) -> Address:
        """The address of its table."""
        return self.address.at("customer_photos")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Rows]:
    """A folder of pictures, their names and vectors."""
    folder = tmp_path_factory.mktemp("bucket")
    write_catalogue(folder, count=N, seed=7, size_px=96)
    paths = sorted(folder.glob("*.jpg"))
    rows = Embedder.open(config=CONFIG).embed_images([path.read_bytes() for path in paths]).values
    return folder, [path.name for path in paths], rows


@pytest.fixture
def team(postgres_url: str, photos: tuple[Path, list[str], Rows]) -> Iterator[Team]:
    """A team's database."""
    with new_databases(postgres_url) as make:
        team = Team(Address(with_password(make(), PASSWORD).reveal()), *photos)
        sql(team.address, TEAMS.format(dim=team.rows.shape[1]), *insert(team, team.rows))
        yield team


def insert(team: Team, rows: Rows) -> Iterator[str]:
    """Statements that put these vectors into the team's table."""
    into = "INSERT INTO customer_photos (id, shop_id, storage_path, title, embedding) VALUES"
    for n, (name, row) in enumerate(zip(team.names, rows, strict=True)):
        yield f"{into} ({n + 1}, {7 + n % 2}, '{name}', 'Photo {n}', '{text_of(row)}')"


def run(place: Address, *arguments: str | Path) -> Result:
    """One command, as the shell would run it."""
    words = [*map(str, arguments), "--index", place.reveal()]
    answer = CliRunner().invoke(main, words, obj=CONFIG)
    assert PASSWORD not in answer.output
    return answer


def attach(team: Team, *more: str) -> Result:
    """The command that attaches the table."""
    given = ["--project", "shop_id", "--caption", "title", "--metadata", "colour", "--root", str(team.folder)]
    return run(team.address, "db", "attach", "customer_photos", *COLUMNS, *given, *more)


def test_a_table_is_attached_searched_and_left_as_it_is(team: Team) -> None:
    """Attaching compares and counts; then words and examples find rows by project, and not a byte of them changes."""
    before = sql(team.address, "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM customer_photos AS t")
    said = attach(team)
    assert said.exit_code == 0, said.output
    assert f"checked   {N} rows: cosine at least 1.000" in said.output
    assert f"{N} with a vector of tiny" in said.output
    assert "stays, without its vector" in said.output
    assert "#customer_photos" in said.output
    found = json.loads(run(team.table, "search", "a red shirt", "--json", "--limit", "3").stdout)
    assert len(found["hits"]) == 3
    similar = json.loads(run(team.table, "search", str(team.folder / team.names[4]), "--json", "--limit", "1").stdout)
    hit = similar["hits"][0]
    assert (hit["id"], hit["project"], hit["caption"]) == ("5", "7", "Photo 4")
    assert hit["similarity"] == pytest.approx(1, abs=1e-4)
    stats = json.loads(run(team.table, "stats", "--json").stdout)
    assert (stats["items"], stats["projects"]) == (N, {"7": N // 2, "8": N // 2})
    for command in (["doctor"], ["duplicates"], ["db", "check"], ["db", "attached"]):
        assert run(team.table, *command).exit_code == 0
    after = sql(team.address, "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM customer_photos AS t")
    assert after == before


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda rows: rows[np.random.default_rng(1).permutation(N)], "in different orders"),
        (lambda rows: np.random.default_rng(1).standard_normal(rows.shape), "have little in common"),
        (np.zeros_like, "nothing"),
    ],
)
def test_what_is_not_the_models_is_not_attached(team: Team, spoil: object, says: str) -> None:
    """Other vectors are refused with the likely cause, and nothing is on record; where nothing can be said it is."""
    sql(team.address, "DELETE FROM customer_photos", *insert(team, spoil(team.rows)))  # type: ignore[operator]
    said = attach(team)
    assert says in said.output
    if says == "nothing":
        assert "all zeros" in said.output
    else:
        assert said.exit_code == 1
        assert run(team.table, "stats").exit_code == 1
        assert sql(team.address, "SELECT to_regclass('lookalike_attached')") == [(None,)]


def test_a_model_may_be_stated(team: Team) -> None:
    """Without pictures a check is refused, --unchecked believes what is said, and the table remembers that."""
    gone = run(team.address, "db", "attach", "customer_photos", *COLUMNS, "--root", "/nowhere")
    assert gone.exit_code == 1
    assert "--unchecked" in gone.output
    assert attach(team, "--unchecked").exit_code == 0
    assert json.loads(run(team.table, "stats", "--json").stdout)["unchecked"] == N
    sql(team.address, "CREATE TABLE short (id int PRIMARY KEY, embedding vector(3))")
    short = run(team.address, "db", "attach", "short", *COLUMNS[:4], "--unchecked")
    assert "made by another model" in short.output
    listed = json.loads(run(team.address, "db", "attached", "--json").stdout)
    assert [(one["name"], one["is_checked"], one["metadata"]) for one in listed] == [
        ("customer_photos", False, ["colour"])
    ]
    assert run(team.address, "db", "detach", "customer_photos").exit_code == 0
    again = run(team.table, "search", "a cat")
    assert again.exit_code == 1
    assert "lookalike db attach customer_photos" in again.output


def test_rows_are_written_by_python(team: Team) -> None:
    """Where ids are numbers a folder cannot be indexed, and each file says why; what fits is written, and only that."""
    assert attach(team, "--content", "sha256").exit_code == 0
    config = replace(CONFIG, index=team.table, project="7")
    data = (team.folder / team.names[1]).read_bytes()
    with Index.open(config=config, write=True) as index:
        item = replace(index.item("1"), content=hashlib.sha256(data).hexdigest(), caption="New", metadata={})
        index._store.add([item], [item.content], team.rows[1:2])
        assert index.search(item="1", limit=1).hits[0].item.project == "8"
        assert index.item("1") == item
        assert set(index.ingest([team.folder]).counts) == {Outcome.FAILED}
        reasons = [entry.reason for entry in index.failures()]
        assert reasons
        assert all("cannot be kept in column id" in reason for reason in reasons)
        assert index.delete(["1", "2"]) == 1
    rows = sql(team.address, "SELECT title, sha256, embedding IS NULL FROM customer_photos WHERE id < 3 ORDER BY id")
    assert rows == [("New", item.content, True), ("Photo 1", None, False)]
    said = run(team.table, "db", "check")
    assert "1 have none" in said.output


def test_a_folder_is_indexed_into_a_table_of_names(team: Team) -> None:
    """A table whose ids are texts takes a folder as an index does, finds it unchanged, and what is forgotten goes."""
    sql(
        team.address, f"CREATE TABLE photos (id text PRIMARY KEY, path text, sha text, v halfvec({team.rows.shape[1]}))"
    )
    named = ["--id", "id", "--vector", "v", "--uri", "path", "--content", "sha", "--may-delete"]
    said = run(team.address, "db", "attach", "photos", *named)
    assert "nothing: no row has a vector yet" in said.output
    place = team.address.at("photos")
    first = json.loads(run(place, "index", team.folder, "--json").stdout)
    assert (first["stored"], first["failed"]) == (N, 0)
    assert json.loads(run(place, "index", team.folder, "--json").stdout)["unchanged"] == N
    assert "Removed 1 item from" in run(place, "forget", str(team.folder / team.names[0])).output
    assert sql(team.address, "SELECT count(*), count(v) FROM photos") == [(N - 1, N - 1)]
    assert run(place, "spaces", "list").exit_code == 1


def test_it_is_copied_and_is_no_copy(team: Team, tmp_path: Path) -> None:
    """Its items go into an index; into the table nothing is copied, as it could not be equal."""
    assert attach(team).exit_code == 0
    words = ["copy", team.table.reveal(), str(tmp_path / "copied"), "--json"]
    copied = json.loads(CliRunner().invoke(main, words, obj=CONFIG).stdout)
    assert (copied["new"], copied["comparison"]["is_equal"]) == (N, True)
    before = sql(team.address, "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM customer_photos AS t")
    words = ["copy", str(tmp_path / "copied"), team.table.reveal()]
    refused = CliRunner().invoke(main, words, obj=CONFIG)
    assert refused.exit_code == 1
    assert "TO is an attached table" in refused.output
    assert sql(team.address, "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM customer_photos AS t") == before


def test_vectors_are_imported_but_for_those_that_the_table_refuses(team: Team, tmp_path: Path) -> None:
    """One row that a table cannot take does not keep the others out; it is told with the reason."""
    assert attach(team).exit_code == 0
    entries = [{"id": str(n), "project": "7", "path": name} for n, name in enumerate(team.names, 101)]
    entries[3]["id"] = "no number"
    np.save(tmp_path / "vectors.npy", team.rows)
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    words = ["import", tmp_path / "vectors.npy", "--items", tmp_path / "items.jsonl", "--root", team.folder]
    report = json.loads(run(team.table, *words, "--json").stdout)
    assert (report["stored"] + report["duplicate"], report["failed"]) == (N - 1, 1)
    assert "Its id cannot be kept in column id (bigint)" in report["failures"][0]["reason"]
    assert sql(team.address, "SELECT count(*) FROM customer_photos WHERE id > 100") == [(N - 1,)]


def test_rows_without_a_vector_get_theirs(team: Team) -> None:
    """The table's own rows are embedded where they are: vectors come, broken pictures are told, all else stays."""
    (team.folder / "broken.data").write_bytes(b"no picture")
    before = sql(team.address, "SELECT id, storage_path, title, colour, created FROM customer_photos ORDER BY id")
    sql(
        team.address,
        "ALTER TABLE customer_photos ADD COLUMN price int NOT NULL DEFAULT 3",
        "ALTER TABLE customer_photos ALTER COLUMN price DROP DEFAULT",
        "UPDATE customer_photos SET embedding = NULL WHERE id > 5",
        "UPDATE customer_photos SET storage_path = 'broken.data' WHERE id = 14",
    )
    said = attach(team, "--content", "sha256")
    assert "no new ones (Column price of customer_photos must be given" in said.output
    assert f"{N - 5} have none" in said.output
    for n_stored in (N - 1, 0):
        report = json.loads(run(team.table, "index", "--table", "customer_photos", "--json").stdout)
        assert (report["stored"] + report["duplicate"], report["failed"]) == (n_stored, 1)
    rows = sql(team.address, "SELECT id, storage_path, title, colour, created FROM customer_photos ORDER BY id")
    assert rows[:-1] == before[:-1]
    assert rows[-1][2:] == before[-1][2:]
    assert sql(team.address, "SELECT count(embedding), count(sha256) FROM customer_photos") == [(N - 1, N - 1)]
    found = json.loads(run(team.table, "search", str(team.folder / team.names[8]), "--json", "--limit", "1").stdout)
    assert found["hits"][0]["id"] == "9"
    assert attach(team, "--may-delete").exit_code == 0
    assert "without" in run(team.table, "index", "--table", "customer_photos").output


def test_rows_of_no_project_get_their_vectors(team: Team) -> None:
    """A row that says no shop is of none, not of the project that the command is run for."""
    sql(
        team.address,
        "ALTER TABLE customer_photos ALTER COLUMN shop_id DROP NOT NULL",
        "UPDATE customer_photos SET shop_id = NULL, embedding = NULL WHERE id > 5",
    )
    assert attach(team).exit_code == 0
    for _ in range(2):
        report = json.loads(run(team.table, "index", "--table", "customer_photos", "--json").stdout)
        assert (report["failed"], report["removed"]) == (0, 0), report
        assert sql(team.address, "SELECT count(embedding), count(shop_id) FROM customer_photos") == [(N, 5)]
    assert json.loads(run(team.table, "stats", "--json").stdout)["projects"][""] == N - 5


def test_a_row_that_its_owner_deletes_meanwhile_is_not_made_anew(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are listed when a run begins; embedding them takes its time, in which the team goes on with its work."""
    read = RowSource.read

    def slowly(source: RowSource, obj: SourceObject, *, max_bytes: int) -> bytes:
        sql(team.address, "DELETE FROM customer_photos WHERE id = 9")
        return read(source, obj, max_bytes=max_bytes)

    assert attach(team, "--content", "sha256").exit_code == 0
    sql(team.address, "UPDATE customer_photos SET embedding = NULL WHERE id > 5")
    monkeypatch.setattr(RowSource, "read", slowly)
    said = run(team.table, "index", "--table", "customer_photos").output
    assert "Only its own rows are written" in said
    assert sql(team.address, "SELECT count(*), count(embedding) FROM customer_photos") == [(N - 1, N - 1)]
    monkeypatch.undo()
    report = json.loads(run(team.table, "index", "--table", "customer_photos", "--json").stdout)
    assert (report["unchanged"], report["failed"], report["removed"]) == (N - 1, 0, 0)


def test_the_tables_index_is_measured_by_command(team: Team) -> None:
    """Without one the owner is told how to make it; with one it is measured, kept, and explained."""
    assert attach(team, "--unchecked").exit_code == 0
    none = run(team.table, "db", "index", "--queries", "10")
    assert none.exit_code == 1
    assert 'ON "' in none.output
    assert "USING hnsw" in none.output
    sql(team.address, "CREATE INDEX ON customer_photos USING hnsw (embedding vector_cosine_ops)")
    measured = run(team.table, "db", "index", "--queries", "10")
    assert "pictures" in measured.output, measured.output
    assert "words" in measured.output
    recalls = json.loads(run(team.table, "db", "recall", "--queries", "10", "--json").stdout)
    assert {row["project"] for row in recalls} >= {None}
    assert all(row["recall"] > 0.98 for row in recalls)
    assert "Exact: with a filter" in run(team.table, "db", "explain", "a dress", "--project", "7").output


def test_an_option_that_is_missing_its_other_half_is_a_sentence(team: Team) -> None:
    """A table of vectors needs the column that says whose they are; a table that is not there is named."""
    half = run(team.address, "db", "attach", "customer_photos", *COLUMNS, "--vector-table", "x")
    assert half.exit_code == 2
    assert "--vector-key" in half.output
    gone = run(team.address, "db", "attach", "nothing", *COLUMNS)
    assert gone.exit_code == 1
    assert "there is no such table or view" in gone.output


def test_the_service_searches_it(team: Team, tmp_path: Path) -> None:
    """Over HTTP as from a folder: words, a project, an item's picture, figures; and no password."""
    own = catalogue(tmp_path)
    dim = EMBEDDER.space.dim
    sql(
        team.address,
        f"CREATE TABLE photos (id text PRIMARY KEY, shop text, path text, sha text, embedding vector({dim}))",
    )
    mapping = replace(PLAIN, uri="path", project="shop", content="sha", is_checked=True)
    with attached(team.address, mapping, EMBEDDER.space) as store, Index.open(config=own.config) as index:
        items = list(index.items())
        rows, contents = index._store.vectors([item.content for item in items])
        store.add([replace(item, metadata={}) for item in items], contents, rows)
    service = InlineService(EMBEDDER)
    of = replace(own, config=replace(own.config, index=team.address.at("photos")))
    with collection(of, service) as behind, serving(service, index=behind) as running:
        asked = {"text": "something red", "limit": 3}
        hits = running.client.post("/search/images", json=asked).json()["hits"]
        assert hits[0]["item"]["id"] == own.path("red")
        assert running.client.get(hits[0]["item"]["picture"]).status_code == 200
        filtered = running.client.post("/search/images", json={**asked, "project": "warm"}).json()
        assert {hit["item"]["project"] for hit in filtered["hits"]} == {"warm"}
        assert filtered["considered"] == 2
        figures = running.client.get("/stats").text + running.client.get("/metrics").text
        assert PASSWORD not in figures
        assert running.client.get("/items", params={"project": "warm"}).json()["items"]
    service.close(drain_s=0)
