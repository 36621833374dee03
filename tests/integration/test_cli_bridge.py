"""The commands `lookalike bridge ...`, and searching through what they make: words read by a provider on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lookalike import Config, Embedder, Index, app
from lookalike.bridge import built_in_captions
from lookalike.cli import main
from lookalike.errors import SpaceMismatch
from lookalike.spaces import Space
from tests.doubles.double import Seen
from tests.doubles.openai import OpenAIDouble
from tests.pictures import picture, write

DIM = 128
MODEL = f"openai:text-embedding-3-small?dimensions={DIM}"
NOBODY = {"OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}
"""Without a key; a compatible server elsewhere might need none."""

COLOURS = ("red", "blue", "green", "white")


class Reader(OpenAIDouble):
    """OpenAI, with vectors that mean something: those of the built-in model, turned into a space of their own."""

    def __init__(self) -> None:
        super().__init__(dim=DIM)
        self._tiny = Embedder.open("tiny", threads=1)
        self._turn = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, DIM)))[0]

    def vectors(self, seen: Seen) -> list[Any]:
        rows = self._tiny.embed_texts([str(text) for text in self.inputs(seen)]).values
        return list((rows @ self._turn).tolist())


@dataclass(frozen=True)
class Home:
    """A folder with pictures, an index of them and a bridge; and the provider that reads the words.

    Attributes:
        folder: Has `pictures`, `index` and `bridge.npz`.
        variables: The environment that leads to all of it.
        fitted: What `bridge fit` printed.
        reader: The provider.
    """

    folder: Path
    variables: Mapping[str, str]
    fitted: Result
    reader: OpenAIDouble

    @property
    def model(self) -> str:
        """The bridge, as a model's name."""
        return f"bridge:{self.folder / 'bridge.npz'}"

    @property
    def config(self) -> Config:
        """The same, for Python."""
        return replace(Config.from_environ(self.variables), model=self.model)

    def run(self, *arguments: str, **variables: str | None) -> Result:
        """One command, as the shell would run it; a variable that is None is not set."""
        environ = {**self.variables, **variables}
        return CliRunner().invoke(main, arguments, env=environ, catch_exceptions=False)

    def refusal(self, *arguments: str, **variables: str | None) -> str:
        """The one sentence with which a command ends that cannot do what it was asked."""
        result = self.run(*arguments, **variables)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        return " ".join(result.stderr.split())


def variables_for(double: OpenAIDouble, folder: Path) -> dict[str, str]:
    """The environment that leads to a provider and to a folder's index."""
    return {
        "OPENAI_API_KEY": double.key,
        "OPENAI_BASE_URL": double.base_url,
        "LOOKALIKE_CACHE_DIR": str(folder / "cache"),
        "LOOKALIKE_INDEX": str(folder / "index"),
    }


