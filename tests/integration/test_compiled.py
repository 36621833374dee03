"""The cache of compiled models: built once, whole or not at all, and found sound before it is used."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lookalike.encoders import compiled
from lookalike.encoders.compiled import build_once, find
from lookalike.encoders.local import EngineOptions, LocalEncoder, open_encoder
from lookalike.errors import CorruptModel, ModelError
from lookalike.types import Rows
from tests.checkpoints import TEXTS, random_pixels, write_clip

CHILD = """
import sys
from pathlib import Path
from lookalike.encoders.local import EngineOptions, open_encoder
model, cache, precision = sys.argv[1:]
encoder = open_encoder(Path(model), name="small", weights_sha256="0" * 64, cache_dir=Path(cache),
                       options=EngineOptions(precision=precision))
print(encoder.encode_texts([encoder.prepare_text("a cat")]).tobytes().hex())
print(*sorted({"onnx", "safetensors", "torch"} & sys.modules.keys()))
"""


SHAPED = """
import sys
from pathlib import Path
import numpy as np
from tests import checkpoints
from lookalike.encoders.local import EngineOptions, open_encoder
folder, kind, *sizes = sys.argv[1:]
checkpoints.WIDTH, checkpoints.HEADS, checkpoints.INNER, checkpoints.PATCH = map(int, sizes)
checkpoints.EDGE = 4 * checkpoints.PATCH
{"clip": checkpoints.write_clip, "bert": checkpoints.write_bert}[kind](Path(folder) / "model")
vectors = []
for precision in ("exact", "int8"):
    encoder = open_encoder(Path(folder) / "model", name="small", weights_sha256="0" * 64,
                           cache_dir=Path(folder) / "cache", options=EngineOptions(precision=precision))
    rows = encoder.encode_texts([encoder.prepare_text(text) for text in checkpoints.TEXTS])
    if kind == "clip":
        rows = np.concatenate([rows, encoder.encode_images(checkpoints.random_pixels(2, edge=checkpoints.EDGE))])
    vectors.append(rows)
print(np.einsum("ij,ij->i", *vectors).min())
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "model")


def open_model(model: Path, cache: Path, options: EngineOptions | None = None) -> LocalEncoder:
    return open_encoder(model, name="small", weights_sha256="0" * 64, cache_dir=cache, options=options)


def embed(encoder: LocalEncoder) -> Rows:
    texts = encoder.encode_texts([encoder.prepare_text(text) for text in TEXTS])
    return np.concatenate([texts, encoder.encode_images(random_pixels(2))])


def builds(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if not path.name.startswith("."))


def child(model: Path, cache: Path, precision: str = "exact") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(model), str(cache), precision]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("precision", ["exact", "int8"])
def test_a_compiled_model_needs_no_checkpoint(model: Path, tmp_path: Path, precision: str) -> None:
    """Opening it again reads no checkpoint and imports neither onnx nor safetensors."""
    first = child(model, tmp_path / "cache", precision).communicate()[0].splitlines()
    assert "onnx" in first[1]
    (model / "model.safetensors").unlink()
    assert child(model, tmp_path / "cache", precision).communicate()[0].splitlines() == [first[0], ""]


