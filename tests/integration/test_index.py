"""The whole of it with the built-in model: pictures in, answers out, through Python and the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Embedder, EmbeddingModel, Index, Part, Query, get_image_embedding
from lookalike.cli import main
from lookalike.embed import Embedder as AnyEmbedder
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import ConfigError, InputError, SpaceMismatch, StoreNotFound
from lookalike.types import Outcome
from lookalike.weights.local import BUILT_IN
from tests.checkpoints import write_clip
from tests.pictures import noise, picture, write
from training.catalogue import write_catalogue

N_PICTURES = 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered catalogue, with a copy and a broken file."""
    folder = tmp_path_factory.mktemp("catalogue")
    write_catalogue(folder, count=N_PICTURES, seed=5, size_px=160)
    first = sorted(folder.iterdir())[0]
    shutil.copy(first, folder / "copy.jpg")
    (folder / "broken.jpg").write_bytes(first.read_bytes()[:500])
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return replace(Config.from_environ(), model="tiny", index=tmp_path_factory.mktemp("index") / "photos.lookalike")


@pytest.fixture(scope="module")
def index(pictures: Path, config: Config) -> Iterator[Index]:
    with Index.create(config=config) as writer:
        report = writer.ingest([pictures])
        assert report.counts == {Outcome.STORED: N_PICTURES, Outcome.DUPLICATE: 1, Outcome.FAILED: 1}
    with Index.open(config=config) as reader:
        yield reader


def lookalike(config: Config, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, obj=config)


def test_words_find_pictures_better_than_chance(index: Index) -> None:
    """The words of a picture's file name find a picture of that kind and colour first, mostly."""
    right = 0
    items = [item for item in index.items() if Path(item.uri).stem[0].isdigit()]
    for item in items[:30]:
        words = Path(item.uri).stem.split("-", 1)[1].replace("-", " ")
        found = index.search(text=f"a {words}", limit=5)
        right += any(Path(hit.item.uri).stem.split("-", 1)[-1].replace("-", " ") == words for hit in found)
    assert right >= 15


def test_a_picture_finds_itself_and_its_copy(index: Index, pictures: Path) -> None:
    """By path and by bytes alike, with the surest confidence there is."""
    path = sorted(pictures.glob("0*.jpg"))[0]
    for image in (path, str(path), path.read_bytes()):
        hits = index.search(image=image, limit=2)
        assert {Path(hit.item.uri).name for hit in hits} == {path.name, "copy.jpg"}
        assert all(hit.similarity > 0.998 for hit in hits)


def test_similar_needs_no_model(index: Index, pictures: Path, config: Config) -> None:
    """More like an item works where the model cannot be loaded."""
    item = (pictures / "copy.jpg").as_posix()
    with Index.open(config=replace(config, model="/nowhere")) as blind:
        hits = blind.search(item=item, limit=3)
    assert len(hits) == 3
    assert hits[0].similarity > 0.998
    assert item not in [hit.item.id for hit in hits]


def test_a_query_of_several_parts(index: Index, pictures: Path) -> None:
    """A picture with words beside it gives another answer than the picture, without the item that it was asked with."""
    item = sorted(pictures.glob("0*.jpg"))[0].as_posix()
    alone = index.find(index.query([Part(item=item)]), limit=N_PICTURES)
    moved = index.find(index.query([Part(item=item), Part(text="a blue bag", weight=3)]), limit=N_PICTURES)
    assert {hit.item.id for hit in moved} == {hit.item.id for hit in alone} == {i.id for i in index.items()} - {item}
    assert [hit.item.id for hit in moved] != [hit.item.id for hit in alone]
    assert all(0 <= hit.confidence <= 1 for hit in moved)


def test_a_vector_finds_what_its_words_find(index: Index) -> None:
    """Who has the vector already needs no model for it."""
    by_words = index.search(text="a red dress", limit=5)
    vector = index.embedder.embed_texts(["a red dress"]).values[0]
    for query in (index.query([Part(vector=vector.tolist())]), Query(vector, index.space, "text")):
        assert [hit.item for hit in index.find(query, limit=5)] == [hit.item for hit in by_words]
    assert index.find(query, limit=5).hits == by_words.hits


