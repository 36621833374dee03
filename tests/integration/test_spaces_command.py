"""`lookalike spaces` from end to end: another precision, another model, a hosted one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file, save_file

from lookalike import Config, Index
from lookalike.cli import main
from lookalike.providers.reference import ProviderSettings
from lookalike.secret import Secret
from lookalike.weights.local import BUILT_IN
from tests.doubles.bedrock import KEY, BedrockDouble
from tests.pictures import noise, write
from training.catalogue import write_catalogue

N = 12
TITAN = "bedrock:amazon.titan-embed-image-v1?dimensions=256&region=us-east-1&base_url={url}"


@dataclass(frozen=True)
class Command:
    """The command line with an index of rendered pictures, made by `tiny`.

    Attributes:
        config: Where the index is.
    """

    config: Config

    def ask(self, *arguments: str) -> Result:
        """What a command says, as the shell would run it."""
        return CliRunner().invoke(main, [*arguments], obj=self.config)

    def run(self, *arguments: str) -> str:
        """What a command says that must succeed."""
        result = self.ask(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def read(self, *arguments: str) -> Any:
        """What it says as JSON."""
        return json.loads(self.run(*arguments, "--json"))

    def best(self) -> str:
        """The space of an answer to words, which has one hit at least."""
        found = self.read("search", "a red shirt", "--limit", "3")
        assert found["hits"]
        return str(found["space"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered pictures and an index of them."""
    folder = tmp_path_factory.mktemp("catalogue")
    write_catalogue(folder / "pictures", count=N, seed=5, size_px=64)
    config = replace(Config.from_environ(), model="tiny", index=folder / "index")
    with Index.create(config=config) as index:
        index.ingest([folder / "pictures"])
    return folder


@pytest.fixture
def command(made: Path, tmp_path: Path) -> Command:
    """The commands over a copy of that index."""
    shutil.copytree(made / "index", tmp_path / "index")
    return Command(replace(Config.from_environ(), index=tmp_path / "index"))


@contextmanager
def hosted(command: Command) -> Iterator[tuple[Command, BedrockDouble]]:
    """The same commands with a key for a double of Bedrock, and that."""
    with BedrockDouble() as double:
        providers = ProviderSettings(keys={"bedrock": Secret(KEY)})
        yield Command(replace(command.config, providers=providers)), double


def fine_tuned(folder: Path) -> Path:
    """`tiny` with weights that are a little different: another model, of its own space."""
    shutil.copytree(BUILT_IN / "tiny", folder)
    weights, chance = load_file(folder / "model.safetensors"), np.random.default_rng(0)
    noisy = {
        name: np.asarray(values * (1 + 0.02 * chance.standard_normal(values.shape)), values.dtype)
        if values.dtype.kind == "f"
        else values
        for name, values in weights.items()
    }
    save_file(noisy, folder / "model.safetensors")
    return folder


def test_int8_and_back(command: Command) -> None:
    """tiny, then tiny in int8, then back: both are filled, agree, and are searched with the same words."""
    before = command.best()
    assert "Made space 2" in command.run("spaces", "add", "tiny", "--precision", "int8")
    told = command.ask("spaces", "switch", "tiny+int8")
    assert f"{N} items" in told.output
    assert told.exit_code == 1
    unfilled = command.ask("spaces", "compare", "--json")
    assert (unfilled.exit_code, unfilled.stdout) == (1, "")
    assert "Space 2 (tiny+int8) has no vectors yet" in unfilled.output and "spaces fill 2." in unfilled.output
    filled = command.read("spaces", "fill")
    assert (filled["stored"], filled["missing"], filled["failures"]) == (N, 0, [])
    compared = command.read("spaces", "compare", "--sample", "12")
    assert compared["image_overlap"] > 0.8
    assert compared["text_overlap"] > 0.8
    assert "is searched from now on" in command.run("spaces", "switch", "tiny+int8")
    assert command.best() == before, "another precision writes into the same space"
    assert [entry["current"] for entry in command.read("spaces", "list")] == [False, True]
    assert "back: lookalike spaces switch 2" in command.run("spaces", "switch", "1")
    assert "is gone" in command.run("spaces", "drop", "2")
    assert [entry["label"] for entry in command.read("spaces", "list")] == ["tiny"]


def test_another_model_and_back(command: Command, tmp_path: Path) -> None:
    """A fine-tuned folder: after the switch the index opens that model by itself, and after the way back `tiny`."""
    before = command.best()
    model = str(fine_tuned(tmp_path / "tuned"))
    command.run("spaces", "add", model)
    command.run("spaces", "fill", "tuned", "--rate", "1000")
    table = command.run("spaces", "compare", "tuned")
    assert "12 pictures" in table
    command.run("spaces", "switch", "tuned")
    after = command.best()
    assert after != before
    assert "tuned" in after
    command.run("spaces", "switch", "tiny")
    assert command.best() == before


def test_mistakes_are_told(command: Command, tmp_path: Path) -> None:
    """A space that is there already, one that is not, the one that is searched, and several that could be meant."""
    assert "is of that model already" in command.ask("spaces", "add", "tiny").output
    assert "one space only" in command.ask("spaces", "fill").output
    assert "is no space of this index" in command.ask("spaces", "switch", "clip").output
    assert "is the one that is searched" in command.ask("spaces", "drop", "1").output
    assert "is searched already" in command.run("spaces", "switch", "1")
    command.run("spaces", "add", "tiny", "--precision", "int8")
    command.run("spaces", "add", "tiny", "--orientation", "ignore")
    assert "Say which space: 2 (tiny+int8), 3 (tiny+ignore)" in command.ask("spaces", "fill").output
    elsewhere = Command(replace(command.config, index=tmp_path / "nowhere"))
    assert "There is no index" in elsewhere.ask("spaces", "list").output
    assert "There is no index" in elsewhere.ask("spaces", "add", "tiny").output


def test_a_hosted_model_is_priced_and_stops_at_the_limit(command: Command, tmp_path: Path) -> None:
    """What a fill would cost is told before; it ends where more would be spent, and goes on with what is missing."""
    write(tmp_path / "more", {f"{number}.png": noise(number) for number in range(40)})
    command.run("index", str(tmp_path / "more"), "--model", "tiny")
    with hosted(command) as (billed, double):
        billed.run("spaces", "add", TITAN.format(url=double.url))
        planned = billed.read("spaces", "fill", "--dry-run")
        assert (planned["missing"], planned["cost_usd"]) == (N + 40, pytest.approx((N + 40) * 0.00006))
        assert not [seen for seen in double.seen if "inputImage" in seen.body]
        ended = billed.ask("spaces", "fill", "--max-cost", "0.0012", "--threads", "1")
        assert ended.exit_code == 1
        stored = billed.read("spaces", "list")[1]["vectors"]
        assert 0 < stored <= 20
        assert billed.read("spaces", "fill")["stored"] == N + 40 - stored
        pictures = [seen.body["inputImage"] for seen in double.seen if "inputImage" in seen.body]
        assert len(pictures) == len(set(pictures)) == N + 40