@pytest.mark.parametrize(
    ("kind", "width", "heads", "inner", "patch"),
    [("bert", 312, 12, 600, 8), ("clip", 66, 3, 130, 8), ("clip", 80, 4, 112, 7), ("clip", 100, 4, 50, 5)],
)
def test_a_model_of_any_width_runs(tmp_path: Path, kind: str, width: int, heads: int, inner: int, patch: int) -> None:
    """Sizes that are no multiples of what processors like end no process, in either precision."""
    command = [sys.executable, "-c", SHAPED, str(tmp_path), kind, *map(str, (width, heads, inner, patch))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.98


def test_each_recipe_has_its_own_build(model: Path, tmp_path: Path) -> None:
    """Towers and precisions are compiled for themselves, when first needed; int8 is measured when it is opened."""
    encoder = open_model(model, tmp_path / "cache")
    encoder.encode_texts([encoder.prepare_text("a")])
    assert [path.name.rsplit("-", 1)[0] for path in builds(tmp_path / "cache")] == ["small-text-exact"]
    open_model(model, tmp_path / "cache", EngineOptions(precision="int8"))
    names = [path.name.rsplit("-", 1)[0] for path in builds(tmp_path / "cache")]
    assert names == ["small-image-int8", "small-text-exact", "small-text-int8"]


def test_other_weights_are_never_mistaken(tmp_path: Path) -> None:
    """Another digest of the weights, or another config.json, is another build."""
    cache = tmp_path / "cache"
    first = write_clip(tmp_path / "first", seed=1)
    embed(open_model(first, cache))
    embed(open_encoder(first, name="small", weights_sha256="1" * 64, cache_dir=cache))
    embed(open_model(write_clip(tmp_path / "gelu", seed=1, activation="gelu"), cache))
    assert len(builds(cache)) == 6


def test_processes_build_once(model: Path, tmp_path: Path) -> None:
    """Four processes that want the same build at once all get it, one of them builds, and nothing is left over."""
    cache = tmp_path / "cache"
    children = [child(model, cache) for _ in range(4)]
    answers = [process.communicate()[0].splitlines() for process in children]
    assert len({answer[0] for answer in answers}) == 1
    assert sorted(answer[1] for answer in answers) == ["", "", "", "onnx safetensors"]
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [builds(cache)[0].name]


DAMAGES = ("cut", "zeros", "no weights", "no manifest", "garbage manifest", "no facts", "files gone", "garbage graph")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_build_is_replaced(damage: str, model: Path, tmp_path: Path) -> None:
    """Whatever is wrong with a build, it is found out before a vector comes from it, and it is built again."""
    cache = tmp_path / "cache"
    expected = embed(open_model(model, cache))
    for folder in builds(cache):
        weights, manifest, graph = (folder / name for name in ("weights.bin", "manifest.json", "graph.onnx"))
        match damage:
            case "cut":
                os.truncate(weights, weights.stat().st_size // 2)
            case "zeros":
                weights.write_bytes(bytes(weights.stat().st_size))
            case "no weights":
                weights.unlink()
            case "no manifest":
                manifest.unlink()
            case "garbage manifest":
                manifest.write_bytes(b"[1, 2")
            case "no facts":
                manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), "facts": {}}), encoding="utf-8")
            case "files gone":  # as another process leaves it that replaces the build at this very moment
                manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), "files": {}}), encoding="utf-8")
                graph.unlink()
                weights.unlink()
            case _:
                graph.write_bytes(b"\xff" * graph.stat().st_size)
    np.testing.assert_array_equal(embed(open_model(model, cache)), expected)
    (model / "model.safetensors").unlink()
    np.testing.assert_array_equal(embed(open_model(model, cache)), expected)


@pytest.mark.parametrize("damage", ["no facts", "files gone"])
def test_a_damaged_int8_build_is_replaced(damage: str, model: Path, tmp_path: Path) -> None:
    """Its cosine is asked for before it is opened, and is measured again where it is not known."""
    options = EngineOptions(precision="int8")
    first = open_model(model, tmp_path / "cache", options)
    expected = embed(first)
    for folder in builds(tmp_path / "cache"):
        manifest = json.loads((folder / "manifest.json").read_bytes())
        changed = {"facts": {}} if damage == "no facts" else {"files": {}}
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changed}), encoding="utf-8")
        if damage == "files gone":
            (folder / "graph.onnx").unlink()
    again = open_model(model, tmp_path / "cache", options)
    assert again.tower.cosine == first.tower.cosine
    np.testing.assert_array_equal(embed(again), expected)


