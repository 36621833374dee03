"""OpenVINO: reads the very graph that is written for ONNX Runtime, fused operators included, int8 too.

The only file that imports `openvino`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from lookalike.encoders.batches import Feed
from lookalike.encoders.graph_ops import move_graph
from lookalike.encoders.runtime import GRAPH_FILE
from lookalike.errors import ConfigError, CorruptModel, MissingDependency, ModelError
from lookalike.spaces import Precision
from lookalike.types import Rows

if TYPE_CHECKING:
    import openvino

DEVICE = "CPU"

OLDEST = (2026, 4)
"""The first version that reads ONNX Runtime's fused attention (2026.0 does not)."""


def version() -> str:
    """OpenVINO's own version.

    Raises:
        MissingDependency: It is not installed.
        ConfigError: It is too old.
    """
    return f"openvino {_openvino().__version__}"


def optimise(source: Path, folder: Path) -> None:
    """Keep the graph as it is: OpenVINO compiles it as fast as it reads a compiled one (measured with 2026.4).

    Nor does it get its CACHE_DIR: out of that, a model in bf16 gave NaN and damaged the heap (2026.4.1).
    """
    move_graph(source, folder)


class Session:
    """An open graph. Any number of threads may run it at once."""

    def __init__(self, folder: Path, *, threads: int, precision: Precision = "exact") -> None:
        """Compile a graph.

        Args:
            folder: Holds the graph, as `optimise` left it.
            threads: Cores for one run.
            precision: What it computes in; that it is "int8", the graph itself says.

        Raises:
            CorruptModel: Its files are damaged.
        """
        settings = {
            # Without a word, OpenVINO chooses bfloat16 on processors that have it.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Pinned, the threads of several processes would all be on the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._model = _openvino().Core().compile_model(folder / GRAPH_FILE, DEVICE, settings)
        except RuntimeError as error:  # the one class that its errors have
            raise CorruptModel(
                f"The graph in {folder} cannot be compiled ({error}): delete that folder.", file=str(folder)
            ) from error
        self._idle: list[openvino.InferRequest] = []

    def run(self, feed: Feed) -> Rows:
        """The graph's vectors, (n, dim) float32, for its inputs by name."""
        try:
            request = self._request()
            vectors = request.infer(feed)["vectors"]
        except RuntimeError as error:
            raise ModelError(f"OpenVINO failed ({error}): if memory is short, use fewer processes.") from error
        self._idle.append(request)
        return cast(Rows, vectors)

    def _request(self) -> openvino.InferRequest:
        """The states of one run: each thread needs its own, and they are dear to make."""
        try:
            return self._idle.pop()
        except IndexError:  # found out by trying: after a look another thread could take the last one
            return self._model.create_infer_request()


def _openvino() -> ModuleType:
    # To import it tells Intel of it, unless this library is absent, which OpenVINO takes for a no.
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    try:
        import openvino
    except ImportError as error:
        raise MissingDependency("openvino", extra="openvino") from error
    module: ModuleType = openvino
    if tuple(int(part) for part in module.__version__.split(".")[:2]) < OLDEST:
        raise ConfigError(
            f"OpenVINO {module.__version__} is too old for the graphs of lookalike: pip install 'lookalike[openvino]'."
        )
    return module
