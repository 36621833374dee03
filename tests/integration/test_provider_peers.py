"""Servers of others behind OpenAI's API: what our adapter makes of their answers is what the models themselves say.

`make peers` installs them. They are looked for in .venv-infinity and .venv-llama, and in the interpreters that
$LOOKALIKE_PEERS names, with ":" between them.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lookalike import Embedder
from lookalike.embed import Embedder as AnyEmbedder
from lookalike.errors import ProviderError, Refused
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.table import open_vectorizer
from lookalike.secret import Secret
from tests.faults.service.beside import infinity
from tests.faults.service.target import Target
from tests.pictures import noise

ROOT = Path(__file__).resolve().parents[2]
NAMED = filter(None, os.environ.get("LOOKALIKE_PEERS", "").split(os.pathsep))
INTERPRETERS = [*map(Path, NAMED), *(ROOT / name / "bin" / "python" for name in (".venv-infinity", ".venv-llama"))]
TEXTS = ["a red dress", "two dogs on a beach", "שמלה אדומה", "a"]
KINDS = ("PNG", "JPEG", "GIF") * 15
KEY = "sk-peer-0123456789"


def interpreter_with(module: str) -> Path:
    """An interpreter that has a module; the test is skipped if there is none."""
    for python in INTERPRETERS:
        if any(python.parent.parent.glob(f"lib/python*/site-packages/{module}")):
            return python
    pytest.skip(f"{module} is not installed: make peers, or name an interpreter that has it in $LOOKALIKE_PEERS")


@contextmanager
def started(target: Target) -> Iterator[str]:
    """The address of a server that is ready."""
    target.start()
    try:
        asyncio.run(target.until_ready())
        yield target.base_url
    finally:
        target.stop()


@contextmanager
def embedder_of(name: str, *, key: str = KEY) -> Iterator[AnyEmbedder]:
    ref = ModelRef.parse(name)
    assert ref is not None
    vectorizer = open_vectorizer(ref, ProviderSettings(keys={"openai": Secret(key)}, timeout_s=60.0))
    try:
        yield AnyEmbedder(vectorizer)
    finally:
        vectorizer.close()


@pytest.fixture(scope="module")
def clip(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small CLIP of random weights, as Hugging Face's libraries write it."""
    folder = tmp_path_factory.mktemp("models") / "clip"
    make = [interpreter_with("infinity_emb"), shared / "peers" / "make_tiny_clip.py", folder]
    subprocess.run([*map(str, make)], check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def infinity_url(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """infinity_emb with that model."""
    target = infinity(tmp_path_factory.mktemp("infinity"), interpreter_with("infinity_emb"), clip)
    target.command = [*target.command, "--api-key", KEY]
    with started(target) as url:
        yield f"{url}/v1"


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.einsum("ij,ij->i", a, b).min())


def test_infinity_is_the_model_that_it_serves(infinity_url: str, clip: Path) -> None:
    """Texts and pictures through infinity have the vectors of the same folder opened here; long texts are its own.

    infinity 0.0.78 cuts a text for CLIP to 20 tokens without saying so: it takes transformers' default length of
    generated texts for the length that the model reads.
    """
    local = Embedder.open(str(clip))
    pictures = [noise(seed, size=(32 + 7 * seed, 40), kind=kind) for seed, kind in enumerate(KINDS)]
    with embedder_of(f"openai:tiny?base_url={infinity_url}&images=1") as remote:
        assert least_cosine(remote.embed_texts(TEXTS).values, local.embed_texts(TEXTS).values) > 0.9999
        assert least_cosine(*(remote.embed_texts(["x" * n]).values for n in (20, 60))) > 0.9999
        assert least_cosine(*(local.embed_texts(["x" * n]).values for n in (20, 60))) < 0.9999
        assert least_cosine(remote.embed_images(pictures).values, local.embed_images(pictures).values) > 0.999


def test_infinity_refuses_what_it_cannot_use(infinity_url: str) -> None:
    """Of a batch with a picture that infinity refuses the others have their vectors; a wrong key is named."""
    with embedder_of(f"openai:tiny?base_url={infinity_url}&images=1") as remote:
        found = remote.embed_images([noise(1), noise(2, size=(2, 2)), noise(3)], on_error="collect")
        assert found.positions.tolist() == [0, 2]
        assert [failure.position for failure in found.failures] == [1]
    name = f"openai:tiny?base_url={infinity_url}"
    with pytest.raises(Refused, match="OPENAI_API_KEY"), embedder_of(name, key="sk-no"):
        pass


@contextmanager
def llama(shared: Path, folder: Path, recipe: str) -> Iterator[str]:
    """The address of llama_cpp.server with a small model of random weights, which `recipe` makes."""
    python, gguf = interpreter_with("llama_cpp"), folder / "tiny.gguf"
    subprocess.run([str(python), str(shared / "peers" / recipe), str(gguf)], check=True, timeout=60)
    command = [str(python), "-m", "llama_cpp.server", "--model", str(gguf), "--model_alias", "tiny", "--n_ctx", "128"]
    options = ["--embedding", "true", "--host", "127.0.0.1", "--api_key", KEY]
    with started(Target("llama", [*command, *options], folder / "llama.log", ready_path="/docs")) as url:
        yield f"{url}/v1"


def test_llama_is_read_though_it_knows_no_base64(shared: Path, tmp_path: Path) -> None:
    """Its numbers, which are of any length, are read and made unit; a text has the same vector alone and in a batch."""
    with (
        llama(shared, tmp_path, "make_tiny_gguf_mean_pooled.py") as url,
        embedder_of(f"openai:tiny?base_url={url}") as remote,
    ):
        found = remote.embed_texts(TEXTS).values
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert least_cosine(found, np.stack([remote.embed_texts([text]).values[0] for text in TEXTS])) > 0.9999
        with pytest.raises(Refused, match="OPENAI_API_KEY"), embedder_of(f"openai:tiny?base_url={url}", key="sk-no"):
            pass


def test_llama_without_pooling_is_told_what_to_set(shared: Path, tmp_path: Path) -> None:
    """A vector for each token is no vector of a text: the sentence names the option."""
    with (
        llama(shared, tmp_path, "make_tiny_gguf.py") as url,
        pytest.raises(ProviderError, match="--pooling mean"),
        embedder_of(f"openai:tiny?base_url={url}"),
    ):
        pass
