"""A hosted model from its name to its vectors, with everything that the configuration puts around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from lookalike import Config, Embedder
from lookalike.errors import BudgetExceeded, ConfigError
from tests.doubles.double import vector_of
from tests.doubles.openai import OpenAIDouble

DIM = 16


@pytest.fixture
def double() -> Iterator[OpenAIDouble]:
    """OpenAI on loopback."""
    with OpenAIDouble() as running:
        yield running


def variables_for(double: OpenAIDouble, folder: Path) -> Mapping[str, str]:
    """An environment that leads to the double."""
    return {
        "OPENAI_API_KEY": double.key,
        "OPENAI_BASE_URL": double.base_url,
        "EMBEDDINGS_PROVIDER": "openai",
        "EMBEDDINGS_MODEL": f"text-embedding-3-small?dimensions={DIM}",
        "LOOKALIKE_CACHE_DIR": str(folder),
    }


def configured(double: OpenAIDouble, folder: Path, **variables: str) -> Config:
    """Settings that lead to the double."""
    return Config.from_environ({**variables_for(double, folder), **variables})


def lookalike(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    command = [sys.executable, "-m", "lookalike", *arguments]
    env = {**os.environ, **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_conventional_variables_open_a_hosted_model(double: OpenAIDouble, tmp_path: Path) -> None:
    """Provider and key are enough; vectors come in the order of the texts, and know their space."""
    vectors = Embedder.open(config=configured(double, tmp_path)).embed_texts(["a dog", "a cat"])
    expected = np.array([vector_of("a dog", DIM), vector_of("a cat", DIM)], np.float32)
    np.testing.assert_allclose(vectors.values, expected, atol=1e-6)
    assert vectors.space.model.startswith("openai:text-embedding-3-small")
    assert vectors.usage.cost_usd > 0


def test_what_was_paid_for_is_not_paid_again(double: OpenAIDouble, tmp_path: Path) -> None:
    """Vectors are kept on disk: another process's embedder asks only for what is new, and says what that saved."""
    config = configured(double, tmp_path)
    Embedder.open(config=config).embed_texts(["a dog", "a cat"])
    n_requests = len(double.seen)
    again = Embedder.open(config=config).embed_texts(["a cat", "a dog"])
    assert (again.usage.requests, again.usage.cached, len(double.seen)) == (0, 2, n_requests)
    np.testing.assert_allclose(again.values[0], vector_of("a cat", DIM), atol=1e-6)


def test_switched_off_nothing_is_kept(double: OpenAIDouble, tmp_path: Path) -> None:
    """Without a cache every call asks."""
    config = configured(double, tmp_path, LOOKALIKE_CACHE="off")
    for _ in range(2):
        Embedder.open(config=config).embed_texts(["a dog"])
    assert len(double.seen) == 2


def test_a_limit_is_kept(double: OpenAIDouble, tmp_path: Path) -> None:
    """A request that would cost more than is left is not sent."""
    embedder = Embedder.open(config=configured(double, tmp_path, LOOKALIKE_MAX_COST_USD="0.0000001"))
    with pytest.raises(BudgetExceeded):
        embedder.embed_texts(["a dog with a very long story " * 20])
    assert double.seen == []


def test_a_missing_key_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    """Without a key the sentence says which variable to set."""
    config = Config.from_environ({"EMBEDDINGS_PROVIDER": "openai", "LOOKALIKE_CACHE_DIR": str(tmp_path)})
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        Embedder.open(config=config)


def test_the_command_line_embeds_with_a_hosted_model(double: OpenAIDouble, tmp_path: Path) -> None:
    """`embed` prints the vectors, `usage` what they cost, and `doctor` sends nothing."""
    environ = variables_for(double, tmp_path)
    done = lookalike(environ, "embed", "a dog")
    assert done.returncode == 0, done.stderr
    assert "a dog" in done.stdout
    n_requests = len(double.seen)
    used = lookalike(environ, "usage", "--json")
    assert json.loads(used.stdout), used.stderr
    doctor = lookalike(environ, "doctor", "--json")
    assert any("is hosted" in check["facts"] for check in json.loads(doctor.stdout)), doctor.stdout
    assert len(double.seen) == n_requests
    assert double.key not in done.stdout + done.stderr + used.stdout + doctor.stdout + doctor.stderr


@pytest.mark.parametrize(("command", "says"), [("serve", "hosted already"), ("index", "embeds no pictures")])
def test_what_a_hosted_model_of_texts_cannot_do_is_a_sentence(
    double: OpenAIDouble, tmp_path: Path, command: str, says: str
) -> None:
    """Neither a service nor an index of pictures can be made with it, and both say so."""
    places = [str(tmp_path)] if command == "index" else []
    done = lookalike({**variables_for(double, tmp_path), "LOOKALIKE_INDEX": str(tmp_path / "i")}, command, *places)
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split())


FORKED = """
import json, os
from lookalike import Embedder

embedder = Embedder.open()
embedder.embed_texts(["before"])
child = os.fork()
me = "parent" if child else "child"
vectors = embedder.embed_texts([f"{me} {number}" for number in range(100)], timeout_s=20)
again = embedder.embed_texts(["before"], timeout_s=20)
os.write(1, f"{json.dumps([me, again.usage.cached, vectors.values[-1].tolist()])}\\n".encode())
if child:
    _, status = os.waitpid(child, 0)
    assert status == 0, status
"""


def test_a_forked_process_embeds_as_its_parent_does(double: OpenAIDouble, tmp_path: Path) -> None:
    """Servers that load an application and fork: each process has threads, connections and files of its own."""
    environ = {**os.environ, **variables_for(double, tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for me, n_cached, last in map(json.loads, done.stdout.splitlines()):
        np.testing.assert_allclose(last, vector_of(f"{me} 99", DIM), atol=1e-6)
        assert n_cached == 1
    [row] = json.loads(lookalike(environ, "usage", "--json").stdout)["usage"]
    assert (row["texts"], row["cached"]) == (201, 2)
