"""One tower of a local model: its recipe, how it is compiled, and how it is opened and found sound."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread

import numpy as np

from lookalike.encoders import compiled, runtime
from lookalike.encoders.architecture import Architecture
from lookalike.encoders.batches import Feed, text_feed
from lookalike.encoders.compiled import Compiled, Facts
from lookalike.encoders.cores import available_cores
from lookalike.encoders.runtimes import Engine, Session, engine_of
from lookalike.errors import CorruptModel, LookalikeError
from lookalike.spaces import Modality, Precision, Runtime, digest_of
from lookalike.types import Rows

GRAPH_VERSION = 5
"""Raise it when the same checkpoint would give another graph: what was compiled before is then built again."""

CANARY_TOLERANCE = 1e-3
"""How far the vector of the canary may be from the one at build time before the files count as damaged."""

CANARY_TOKENS = 8

FACTS = {"canary", "cosine", "built"}
"""What `_build` says of a build."""

HEAD_START_S = 0.005
"""ONNX Runtime reads a graph, asks for the interpreter's lock once more, and then works without it for long. Whoever
builds a tokenizer holds that lock all the time, so what opens a tower beside it has to be past that point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that a tower is built from.

    Attributes:
        folder: The model's Hugging Face folder.
        name: The model's name.
        weights_sha256: sha256 (hex) of its checkpoint.
        architecture: What its config.json says.
        modality: Which of its towers.
        precision: "exact", "bf16" or "int8".
        runtime: What runs it.
        samples: Makes the inputs that a reduced precision is measured on.
        cache_dir: Where compiled towers are kept.
    """

    folder: Path
    name: str
    weights_sha256: str
    architecture: Architecture
    modality: Modality
    precision: Precision
    runtime: Runtime
    samples: Callable[[], Sequence[Feed]]
    cache_dir: Path

    @property
    def engine(self) -> Engine:
        """The library that runs it."""
        return engine_of(self.runtime)

    @property
    def is_reference(self) -> bool:
        """Whether the other towers of its space are measured against this one."""
        return self.precision == "exact" and self.runtime == "onnxruntime"

    @property
    def compiled_folder(self) -> Path:
        """Where it is when it is compiled: a name of its own for all that decides the content."""
        decides = [
            self.weights_sha256,
            asdict(self.architecture),
            self.modality,
            self.precision,
            GRAPH_VERSION,
            self.engine.version(),
            compiled.processor(),
        ]
        model = self.name.rsplit("/", 1)[-1]
        return self.cache_dir / f"{model}-{self.modality}-{self.precision}-{digest_of(decides)[:16]}"


class LazyTower:
    """A tower that is opened at its first use. Any number of threads may run it at once."""

    def __init__(self, recipe: Recipe, *, threads: int) -> None:
        self._recipe = recipe
        self._threads = threads
        self._lock = Lock()
        self._session: Session | None = None
        self._early = Lock()  # for the first who asks, and never released

    def open_early(self) -> None:
        """Begin to open the tower on another thread, for whoever has something else to do before the first `run`."""
        if self._session is not None or not self._early.acquire(blocking=False):
            return
        with suppress(LookalikeError):  # `run` tries again, and tells whoever needs the tower
            thread = Thread(target=self._try_to_open, args=(_ready(self._recipe),))
            thread.start()
            thread.join(HEAD_START_S)

    def run(self, feed: Feed) -> Rows:
        """(n, dim) float32 unit rows for the inputs of the tower's graph."""
        return self._opened().run(feed)

    def _opened(self, ready: Compiled | None = None) -> Session:
        if self._session is None:
            with self._lock:  # two threads may need a tower that neither has opened
                self._session = self._session or _open(self._recipe, ready or _ready(self._recipe), self._threads)
        return self._session

    def _try_to_open(self, ready: Compiled) -> None:
        with suppress(LookalikeError):
            self._opened(ready)


def cosine_of(recipe: Recipe) -> float:
    """The least cosine to the float32 tower that was measured when the tower was compiled; compiles it if need be."""
    if recipe.is_reference:
        return 1.0
    ready = _ready(recipe)
    ready.release()
    return float(ready.facts["cosine"])


