"""A chain by configuration: two endpoints of one model, one of which is down, hangs or answers with other vectors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from lookalike import Config, Embedder, Index
from lookalike.errors import ConfigError, SpaceMismatch, Unavailable
from lookalike.messages import Request
from lookalike.serverless.asgi import VERCEL
from lookalike.serverless.service import Service
from lookalike.weights.local import BUILT_IN
from tests.doubles.double import broken, hang, vector_of, with_vectors
from tests.doubles.huggingface import KEY, HandlerDouble
from tests.doubles.openai import CompatibleDouble, OpenAIDouble
from tests.integration.test_serve_command import started
from tests.pictures import noise, write
from tests.serving import InlineService, serving

PATIENCE_S = 30.0

turned = with_vectors(lambda vectors: [vector[::-1] for vector in vectors])
"""Vectors of another model, from an endpoint that does not say so."""


@pytest.fixture
def doubles() -> Iterator[tuple[HandlerDouble, HandlerDouble]]:
    """Two endpoints that serve one model."""
    with HandlerDouble() as first, HandlerDouble() as second:
        yield first, second


@pytest.fixture
def variables(doubles: tuple[HandlerDouble, HandlerDouble], tmp_path: Path) -> Mapping[str, str]:
    """An environment in which the second stands in for the first, and nothing takes long."""
    first, second = doubles
    return {
        "HF_TOKEN": KEY,
        "LOOKALIKE_MODEL": f"huggingface:{first.url}",
        "LOOKALIKE_FALLBACK": f"huggingface:{second.url}",
        "LOOKALIKE_PROVIDER_TIMEOUT_S": "1",
        "LOOKALIKE_CACHE_DIR": str(tmp_path / "cache"),
        "LOOKALIKE_INDEX": str(tmp_path / "photos.lookalike"),
    }


def lookalike(variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    command = [sys.executable, "-m", "lookalike", *arguments]
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def embedded_by(double: HandlerDouble) -> int:
    """How many requests for vectors it had."""
    return sum(bool(seen.body and seen.body.get("inputs")) for seen in double.seen)


def test_the_command_line_goes_on_where_the_first_is_down(
    doubles: tuple[HandlerDouble, HandlerDouble], variables: Mapping[str, str], tmp_path: Path
) -> None:
    """index, search and embed work while the first endpoint says 503, say who answered, and never show the key."""
    doubles[0].rule = broken(503)
    write(tmp_path / "pictures", {f"{n}.png": noise(n) for n in range(3)})
    done = [
        lookalike(variables, "index", str(tmp_path / "pictures")),
        lookalike(variables, "search", "a red dress", "--json"),
        lookalike(variables, "embed", "a red dress"),
    ]
    for one in done:
        assert one.returncode == 0, one.stderr
        assert f"huggingface:{doubles[1].url} did in its place" in one.stdout + one.stderr
        assert KEY not in one.stdout + one.stderr
    row = json.loads(done[2].stdout)["results"][0]["embedding"]
    np.testing.assert_allclose(row, vector_of("a red dress", 8), atol=1e-6)
    with Index.open(config=Config.from_environ(variables)) as index:
        assert index.stats().items == 3


def test_an_endpoint_that_breaks_or_hangs_leaves_what_is_missing_to_the_next(
    doubles: tuple[HandlerDouble, HandlerDouble], variables: Mapping[str, str]
) -> None:
    """What the first answered is not asked again, and the rest comes from the second before the deadline."""
    first, second = doubles
    embedder = Embedder.open(config=Config.from_environ(variables))
    embedder.embed_texts(["before"])  # the canary is behind us
    asked = embedded_by(second)
    first.rule = hang
    until = time.monotonic() + 4.0
    found = embedder.embed_texts(["before", "after"], timeout_s=4.0)
    assert time.monotonic() < until
    np.testing.assert_allclose(found.values, [vector_of("before", 8), vector_of("after", 8)], atol=1e-6)
    assert len(found.warnings) == 1
    assert embedded_by(second) - asked == 2  # its canary, and what was missing
    assert second.inputs(second.seen[-1]) == ["after"]


def test_an_endpoint_with_other_vectors_is_taken_out(
    doubles: tuple[HandlerDouble, HandlerDouble], variables: Mapping[str, str]
) -> None:
    """After the first has defined the canary, a second with other vectors answers nothing, even as the last hope."""
    first, second = doubles
    config = Config.from_environ({**variables, "LOOKALIKE_CACHE": "off"})
    Embedder.open(config=config).embed_texts(["red"])
    embedder = Embedder.open(config=config)  # another process, as it were
    first.rule, second.rule = broken(500), turned
    with pytest.raises(Unavailable, match=rf"huggingface:{second.url} gives the canary .* cosine"):
        embedder.embed_texts(["blue"], timeout_s=3.0)
    second.rule = None  # too late: for this process it is out
    with pytest.raises(Unavailable, match="cosine"):
        embedder.embed_texts(["blue"], timeout_s=1.0)


def test_models_of_two_spaces_are_refused_when_they_are_configured(
    variables: Mapping[str, str],
) -> None:
    """The command names both, the three right ways, and the command that could prove that they are one."""
    with OpenAIDouble() as other:
        model = f"openai:text-embedding-3-small?dimensions=8&base_url={other.base_url}"
        done = lookalike({**variables, "LOOKALIKE_FALLBACK": model, "OPENAI_API_KEY": other.key}, "embed", "red")
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    for words in ("cannot stand in for", "same weights", "a bridge", "an index of its own", "lookalike parity"):
        assert words in said
    assert other.seen == []


def test_a_proof_of_parity_lets_a_model_of_another_space_in(tmp_path: Path) -> None:
    """Two servers of one model, which nobody can see: refused, measured by `lookalike parity`, and then a chain."""
    with CompatibleDouble() as first, CompatibleDouble() as second:
        models = [f"openai:org/clip?images=1&base_url={double.base_url}" for double in (first, second)]
        variables = {
            "OPENAI_API_KEY": first.key,
            "LOOKALIKE_MODEL": models[0],
            "LOOKALIKE_FALLBACK": models[1],
            "LOOKALIKE_PROVIDER_TIMEOUT_S": "1",
            "LOOKALIKE_CACHE_DIR": str(tmp_path),
        }
        config = Config.from_environ(variables)
        with pytest.raises(SpaceMismatch, match="cannot stand in"):
            Embedder.open(config=config)
        measured = lookalike(variables, "parity", *models)
        assert measured.returncode == 0, measured.stdout + measured.stderr
        embedder = Embedder.open(config=config)
        first.rule = broken(500)
        found = embedder.embed_texts(["a dog"])
        np.testing.assert_allclose(found.values[0], vector_of("a dog", len(found.values[0])), atol=1e-6)
        assert found.space == embedder.space
        assert len(found.warnings) == 1


def test_a_missing_key_of_a_stand_in_is_named_at_once(variables: Mapping[str, str]) -> None:
    """A wrong setting is told before anything fails over."""
    config = Config.from_environ({**variables, "LOOKALIKE_FALLBACK": "cohere:embed-v4.0"})
    with pytest.raises(ConfigError, match="COHERE_API_KEY"):
        Embedder.open(config=config)


def test_the_local_model_stands_in_for_a_service_that_is_gone(tmp_path: Path) -> None:
    """A service that cannot be reached when the chain is opened is no error: the model here has the very space."""
    config = Config.from_environ(
        {
            "LOOKALIKE_MODEL": "lookalike:http://127.0.0.1:9",  # nothing listens at the discard port
            "LOOKALIKE_FALLBACK": "tiny",
            "LOOKALIKE_PROVIDER_TIMEOUT_S": "1",
            "LOOKALIKE_CACHE_DIR": str(tmp_path),
        }
    )
    embedder = Embedder.open(config=config)
    assert embedder.space.key == Embedder.open("tiny").space.key
    found = embedder.embed_texts(["a red dress"])
    assert "tiny did in its place" in found.warnings[0]


def test_a_serverless_function_answers_with_a_chain(
    doubles: tuple[HandlerDouble, HandlerDouble], variables: Mapping[str, str]
) -> None:
    """Each vector of the stand-in has a warning in the function's answer."""
    doubles[0].rule = broken(503)
    service = Service(VERCEL, lambda: Config.from_environ(variables))
    body = json.dumps({"texts": ["red", "blue"]}).encode()
    answer = service.answer(Request("POST", "/embed/text", body, {"content-type": "application/json"}))
    assert answer.status == 200, answer.body
    warnings = json.loads(answer.body)["warnings"]
    assert [one["index"] for one in warnings] == [0, 1]
    assert all("did in its place" in one["message"] for one in warnings)