@pytest.fixture(scope="module", autouse=True)
def fewer_captions() -> Iterator[None]:
    """One in fourteen of the built-in captions: enough for these two models, and much quicker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("lookalike.cli.bridge"), "built_in_captions", lambda: built_in_captions()[::14])
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, fewer_captions: None) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("bridge")
    write(folder, {f"pictures/{colour}.png": picture(colour) for colour in COLOURS})
    with Reader() as reader:
        variables = variables_for(reader, folder)
        runner = CliRunner()
        made = runner.invoke(main, ["index", str(folder / "pictures"), "--model", "tiny"], env=variables)
        assert made.exit_code == 0, made.output
        (folder / "mine.txt").write_text("my aunt's lighthouse\n\n  my aunt's lighthouse  \nthe old ferry\n")
        yours = ["--captions", str(folder / "mine.txt"), "--images", str(folder / "pictures")]
        arguments = ["--from", MODEL, "--to", "tiny", *yours]
        fitted = runner.invoke(main, ["bridge", "fit", *arguments, "--out", str(folder / "bridge.npz")], env=variables)
        assert fitted.exit_code == 0, fitted.output
        yield Home(folder, variables, fitted, reader)


def test_fitting_says_how_good_it_is_and_what_to_do_next(home: Home) -> None:
    """The figures on standard output; what was embedded, what was written and how to search with it beside them.

    The user's own captions are among the texts, each once; blank lines are none.
    """
    assert "558 texts are embedded with tiny" in home.fitted.stderr
    assert "the right text comes first" in home.fitted.stdout
    assert home.fitted.stdout == home.run("bridge", "report", str(home.folder / "bridge.npz")).stdout
    assert f"lookalike search --model {home.model}" in home.fitted.stderr
    assert home.reader.key not in home.fitted.output
    assert max(len(line) for line in home.fitted.stdout.splitlines()) <= 80


def test_a_report_has_every_figure_as_json(home: Home) -> None:
    """A program reads what the two ends are, how it was fitted, and how well it does."""
    document = json.loads(home.run("bridge", "report", str(home.folder / "bridge.npz"), "--json").stdout)
    assert document["source"].startswith("openai:text-embedding-3-small-128@")
    assert document["target"].startswith("tiny-128@")
    assert document["agreement"]["rank_1"] > 0.9
    assert document["agreement"]["n_images"] == len(COLOURS)
    assert document["complaints"] == []


def test_every_search_says_that_it_is_approximate(home: Home) -> None:
    """People read it beside the answer, programs in the answer, and each search says it anew."""
    for colour in ("red", "blue"):
        result = home.run("search", f"a {colour} thing", "--model", home.model, "-n", "1")
        assert result.stdout.rstrip().endswith(f"{colour}.png")
        assert "through a bridge to tiny, which is not exact: of 139 texts" in " ".join(result.stderr.split())
        document = json.loads(home.run("search", f"a {colour} thing", "--model", home.model, "--json").stdout)
        assert document["approximation"]["source"] == "openai:text-embedding-3-small"
        assert document["approximation"]["agreement"]["rank_1"] > 0.9
        assert document["approximation"]["note"] in document["warnings"]


def test_embedding_says_so_too(home: Home) -> None:
    """Vectors on standard output have it with their space, and people read it beside them."""
    result = home.run("embed", "a red thing", "--model", home.model)
    assert json.loads(result.stdout)["approximation"]["source"] == "openai:text-embedding-3-small"
    assert "through a bridge to tiny" in result.stderr


def test_the_doctor_looks_at_who_reads_the_words(home: Home, tmp_path: Path) -> None:
    """A bridge is as well as the model behind it; a file that is not there is what is wrong."""
    checks = json.loads(home.run("doctor", "--model", home.model, "--json").stdout)
    assert any("openai:text-embedding-3-small" in check["facts"] for check in checks)
    checks = json.loads(home.run("doctor", "--model", f"bridge:{tmp_path / 'none'}", "--json").stdout)
    assert any("There is no bridge" in check["facts"] for check in checks)


def test_python_is_told_as_well(home: Home) -> None:
    """`Hits` have what read the words and how well; what was not searched by words has nothing of it."""
    with Index.open(config=home.config) as index:
        hits = index.search(text="something red", limit=1)
        assert Path(hits[0].item.id).stem == "red"
        assert hits.approximation is not None
        assert dict(hits.approximation.agreement)["n_texts"] == 139
        assert index.search(item=hits[0].item.id, limit=1).approximation is None


def test_the_index_s_own_words_are_exact(home: Home) -> None:
    """Without the bridge nothing is said of one."""
    result = home.run("search", "a red thing", "--json")
    assert json.loads(result.stdout)["approximation"] is None
    assert result.stderr == ""


def test_nothing_is_stored_through_a_bridge(home: Home) -> None:
    """No picture goes into an index by it, into an old one or a new one."""
    pictures = str(home.folder / "pictures")
    old = home.refusal("index", pictures, "--model", home.model)
    assert "may search pictures, and not store any. Open tiny for that." in old
    new = home.refusal("index", pictures, "--model", home.model, "--index", str(home.folder / "new"))
    assert "embeds no pictures" in new
    assert not (home.folder / "new").exists()


def test_an_index_of_another_model_is_not_searched(home: Home, tmp_path: Path) -> None:
    """A bridge leads to one space; an index of another is refused."""
    other = Space(
        model="other", weights="1" * 64, preprocessing="", pooling="projection", dim=DIM, modalities=("image", "text")
    )
    app.create_store(tmp_path / "other", other).close()
    config = replace(home.config, index=tmp_path / "other")
    with Index.open(config=config) as index, pytest.raises(SpaceMismatch, match="the two cannot be compared"):
        index.search(text="red")


def test_a_bridge_that_does_not_hold_is_shown_and_not_written(tmp_path: Path) -> None:
    """Where the words of one model say nothing about the other's, the figures are shown, and there is no file."""
    with OpenAIDouble(dim=DIM) as stranger:  # its vectors are made of a hash
        arguments = ["bridge", "fit", "--from", MODEL, "--to", "tiny", "--out", str(tmp_path / "bridge.npz")]
        result = CliRunner().invoke(main, arguments, env=variables_for(stranger, tmp_path))
    assert result.exit_code == 1
    assert "Too little to search with" in result.stdout
    assert "does not hold: the right text of 139 comes first in" in " ".join(result.stderr.split())
    assert not (tmp_path / "bridge.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "tiny", "--to", "tiny"], "Both models are of one space"),
        (["--from", "tiny", "--to", MODEL], "embeds no pictures"),
        (["--from", MODEL, "--to", "tiny", "--captions", "none.txt"], "none.txt: cannot be read as text"),
        (["--from", MODEL, "--to", "tiny", "--images", "none"], "none: there is no picture below this folder"),
        (["--from", "no/such-model", "--to", "tiny"], "no/such-model"),
    ],
)
def test_what_makes_no_bridge_is_a_sentence(home: Home, arguments: list[str], says: str) -> None:
    """What is missing or pointless is said before any text is embedded."""
    n_requests = len(home.reader.seen)
    assert says in home.refusal("bridge", "fit", *arguments, "--out", str(home.folder / "other.npz"))
    assert len(home.reader.seen) == n_requests
    assert not (home.folder / "other.npz").exists()