def test_a_build_that_was_touched_is_tested_and_kept(model: Path, tmp_path: Path) -> None:
    """A copy of the cache, or a file written to, counts as touched; if it is sound all the same, it is not rebuilt."""
    expected = embed(open_model(model, tmp_path / "cache"))
    assert [ready.touched for folder in builds(tmp_path / "cache") if (ready := find(folder))] == [False, False]
    shutil.copytree(tmp_path / "cache", tmp_path / "copy", copy_function=shutil.copyfile)
    assert [ready.touched for folder in builds(tmp_path / "copy") if (ready := find(folder))] == [True, True]
    (model / "model.safetensors").unlink()
    np.testing.assert_array_equal(embed(open_model(model, tmp_path / "copy")), expected)


def test_a_damaged_build_without_its_checkpoint_is_an_error(model: Path, tmp_path: Path) -> None:
    """If there is nothing to build from, the error names the missing file; wrong vectors are never given."""
    cache = tmp_path / "cache"
    embed(open_model(model, cache))
    for folder in builds(cache):
        (folder / "weights.bin").write_bytes(bytes((folder / "weights.bin").stat().st_size))
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no model\.safetensors"):
        embed(open_model(model, cache))


def test_a_cache_that_cannot_be_written_costs_time_only(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model still works, a warning says why it is slow to start, and nothing stays among the temporary files."""
    expected = embed(open_model(model, tmp_path / "cache"))
    (tmp_path / "file").write_text("in the way", encoding="ascii")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(embed(open_model(model, tmp_path / "file")), expected)
    assert "cannot be kept" in caplog.text
    assert "LOOKALIKE_CACHE_DIR" in caplog.text
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    """If there is room nowhere, the error says where it is needed; nothing half-written stays."""

    def build(folder: Path) -> compiled.Facts:
        (folder / "weights.bin").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ModelError, match=r"no room.*No space left"):
        build_once(tmp_path / "cache" / "build", build)
    assert find(tmp_path / "cache" / "build") is None
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """An error of the builder comes out as it is, and its files are removed."""

    def build(folder: Path) -> compiled.Facts:
        (folder / "weights.bin").write_bytes(b"half")
        raise CorruptModel("bad")

    with pytest.raises(CorruptModel, match="bad"):
        build_once(tmp_path / "cache" / "build", build)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("step", ["optimise", "Session"])
def test_a_killed_build_is_cleared_away(model: Path, tmp_path: Path, step: str) -> None:
    """What a process leaves that is killed while it builds, at whichever step, goes with the next build of the same."""
    cache = tmp_path / "cache"
    kill = (
        f"import os, lookalike.encoders.runtime as runtime; runtime.{step} = lambda *_, **__: os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", f"{kill}\n{CHILD}", str(model), str(cache), "int8"]
    assert subprocess.run(command, check=False).returncode == -9
    assert [path for path in cache.iterdir() if path.is_dir()] != []
    embed(open_model(model, cache, EngineOptions(precision="int8")))
    assert sorted(path for path in cache.iterdir() if path.is_dir()) == builds(cache)
    assert {path.name for folder in builds(cache) for path in folder.iterdir()} == {
        "graph.onnx",
        "manifest.json",
        "weights.bin",
    }


def test_threads_build_once(tmp_path: Path) -> None:
    """Threads of one process wait for each other as processes do."""
    built = []

    def build(folder: Path) -> compiled.Facts:
        built.append(folder)
        return {"n": len(built)}

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: build_once(tmp_path / "cache" / "build", build), range(16)))
    assert len(built) == 1
    assert {result.facts["n"] for result in results} == {1}


def test_a_build_may_be_read_by_others(model: Path, tmp_path: Path) -> None:
    """The folder follows the umask, so that a cache can be shared between users."""
    embed(open_model(model, tmp_path / "cache"))
    (tmp_path / "plain").mkdir()
    assert {path.stat().st_mode for path in builds(tmp_path / "cache")} == {(tmp_path / "plain").stat().st_mode}