def test_an_index_uses_the_embedder_that_it_is_handed(index: Index, config: Config) -> None:
    """No model is opened beside it; and one of another space is refused."""
    blind = replace(config, model="/nowhere")
    with Index.open(config=blind, embedder=index.embedder) as lent:
        assert lent.search(text="a red dress", limit=5).hits == index.search(text="a red dress", limit=5).hits
    with (
        Index.open(config=config, embedder=AnyEmbedder(FakeEncoder())) as foreign,
        pytest.raises(SpaceMismatch, match="cannot be compared"),
    ):
        foreign.search(text="a red dress")


def test_exactly_one_question(index: Index) -> None:
    """No question and two questions are refused."""
    with pytest.raises(InputError, match="exactly one"):
        index.search()
    with pytest.raises(InputError, match="exactly one"):
        index.search(text="red", item="x")


def test_an_index_opens_the_model_it_was_made_with(config: Config, index: Index) -> None:
    """With "auto", an index knows its model; with another model, it refuses to be searched."""
    with Index.open(config=replace(config, model="auto")) as same:
        assert same.search(text="a red dress", limit=1).space == index.space


def test_another_models_space_is_refused(config: Config, index: Index, tmp_path: Path) -> None:
    """A model with other weights in the same shape would rank nonsense: it is an error instead."""
    other = shutil.copytree(BUILT_IN / "tiny", tmp_path / "other")
    weights = other / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    foreign = replace(config, model=str(other))
    with Index.open(config=foreign) as opened, pytest.raises(SpaceMismatch, match="cannot be compared"):
        opened.search(text="a red dress")


def test_a_missing_index_says_how_to_make_one(tmp_path: Path, config: Config) -> None:
    """Searching before indexing is the commonest first mistake."""
    with pytest.raises(StoreNotFound, match="lookalike index"):
        Index.open(tmp_path / "none.lookalike", config=config)


def test_open_clip_names_work(pictures: Path) -> None:
    """`EmbeddingModel` takes any model by name, one input or several, and knows what it does not know."""
    model = EmbeddingModel("tiny", pretrained=None)
    path = sorted(pictures.glob("0*.jpg"))[0]
    assert model.encode_text("a red dress").shape == (1, model.embedder.space.dim)
    assert model.encode_text(["a", "b"]).shape == (2, model.embedder.space.dim)
    np.testing.assert_array_equal(model.encode_image(path), model.encode_image([path.read_bytes()]))
    with pytest.raises(ConfigError, match="cuda"):
        EmbeddingModel(device="cuda")
    with pytest.raises(ConfigError, match="laion"):
        EmbeddingModel("ViT-B-32", pretrained="laion2b")


