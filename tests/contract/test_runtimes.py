"""What every library that runs a local model keeps to, beyond what every Encoder does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lookalike.encoders.local import EngineOptions, LocalEncoder, open_encoder
from lookalike.encoders.runtimes import PRECISIONS
from lookalike.errors import ConfigError, MissingDependency, ModelError
from lookalike.spaces import REQUIRED_COSINE, Runtime
from lookalike.types import Rows
from tests.checkpoints import TEXTS, random_pixels, write_clip
from tests.golden.references import CASES, DATA, Case

LIMIT = 1e-5
"""Of the greatest difference to the reference; the project promises 1e-4."""

RUNS = 200

CHILD = """
import sys
from pathlib import Path
from lookalike.encoders.local import EngineOptions, open_encoder
model, cache, runtime = sys.argv[1:]
encoder = open_encoder(Path(model), name="small", weights_sha256="0" * 64, cache_dir=Path(cache),
                       options=EngineOptions(runtime=runtime))
encoder.encode_texts([encoder.prepare_text("a cat")])
"""

OTHERS = [runtime for runtime in PRECISIONS if runtime != "onnxruntime"]


@pytest.fixture(params=[(runtime, precision) for runtime in OTHERS for precision in PRECISIONS[runtime]])
def options(request: pytest.FixtureRequest) -> EngineOptions:
    """One of the other ways to run a model; tests/integration/test_compiled.py is about the usual one."""
    runtime, precision = request.param
    pytest.importorskip(runtime, reason=f"{runtime} is not installed here; `make parity` has it")
    return EngineOptions(runtime=runtime, precision=precision)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "model")


def open_model(folder: Path, cache: Path, options: EngineOptions) -> LocalEncoder:
    return open_encoder(folder, name="small", weights_sha256="0" * 64, cache_dir=cache, options=options)


def embed(encoder: LocalEncoder) -> Rows:
    texts = encoder.encode_texts([encoder.prepare_text(text) for text in TEXTS])
    return np.concatenate([texts, encoder.encode_images(random_pixels(2))])


def builds(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("runtime", PRECISIONS)
def test_nobody_is_told(runtime: Runtime, model: Path, tmp_path: Path) -> None:
    """To embed leaves nothing in the user's folders: no id to be known by, and no events that wait to be sent."""
    if find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed here; `make parity` has it")
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in {"ORT_DISABLE_TELEMETRY", "CI"}}
    subprocess.run(
        [sys.executable, "-c", CHILD, str(model), str(tmp_path / "cache"), runtime],
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        check=True,
    )
    assert sorted(home.rglob("*")) == []


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_vectors_are_the_references(case: Case, options: EngineOptions, tmp_path: Path) -> None:
    """In float32, pictures and texts have the vectors that transformers gives them; in bf16 and int8, nearly those."""
    encoder = open_model(case.write(tmp_path / "model"), tmp_path / "cache", options)
    with np.load(DATA / f"{case.name}.npz") as reference:
        pairs = [(encoder.encode_texts([encoder.prepare_text(text) for text in TEXTS]), reference["texts"])]
        if case.has_images:
            pairs.append((encoder.encode_images(random_pixels(3)), reference["images"]))
    for ours, theirs in pairs:
        assert (ours * theirs).sum(1).min() >= encoder.tower.cosine - 1e-4
        if options.precision == "exact":
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=LIMIT)


def test_it_writes_into_the_same_space(model: Path, options: EngineOptions, tmp_path: Path) -> None:
    """A tower of another runtime belongs to the same space, has a fingerprint of its own and a measured cosine."""
    usual = open_model(model, tmp_path / "cache", EngineOptions()).tower
    other = open_model(model, tmp_path / "cache", options).tower
    assert other.space == usual.space
    assert other.fingerprint != usual.fingerprint
    assert other.runtime == options.runtime
    assert REQUIRED_COSINE <= other.cosine <= 1 + 1e-6


