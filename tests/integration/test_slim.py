"""The slim installation: hosted models, cache and PostgreSQL search in one archive that serverless platforms take."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.openai import CompatibleDouble

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 50 * 10**6
MAX_IMPORT_S = 0.3
NOT_IN_IT = {"torch", "onnxruntime", "onnx", "tokenizers", "fastapi", "pydantic", "openvino"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, built as the documents say."""
    path = tmp_path_factory.mktemp("slim") / "function.zip"
    done = subprocess.run(
        [sys.executable, "deploy/archive.py", str(path), "deploy/lambda/handler.py"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode and ("No matching distribution" in done.stderr or "NewConnectionError" in done.stderr):
        pytest.skip("there is no package index to install the dependencies from")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The archive as a platform unpacks it: nobody can write there."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    yield folder


def run(installed: Path, code: str) -> str:
    """What a fresh interpreter prints that has nothing but the archive, and writes no compiled files."""
    start = f"import sys; sys.path.insert(0, {str(installed)!r})"
    command = [sys.executable, "-B", "-I", "-S", "-c", f"{start}\n{code}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_archive_is_small(archive: Path) -> None:
    """The whole archive, compiled files and the built-in model included, has at most 50 MB."""
    assert archive.stat().st_size <= MAX_BYTES


def test_importing_it_is_quick_and_brings_no_engine(installed: Path) -> None:
    """The public names take at most 0.3 s, the best of five fresh processes; no local engine is even installed."""
    code = """if True:
        from time import perf_counter as now
        start = now(); import lookalike; lookalike.Embedder; lookalike.Index; took = now() - start
        print(took, *{name.partition(".")[0] for name in sys.modules})"""
    runs = [run(installed, code).split() for _ in range(5)]
    assert min(float(words[0]) for words in runs) <= MAX_IMPORT_S
    assert NOT_IN_IT & set(runs[0][1:]) == set()
    assert {path.name for path in installed.iterdir()} & NOT_IN_IT == set()


def test_what_it_is_for_is_in_it(installed: Path) -> None:
    """A PostgreSQL driver, the cache on it and the entry points of both platforms can be imported."""
    code = "import psycopg, lookalike.cache.postgres, handler, lookalike.serverless.asgi; print(psycopg.pq.__impl__)"
    assert run(installed, code).strip() == "binary"


def test_it_embeds_with_a_hosted_model(installed: Path, tmp_path: Path) -> None:
    """The function in the archive answers an event with the vector of a provider's double."""
    event = {
        "rawPath": "/embed/text",
        "headers": {"content-type": "application/json"},
        "body": '{"text": "a red dress"}',
        "requestContext": {"http": {"method": "POST"}},
    }
    with CompatibleDouble() as double:
        variables = {
            "LOOKALIKE_MODEL": f"openai:org/clip?images=1&base_url={double.url}/v1",
            "OPENAI_API_KEY": "any",
            "HOME": str(tmp_path),
        }
        code = f"import os; os.environ.update({variables!r}); import handler; print(handler.handler({event!r}, None))"
        reply = ast.literal_eval(run(installed, code))
    assert reply["statusCode"] == 200
    assert json.loads(reply["body"])["dimensions"] == double.dim