def test_get_image_embedding_is_one_plain_list(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured model, one picture, floats."""
    monkeypatch.setenv("LOOKALIKE_MODEL", "tiny")
    vector = get_image_embedding(sorted(pictures.glob("0*.jpg"))[0])
    assert isinstance(vector[0], float)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_cli_search_as_json(index: Index, config: Config) -> None:
    """Everything an answer holds, for programs."""
    result = lookalike(config, "search", "a red dress", "--limit", "4", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["query"] == {"text": "a red dress"}
    assert answer["space"] == index.space.id
    assert answer["considered"] == N_PICTURES + 1
    assert [hit["id"] for hit in answer["hits"]] == [hit.item.id for hit in index.search(text="a red dress", limit=4)]
    assert {"id", "uri", "project", "content", "similarity", "confidence"} <= set(answer["hits"][0])


def test_cli_search_with_a_filter(index: Index, config: Config, pictures: Path) -> None:
    """What files say of themselves, and what their owner says, narrows both kinds of search down."""
    (one,) = index.search(image=pictures / "copy.jpg", limit=1)
    for command in (["search", "a red dress"], ["similar", one.item.id]):
        for where, n in (("file_type:jpeg", 3), ("file_type:png", 0)):
            answer = json.loads(lookalike(config, *command, "--where", where, "--limit", "3", "--json").stdout)
            assert len(answer["hits"]) == n
    both = lookalike(config, "search", "a red dress", "--where", "file_type:jpeg", "--where", "colour:red", "--json")
    assert json.loads(both.stdout)["hits"] == []
    refused = lookalike(config, "search", "a red dress", "--where", "jpeg")
    assert refused.exit_code == 2
    assert "KEY:VALUE" in refused.stderr


def test_cli_search_by_several_things(index: Index, config: Config, pictures: Path) -> None:
    """QUERY, --plus and --minus become one query; "^3" is a weight; the answer says what was asked."""
    path = str(pictures / "copy.jpg")
    result = lookalike(config, "search", path, "--plus", "blue^3", "--minus", "stripes", "--limit", "5", "--json")
    answer = json.loads(result.stdout)
    assert answer["query"] == {
        "query": [{"image": path}, {"text": "blue", "weight": 3.0}, {"text": "stripes", "weight": -1.0}]
    }
    query = index.query([Part(image=path), Part(text="blue", weight=3), Part(text="stripes", weight=-1)])
    assert [hit["id"] for hit in answer["hits"]] == [hit.item.id for hit in index.find(query, limit=5)]


def test_cli_says_what_is_words_and_what_a_picture(
    index: Index, config: Config, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be called like words, and words like a file; a file's name may end as a weight does."""
    monkeypatch.chdir(tmp_path)
    for name in ("dress", "dress^2"):
        shutil.copy(pictures / "copy.jpg", name)
    asked = (
        (["dress"], {"image": "dress"}),
        (["--image", "dress"], {"image": "dress"}),
        (["--text", "dress"], {"text": "dress"}),
        (["--text", "gone.jpg"], {"text": "gone.jpg"}),
        (["--plus", "dress^2"], {"image": "dress^2"}),
    )
    for arguments, query in asked:
        result = lookalike(config, "search", *arguments, "--limit", "1", "--json")
        assert json.loads(result.stdout)["query"] == query


def test_cli_search_by_example_and_page(index: Index, config: Config, pictures: Path, tmp_path: Path) -> None:
    """A path is an example; --html writes the page; a pipe gets one line for each hit."""
    page = tmp_path / "hits.html"
    result = lookalike(config, "search", str(pictures / "copy.jpg"), "--limit", "3", "--html", str(page))
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 3
    assert "copy.jpg" in page.read_text(encoding="utf-8")


def test_cli_nothing_matches(index: Index, config: Config) -> None:
    """With a threshold that nothing reaches there is no line on standard output, and a sentence for people."""
    result = lookalike(config, "search", "a red dress", "--min-confidence", "1")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "Nothing here matches" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "gone.jpg"], "gone.jpg: there is no such file"),
        (["search", " "], "The query is empty"),
        (["search"], "The query is empty"),
        (["search", "red", "--minus", ""], "The query is empty"),
        (["search", "red", "--minus", "red"], "cancel each other out"),
        (["search", "red", "--plus", "blue^0"], "weight"),
        (["search", "--image", "gone"], "gone: cannot be read"),
        (["search", "a red dress", "--index", "~nosuchuser/x"], "--index: the home folder"),
        (["similar", "gone"], "There is no item 'gone'"),
        (["similar", "~nosuchuser"], "There is no item '~nosuchuser'"),
        (["index", "~nosuchuser"], "without '~'"),
        (["search", "x", "--index", "none.lookalike"], "none.lookalike"),
        (["index", "no-such-folder"], "no such file or folder"),
        (["search", "x", "--model", "no/such-model"], "no/such-model"),
    ],
)
def test_cli_errors_are_sentences(index: Index, config: Config, arguments: list[str], said: str) -> None:
    """One sentence on standard error, status 1, no traceback."""
    result = lookalike(config, *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_cli_embed_keeps_the_order_of_words_and_pictures(pictures: Path, config: Config, tmp_path: Path) -> None:
    """Vectors stand in the order of the arguments; a broken picture is told and the rest is printed."""
    path = str(sorted(pictures.glob("0*.jpg"))[0])
    result = lookalike(config, "embed", "a dog", path, "gone.jpg", "a cat", str(pictures / "broken.jpg"))
    assert result.exit_code == 1
    assert "broken.jpg" in result.stderr
    assert "gone.jpg: there is no such file" in result.stderr
    document = json.loads(result.stdout)
    assert [one["input"] for one in document["results"]] == ["a dog", path, "a cat"]
    embedder = Embedder.open("tiny")
    np.testing.assert_allclose(document["results"][1]["embedding"], embedder.embed_images([path]).values[0], atol=1e-6)
    np.testing.assert_allclose(
        document["results"][2]["embedding"], embedder.embed_texts(["a cat"]).values[0], atol=1e-6
    )


def test_cli_index_reports_and_goes_on(pictures: Path, config: Config, tmp_path: Path) -> None:
    """Dry run, first run, second run: each says what it did; nothing is written by a dry run."""
    fresh = replace(config, index=tmp_path / "again.lookalike")
    dry = json.loads(lookalike(fresh, "index", str(pictures), "--dry-run", "--json").stdout)
    assert (dry["stored"], dry["duplicate"], dry["failed"], dry["removed"]) == (N_PICTURES, 1, 1, 0)
    assert [Path(failure["item"]).name for failure in dry["failures"]] == ["broken.jpg"]
    assert dry["eta_s"] > 0
    assert not fresh.index.exists()
    first = json.loads(lookalike(fresh, "index", str(pictures), "--json").stdout)
    assert (first["stored"], first["duplicate"], first["failed"]) == (N_PICTURES, 1, 1)
    assert first["failures"][0]["item"].endswith("broken.jpg")
    second = json.loads(lookalike(fresh, "index", str(pictures), "--json").stdout)
    assert (second["stored"], second["unchanged"], second["failed"]) == (0, N_PICTURES + 1, 1)
    shown = lookalike(fresh, "stats", "--failures")
    assert "broken.jpg" in shown.stdout
    assert f"{N_PICTURES + 1:,} of {N_PICTURES:,}" in shown.stdout


def test_cli_a_moved_picture_is_no_duplicate(tmp_path: Path, config: Config) -> None:
    """What has its vector already is said to be known, for people; programs are told as ever."""
    folder = write(tmp_path / "photos", {"a.png": picture("red"), "b.png": noise(1)})
    fresh = replace(config, index=tmp_path / "i.lookalike")
    lookalike(fresh, "index", str(folder))
    (folder / "a.png").rename(folder / "c.png")
    assert "known       1 item " in lookalike(fresh, "index", str(folder), "--dry-run").stdout
    assert lookalike(fresh, "index", str(folder)).stdout.startswith("1 known already, 1 unchanged, 1 removed in ")
    (folder / "c.png").rename(folder / "d.png")
    assert json.loads(lookalike(fresh, "index", str(folder), "--json").stdout)["duplicate"] == 1


def test_cli_words_may_look_like_a_path(index: Index, config: Config) -> None:
    """What begins with "~" or is too long for a file name is words like any other."""
    for words in ("~nosuchuser dress", "~ red dress", "a red dress " * 30):
        result = lookalike(config, "search", words, "--limit", "1")
        assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1), result.output