def test_a_missing_key_is_named(home: Home) -> None:
    """For fitting and for searching: the bridge is here, and who reads the words wants a key."""
    out = ["--out", str(home.folder / "other.npz")]
    arguments = ["bridge", "fit", "--from", MODEL, "--to", "tiny", *out]
    assert "OPENAI_API_KEY" in home.refusal(*arguments, **NOBODY)
    assert "OPENAI_API_KEY" in home.refusal("search", "red", "--model", home.model, **NOBODY)


def test_a_limit_ends_the_fitting(home: Home, tmp_path: Path) -> None:
    """Nothing is asked that would cost more, and no bridge is made of half the texts."""
    n_requests = len(home.reader.seen)
    out = ["--out", str(tmp_path / "bridge.npz"), "--max-cost", "0.0000001"]
    said = home.refusal("bridge", "fit", "--from", MODEL, "--to", "tiny", *out, LOOKALIKE_CACHE="off")
    assert "0.0000001" in said or "limit" in said
    assert len(home.reader.seen) == n_requests
    assert not (tmp_path / "bridge.npz").exists()


def test_a_damaged_file_is_a_sentence_everywhere(home: Home, tmp_path: Path) -> None:
    """A bridge that is cut, or not there, is refused by whatever opens it, and the way out is named."""
    path = tmp_path / "bridge.npz"
    for command_line in (["bridge", "report", str(path)], ["search", "red", "--model", f"bridge:{path}"], ["serve"]):
        environ = {"LOOKALIKE_MODEL": f"bridge:{path}"} if command_line == ["serve"] else {}
        path.unlink(missing_ok=True)
        assert "There is no bridge" in home.refusal(*command_line, **environ)
        path.write_bytes((home.folder / "bridge.npz").read_bytes()[:5_000])
        assert "Fit it again with `lookalike bridge fit`" in home.refusal(*command_line, **environ)


def test_words_of_a_provider_are_not_served(home: Home) -> None:
    """A worker knows no key: the service says so when it is started, and not when it is asked."""
    said = home.refusal("serve", "--model", home.model, "--port", "0")
    assert "reads words with a hosted model: `lookalike serve` runs models of this machine" in said