def test_a_service_goes_on_where_its_own_model_is_lost(tmp_path: Path) -> None:
    """Another service of the same model answers in the workers' place, and it is seen, until these are back."""
    model = tmp_path / "model"
    shutil.copytree(BUILT_IN / "tiny", model)
    inline = InlineService(Embedder.open("tiny"))
    environ = {"LOOKALIKE_CACHE_DIR": str(tmp_path / "cache"), "LOOKALIKE_INDEX": str(tmp_path / "none")}
    with serving(inline) as other, ExitStack() as stack:
        environ["LOOKALIKE_FALLBACK"] = f"lookalike:{other.url}"
        environ["LOOKALIKE_API_KEY"] = secret = "sk-the-key-of-the-stand-in"
        process = stack.enter_context(started("--model", str(model), **environ))
        process.wait_for("Ready after")
        client = stack.enter_context(httpx2.Client(base_url=process.url, timeout=PATIENCE_S))

        def asked() -> dict[str, Any]:
            answer = client.post("/embed/text", json={"text": "a red dress"})
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        own = asked()
        assert "warning" not in own
        model.rename(tmp_path / "gone")
        (worker,) = client.get("/stats").json()["workers"]
        os.kill(worker["pid"], signal.SIGKILL)
        lent = asked()
        assert f"lookalike:{other.url} did in their place" in lent["warning"], lent
        assert (lent["space"], lent["model"]) == (own["space"], own["model"])
        np.testing.assert_allclose(lent["embedding"], own["embedding"], atol=1e-5)
        standard = client.post("/v1/embeddings", json={"input": "a red dress", "model": lent["model"]})
        assert "did in their place" in standard.headers["x-warning"]
        stats = client.get("/stats").json()
        assert stats["ready"]
        assert "stand-in" in stats["reason"]
        assert [(one["name"], one["state"]) for one in stats["members"]] == [(f"lookalike:{other.url}", "ok")]
        assert stats["events"]["failover"] == 1
        assert 'lookalike_chain_member{member="lookalike:' in client.get("/metrics").text
        told = [client.get(path).text for path in ("/metrics", "/stats", "/readyz", "/v1/models", "/openapi.json")]
        assert not [text for text in (*told, json.dumps(lent), standard.text) if secret in text]
        (tmp_path / "gone").rename(model)
        until = time.monotonic() + PATIENCE_S
        while "warning" in asked():  # each answer takes its time: the workers are tried again after a second or two
            assert time.monotonic() < until
        assert client.get("/stats").json()["events"]["failback"] == 1
    inline.close(drain_s=0)


@pytest.mark.parametrize(
    ("fallback", "says"),
    [("openai:text-embedding-3-small?dimensions=8", "cannot stand in for tiny"), ("clip", "Name hosted models")],
)
def test_a_service_refuses_who_cannot_stand_in(tmp_path: Path, fallback: str, says: str) -> None:
    """serve ends at once, with a sentence, where a member is of another space or is no hosted model."""
    variables = {
        "OPENAI_API_KEY": "sk-0123456789",
        "LOOKALIKE_MODEL": "tiny",
        "LOOKALIKE_FALLBACK": fallback,
        "LOOKALIKE_CACHE_DIR": str(tmp_path / "cache"),
        "LOOKALIKE_INDEX": str(tmp_path / "none"),
    }
    done = lookalike(variables, "serve", "--port", "0")
    assert done.returncode != 0
    assert says in " ".join(done.stderr.split())