@pytest.mark.parametrize("path", ["../{folder}/copy.jpg", "~/copy.jpg", "./copy.jpg", "{absolute}/copy.jpg"])
def test_cli_similar_takes_any_path_of_an_item(
    index: Index, config: Config, pictures: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """However a path is written, it leads to the item that the listing of its folder made."""
    monkeypatch.chdir(pictures)
    monkeypatch.setenv("HOME", str(pictures))
    path = path.format(folder=pictures.name, absolute=pictures)
    result = lookalike(config, "similar", path, "--limit", "1", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["query"] == {"item": (pictures / "copy.jpg").as_posix()}


def test_cli_forget_removes_items_and_no_files(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a folder, a folder that is gone and an id; other items stay, and so does every file."""
    places = ["a.png", "b.png", "sub/c.png", "sub/d.png", "sub2/e.png", "gone/f.png"]
    write(tmp_path / "photos", {place: noise(seed, size=(64, 64)) for seed, place in enumerate(places)})
    fresh = replace(config, index=tmp_path / "i.lookalike")
    monkeypatch.chdir(tmp_path)
    assert lookalike(fresh, "index", "photos").exit_code == 0
    shutil.rmtree("photos/gone")
    absolute = (tmp_path / "photos" / "b.png").as_posix()
    for arguments, count in [(["photos/./a.png"], 1), (["photos/sub", absolute], 3), (["photos/gone/"], 1)]:
        result = lookalike(fresh, "forget", *arguments)
        assert result.exit_code == 0, result.output
        assert f"Removed {count} item" in result.stdout
    with Index.open(config=fresh) as left:
        assert [Path(item.uri).name for item in left.items()] == ["e.png"]
    assert sum(path.is_file() for path in (tmp_path / "photos").rglob("*")) == len(places) - 1
    again = json.loads(lookalike(fresh, "index", "photos", "--json").stdout)
    assert (again["stored"] + again["duplicate"], again["unchanged"]) == (4, 1)


def test_cli_forget_names_what_it_does_not_know(tmp_path: Path, config: Config) -> None:
    """A path without items is an error, after the others were seen to; an empty one is refused before."""
    folder = write(tmp_path / "photos", {"a.png": noise(1, size=(64, 64))})
    fresh = replace(config, index=tmp_path / "i.lookalike")
    lookalike(fresh, "index", str(folder))
    assert "The path is empty" in lookalike(fresh, "forget", str(folder), "").stderr
    other = lookalike(fresh, "forget", str(folder), "--project", "other")
    assert (other.exit_code, other.stdout) == (1, "")
    assert "has no item at" in other.stderr
    result = lookalike(fresh, "forget", "nowhere.png", str(folder), "~nosuchuser")
    assert (result.exit_code, "Removed 1 item from" in result.stdout) == (1, True)
    assert "no item at nowhere.png, ~nosuchuser." in result.stderr


def test_cli_dry_run_says_what_would_go(tmp_path: Path, config: Config) -> None:
    """Items whose file is gone are counted, for people and for programs, and are still there afterwards."""
    folder = write(tmp_path / "photos", {f"{seed}.png": noise(seed, size=(64, 64)) for seed in range(3)})
    fresh = replace(config, index=tmp_path / "i.lookalike")
    lookalike(fresh, "index", str(folder))
    (folder / "0.png").unlink()
    assert (
        "gone        1 item whose file is not there any more"
        in lookalike(fresh, "index", str(folder), "--dry-run").stdout
    )
    dry = json.loads(lookalike(fresh, "index", str(folder), "--dry-run", "--json").stdout)
    assert (dry["stored"], dry["unchanged"], dry["removed"]) == (0, 2, 1)
    assert json.loads(lookalike(fresh, "stats", "--json").stdout)["items"] == 3


def test_cli_duplicates(index: Index, config: Config) -> None:
    """The copy is found by its bytes."""
    (group,) = json.loads(lookalike(config, "duplicates", "--json").stdout)
    assert group["reason"] == "exact"
    assert sum(item["id"].endswith("copy.jpg") for item in group["items"]) == 1
    assert "equal bytes" in lookalike(config, "duplicates", "--near").stdout


def test_without_clip_the_built_in_model_is_said_aloud(tmp_path: Path, config: Config) -> None:
    """ "auto" never puts `tiny` in the place of CLIP silently."""
    folder = write(tmp_path / "photos", {"a.png": noise(1, size=(64, 64))})
    result = lookalike(replace(config, model="auto", index=tmp_path / "i.lookalike"), "index", str(folder))
    assert result.exit_code == 0, result.output
    assert "built-in model `tiny`" in result.stderr
    assert "models pull clip" in result.stderr


def test_an_index_of_a_folders_model_opens_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model was named by a relative path: the index remembers where that was."""
    write_clip(tmp_path / "model")
    write(tmp_path / "pictures", {"red.png": picture("red")})
    config = replace(Config.from_environ(), index=tmp_path / "index")
    monkeypatch.chdir(tmp_path)
    with Index.create(config=replace(config, model="./model")) as index:
        index.ingest(["pictures"])
    monkeypatch.chdir(tmp_path.parent)
    with Index.open(config=config) as index:
        assert [hit.item.id for hit in index.search(text="red")] == [(tmp_path / "pictures" / "red.png").as_posix()]