def _ready(recipe: Recipe, replacing: Compiled | None = None) -> Compiled:
    folder = recipe.compiled_folder
    if replacing is None and (found := compiled.find(folder)) is not None:
        if found.facts.keys() >= FACTS:
            return found
        replacing = found
    return compiled.build_once(folder, partial(_build, recipe), replacing=replacing)


def _open(recipe: Recipe, ready: Compiled, threads: int) -> Session:
    """A session that is sound; built again if it is not."""
    session = _open_sound(recipe, ready, threads)
    if session is None:
        ready = _ready(recipe, replacing=ready)
        session = _open_sound(recipe, ready, threads)
    ready.release()
    if session is None:
        raise CorruptModel(
            f"The compiled model in {ready.folder} is damaged again right after it was built: this machine's disk or "
            "memory is at fault, or another machine writes there.",
            model=recipe.name,
            file=str(ready.folder),
        )
    return session


def _open_sound(recipe: Recipe, ready: Compiled, threads: int) -> Session | None:
    """A session, unless it cannot be opened or does not answer the canary as it did when it was built.

    Files that nobody has touched since they were built and tested need no canary: it costs as much as a first query.
    """
    try:
        session = recipe.engine.Session(ready.folder, threads=threads, precision=recipe.precision)
    except CorruptModel:
        return None
    if not ready.touched:
        return session
    distance = np.abs(session.run(_canary(recipe))[0] - np.array(ready.facts["canary"], np.float32)).max()
    # Written so that a NaN fails too.
    return session if distance <= CANARY_TOLERANCE else None


def _build(recipe: Recipe, folder: Path) -> Facts:
    """Compile a tower into an empty folder."""
    with _written(recipe, recipe.precision, folder) as written:
        recipe.engine.optimise(written, folder)
    session = recipe.engine.Session(folder, threads=available_cores(), precision=recipe.precision)
    canary = session.run(_canary(recipe))[0]
    if not np.isfinite(canary).all():
        raise CorruptModel(
            f"{recipe.name} gives vectors that are not finite: its checkpoint is damaged. Fetch the model again.",
            model=recipe.name,
            file="model.safetensors",
        )
    cosine = 1.0 if recipe.is_reference else _measure(recipe, session, folder)
    return {"canary": canary.tolist(), "cosine": cosine, "built": uuid.uuid4().hex}


@contextmanager
def _written(recipe: Recipe, precision: Precision, build: Path) -> Iterator[Path]:
    """A folder with the tower's graph as it is before it is compiled, while the block runs.

    It is within the build's own, so that it goes with that if the process is killed.
    """
    # Only a build needs these, and it is rare.
    from lookalike.encoders.checkpoint import open_checkpoint
    from lookalike.encoders.graph import write_graph

    with TemporaryDirectory(dir=build, prefix=".graph-") as folder, open_checkpoint(recipe.folder) as checkpoint:
        path = Path(folder) / runtime.GRAPH_FILE
        write_graph(
            path,
            checkpoint,
            recipe.architecture,
            modality=recipe.modality,
            precision=precision,
            runtime=recipe.runtime,
        )
        yield Path(folder)


def _measure(recipe: Recipe, session: Session, folder: Path) -> float:
    """The least cosine of a session's vectors to the float32 tower's, over the samples."""
    with _written(recipe, "exact", folder) as written:
        reference = runtime.Session(written, threads=available_cores())
    cosines = [np.einsum("ij,ij->i", session.run(feed), reference.run(feed)) for feed in recipe.samples()]
    return float(np.concatenate(cosines).min())


def _canary(recipe: Recipe) -> Feed:
    """One input with a bit of everything, the same in every process."""
    architecture = recipe.architecture
    if recipe.modality == "image" and architecture.vision is not None:
        size = architecture.vision.image_size
        wave = np.sin(np.arange(3 * size * size, dtype=np.float32) / 7)
        return {"pixels": wave.reshape(1, 3, size, size)}
    text = architecture.text
    ids = np.linspace(0, text.vocabulary - 1, min(CANARY_TOKENS, text.max_tokens)).astype(np.int64)
    return text_feed([ids], text)
