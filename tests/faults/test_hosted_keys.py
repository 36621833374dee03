"""A provider's key is in the headers of its requests and nowhere else: all that is written is searched for it."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from lookalike import app
from lookalike.cli import main
from lookalike.config import Config
from lookalike.errors import LookalikeError
from lookalike.index import Index
from lookalike.messages import Request
from lookalike.serverless.service import Platform, Service
from tests.doubles.double import Double, broken, says
from tests.doubles.hosted import HOSTED, doubled
from tests.pictures import noise, write

N_PICTURES = 3


class Told:
    """Everything that somebody could read, by where."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def keep(self, where: str, *said: object) -> None:
        self.lines += [(where, said if isinstance(said, str) else repr(said)) for said in said]

    def outcome(self, where: str, work: Callable[[], object]) -> None:
        """What work returns, or the error that it ends with."""
        try:
            self.keep(where, work())
        except LookalikeError as error:
            self.keep(where, str(error), error, vars(error), "".join(traceback.format_exception(error)))


@pytest.mark.parametrize("name", HOSTED)
def test_the_key_is_nowhere_but_in_the_requests(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in a log, error, representation, output, HTTP answer or file, after good calls and after refused ones."""
    caplog.set_level(logging.DEBUG)
    pictures = write(tmp_path / "pictures", {f"{n}.png": noise(n) for n in range(N_PICTURES)})
    told = Told()
    with doubled(name) as (double, ref, settings):
        key = settings.keys[ref.provider].reveal()
        config = replace(
            Config.from_environ({"HOME": str(tmp_path)}),
            model=str(ref),
            providers=settings,
            index=tmp_path / "index",
            cache_dir=tmp_path / "cache",
        )
        told.keep("settings", config, settings, ref)
        use(config, pictures, told)
        refuse(double, key, config, told)
        assert any(key in value for seen in double.seen for value in seen.headers.values())
    told.keep("log", *(record.getMessage() + repr(vars(record)) for record in caplog.records))
    told.keep("output", *capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"usage.sqlite", "vectors.sqlite"} <= {path.name for path in files}
    wanted = [key, quote(key, safe=""), base64.b64encode(key.encode()).decode()]
    assert [where for where, said in told.lines for form in wanted if form in said] == []
    assert [path for path in files for form in wanted if form.encode() in path.read_bytes()] == []


def use(config: Config, pictures: Path, told: Told) -> None:
    """Good calls: the library, the commands, a function's answers, an index."""
    embedder = app.Embedder.open(config=config)
    told.keep("library", embedder, embedder._vectorizer, embedder.embed_texts(["a dog"]), embedder.tower)
    if "image" in embedder.space.modalities:
        command(config, told, "index", str(pictures))
        command(config, told, "search", "a dog")
        with Index.open(config=config) as index:
            told.keep("index", index, index.stats(), list(index.items()), index.search(text="a dog"))
    for arguments in (["embed", "a cat"], ["usage"], ["usage", "--json"], ["cache", "stats"]):
        command(config, told, *arguments)
    answers(config, told, "a bird")


def refuse(double: Double, key: str, config: Config, told: Told) -> None:
    """Refused calls, by a provider that repeats the key in what it says."""
    for place, fault in enumerate([broken(401, f"Incorrect key: {key}"), broken(400, f"{key} is bad"), says({})]):
        usual, double.rule = double.rule, fault
        told.outcome("refused", lambda place=place: app.Embedder.open(config=config).embed_texts([f"new {place}"]))
        command(config, told, "embed", f"newer {place}", status=1)
        answers(config, told, f"newest {place}")
        double.rule = usual


def command(config: Config, told: Told, *arguments: str, status: int = 0) -> None:
    """What a command prints."""
    done = CliRunner().invoke(main, arguments, obj=config)
    assert done.exit_code == status, done.output
    told.keep(arguments[0], done.stdout, done.stderr)


def answers(config: Config, told: Told, text: str) -> None:
    """What a function answers over HTTP."""
    service = Service(Platform("test", max_body_bytes=1_000_000), lambda: config)
    for method, path, body in (("GET", "/healthz", None), ("POST", "/embed/text", {"text": text})):
        answer = service.answer(Request(method, path, json.dumps(body).encode() if body else b"", {}))
        told.keep(path, answer, answer.body.decode())
