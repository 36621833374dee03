"""An index whose pictures a provider embeds: planned for nothing, made, searched, killed and gone on with."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lookalike import app
from lookalike.config import Config
from lookalike.index import Index
from lookalike.ingest import CHUNK_SIZE
from lookalike.providers.cohere import V4 as COHERE_V4
from lookalike.types import Outcome
from tests.doubles.bedrock import KEY, BedrockDouble
from tests.doubles.double import PATIENCE_S, Exchange
from tests.doubles.hosted import doubled
from tests.pictures import noise, write

N_PICTURES = 40
TITAN = "bedrock:amazon.titan-embed-image-v1?dimensions=256&region=us-east-1&base_url={url}"
N_IN_FLIGHT = 8
"""Requests that Bedrock's adapter has under way at a time."""


@dataclass(frozen=True)
class Bench:
    """Pictures, a provider on loopback, and the command line with an index and a cache of its own."""

    double: BedrockDouble
    folder: Path

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "AWS_BEARER_TOKEN_BEDROCK": KEY,
            "LOOKALIKE_MODEL": TITAN.format(url=self.double.url),
            "LOOKALIKE_CACHE_DIR": str(self.folder / "cache"),
            "LOOKALIKE_INDEX": str(self.folder / "index"),
        }

    @property
    def cache(self) -> Path:
        return self.folder / "cache" / "vectors.sqlite"

    @property
    def pictures(self) -> str:
        return str(self.folder / "pictures")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lookalike", *arguments]
        return subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str) -> dict[str, Any]:
        """What a command says with --json; it must succeed."""
        with self.start(*arguments, "--json") as process:
            said, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return json.loads(said)

    @property
    def billed(self) -> list[str]:
        """The picture of each request, in the order in which they came."""
        return [seen.body["inputImage"] for seen in self.double.seen if "inputImage" in seen.body]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Forty pictures and a double of Bedrock."""
    write(tmp_path / "pictures", {f"{n:02}.png": noise(n) for n in range(N_PICTURES)})
    with BedrockDouble() as double:
        yield Bench(double, tmp_path)


def test_a_dry_run_costs_nothing(bench: Bench) -> None:
    """What the run would cost is told from the price table, and the provider is not asked for anything."""
    said = bench.run("index", bench.pictures, "--dry-run")
    assert (said["stored"], said["cost_usd"]) == (N_PICTURES, pytest.approx(N_PICTURES * 0.00006))
    with bench.start("index", bench.pictures, "--dry-run") as process:
        lines, errors = process.communicate(timeout=60)
    assert "money       < $0.01, by the price of" in lines, errors
    assert bench.double.seen == []


def test_pictures_are_indexed_and_found(bench: Bench) -> None:
    """Each picture is sent once; words, a picture of the index and one from outside find what is nearest."""
    assert bench.run("index", bench.pictures)["items"] == N_PICTURES
    assert bench.run("index", bench.pictures)["unchanged"] == N_PICTURES
    assert sorted(Counter(bench.billed).values()) == [1] * N_PICTURES
    by_picture = bench.run("search", "--image", f"{bench.pictures}/07.png", "--limit", "3")["hits"]
    assert by_picture[0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert Path(by_picture[0]["uri"]).name == "07.png"
    by_words = bench.run("search", "a red dress", "--limit", "3")
    assert len(by_words["hits"]) == 3
    assert by_words["considered"] == N_PICTURES
    assert len(bench.billed) == N_PICTURES, "a picture that is known is not sent to be searched by"


def test_as_many_requests_are_under_way_as_the_provider_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one core does not ask one request at a time: the first answer waits for the fourth question."""
    monkeypatch.setattr(app, "available_threads", lambda _: 1)
    folder = write(tmp_path / "pictures", {f"{n:03}.png": noise(n) for n in range(COHERE_V4.concurrency * CHUNK_SIZE)})
    with doubled("cohere") as (double, ref, settings):
        n_at_once = COHERE_V4.concurrency
        usual = double.rule

        def answer_together(exchange: Exchange) -> None:
            exchange.double.arrived(n_at_once)
            (usual or Exchange.succeed)(exchange)

        double.rule = answer_together
        config = replace(Config.from_environ({"HOME": str(tmp_path)}), model=str(ref), providers=settings, cache="off")
        with Index.in_memory(config=config) as index:
            assert index.ingest([folder]).counts == {Outcome.STORED: COHERE_V4.concurrency * CHUNK_SIZE}


class Killing:
    """A rule for the double: so many requests are answered, the next ones are held until the command is killed."""

    def __init__(self, n_answered: int) -> None:
        self._left = n_answered

    def __call__(self, exchange: Exchange) -> None:
        with exchange.double._came:
            is_answered, self._left = self._left > 0, self._left - 1
        exchange.succeed() if is_answered else exchange.handler.hold()


def kept(bench: Bench) -> int:
    """Vectors in the cache on disk."""
    place = f"file:{bench.cache}?mode=ro"
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(place, uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        return int(count)
    return 0  # the file, or its table, is not there yet


def killed(bench: Bench, arguments: Sequence[str], *, n_answered: int) -> None:
    """Run a command, kill it when so many answers are kept and as many requests as may be are under way."""
    bench.double.rule = Killing(n_answered)
    with bench.start(*arguments) as process:
        bench.double.arrived(n_answered + N_IN_FLIGHT)
        until = time.monotonic() + PATIENCE_S
        while kept(bench) < n_answered and time.monotonic() < until:
            process.poll()
        process.kill()
        process.communicate()
    bench.double.rule = None
    assert kept(bench) == n_answered, "what an answered request brought is kept at once"


@pytest.mark.parametrize("n_answered", [0, 3, 21])
def test_killed_it_goes_on_without_paying_twice(bench: Bench, n_answered: int) -> None:
    """Killed while requests are under way, the next run stores each picture once and pays again for those alone."""
    killed(bench, ["index", bench.pictures], n_answered=n_answered)
    under_way = bench.billed[n_answered:]
    report = bench.run("index", bench.pictures)
    assert (report["items"], report["failures"]) == (N_PICTURES, [])
    twice = [picture for picture, n in Counter(bench.billed).items() if n > 1]
    assert sorted(twice) == sorted(under_way)
    assert len(bench.billed) == N_PICTURES + N_IN_FLIGHT


def test_killed_while_it_embeds_texts_it_pays_for_the_rest(bench: Bench) -> None:
    """The same of `embed`: the second run asks for what the first had no answer to."""
    words = [f"word {n}" for n in range(20)]
    killed(bench, ["embed", *words], n_answered=9)
    n_before = len(bench.double.seen)
    with bench.start("embed", *words) as process:
        said, errors = process.communicate(timeout=60)
    assert [result["input"] for result in json.loads(said)["results"]] == words, errors
    assert len(bench.double.seen) - n_before == len(words) - 9