def test_it_is_built_once(model: Path, options: EngineOptions, tmp_path: Path) -> None:
    """What was built for a runtime is its own, and is opened again without the checkpoint."""
    expected = embed(open_model(model, tmp_path / "cache", options))
    assert len(builds(tmp_path / "cache")) == 2
    (model / "model.safetensors").unlink()
    np.testing.assert_array_equal(embed(open_model(model, tmp_path / "cache", options)), expected)
    with pytest.raises(ModelError, match=r"holds no model\.safetensors"):
        embed(open_model(model, tmp_path / "cache", EngineOptions()))


def test_threads_run_it_at_once(model: Path, options: EngineOptions, tmp_path: Path) -> None:
    """Any number of threads may run an encoder at the same time, and each gets the vectors of its own inputs."""
    encoder = open_model(model, tmp_path / "cache", options)
    pictures = random_pixels(8)
    alone = [encoder.encode_images(pictures[[place]]) for place in range(len(pictures))]
    places = [turn % len(pictures) for turn in range(RUNS)]
    with ThreadPoolExecutor(len(pictures)) as pool:
        together = list(pool.map(lambda place: encoder.encode_images(pictures[[place]]), places))
    for place, rows in zip(places, together, strict=True):
        np.testing.assert_allclose(rows, alone[place], rtol=0, atol=LIMIT)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def garble(file: Path) -> None:
    file.write_bytes(b"\xff" * file.stat().st_size)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("graph.onnx", cut),
        ("graph.onnx", garble),
        ("graph.onnx.weights", cut),
        ("graph.onnx.weights", zero),
        ("graph.onnx.weights", Path.unlink),
    ],
)
def test_a_damaged_build_is_replaced(
    file: str, damage: Callable[[Path], None], model: Path, options: EngineOptions, tmp_path: Path
) -> None:
    """Whatever is wrong with a build, it is found out before a vector comes from it, and it is built again."""
    cache = tmp_path / "cache"
    expected = embed(open_model(model, cache, options))
    for folder in builds(cache):
        damage(folder / file)
    np.testing.assert_array_equal(embed(open_model(model, cache, options)), expected)
    (model / "model.safetensors").unlink()
    np.testing.assert_array_equal(embed(open_model(model, cache, options)), expected)


def test_a_build_cannot_be_kept(model: Path, options: EngineOptions, tmp_path: Path) -> None:
    """Where the cache cannot be written, a tower is built among the temporary files, and works once these are gone."""
    (tmp_path / "file").write_text("in the way", encoding="ascii")
    expected = embed(open_model(model, tmp_path / "cache", options))
    np.testing.assert_array_equal(embed(open_model(model, tmp_path / "file" / "cache", options)), expected)


def test_a_precision_without_kernels_is_refused() -> None:
    """A precision that a runtime does not compute in is refused at once, and the message says what does."""
    says = "LOOKALIKE_RUNTIME to onnxruntime or openvino, or LOOKALIKE_PRECISION to exact"
    with pytest.raises(ConfigError, match=says):
        EngineOptions(runtime="torch", precision="int8")
    with pytest.raises(ConfigError, match="LOOKALIKE_RUNTIME to openvino, or LOOKALIKE_PRECISION to exact"):
        EngineOptions(precision="bf16")


@pytest.mark.parametrize("runtime", OTHERS)
def test_a_library_that_is_missing_is_named(
    runtime: Runtime, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its library, a runtime says what to install, as soon as the model is opened."""
    monkeypatch.setitem(sys.modules, runtime, None)
    with pytest.raises(MissingDependency, match=rf"lookalike\[{runtime}\]"):
        open_model(model, tmp_path / "cache", EngineOptions(runtime=runtime))


def test_an_openvino_that_is_too_old_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that cannot read the graphs is a matter of what is installed, and not a damaged graph."""
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(__version__="2026.0.0-20965-c6d6a13a886"))
    with pytest.raises(ConfigError, match=r"2026\.0\.0.* is too old"):
        open_model(model, tmp_path / "cache", EngineOptions(runtime="openvino"))
