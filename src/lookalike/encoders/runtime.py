"""ONNX Runtime: sessions that map their weights, and the one-time work that makes that possible.

The only file that imports `onnxruntime`.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from lookalike.encoders.batches import Feed
from lookalike.encoders.graph_ops import ALIGNMENT, packed_places
from lookalike.errors import CorruptModel, MissingDependency, ModelError
from lookalike.spaces import Precision
from lookalike.types import Rows

if TYPE_CHECKING:
    import onnxruntime

GRAPH_FILE = "graph.onnx"
WEIGHTS_FILE = "weights.bin"

MAPPED_BYTES = 1024
"""Arrays from this size on go into the mapped file."""

PROVIDER = "CPUExecutionProvider"

SLOW_FUSION = "SkipLayerNormFusion"
"""SkipLayerNormalization takes ten times as long as the addition and the normalisation that it replaces: its loop is
not vectorised on the CPU (measured with ONNX Runtime 1.31: 7 ms of the 97 ms for a picture)."""

_ERRORS_ONLY = 3


def version() -> str:
    """ONNX Runtime's own version; what it compiles is for that version alone."""
    return str(_onnxruntime().__version__)


def optimise(source: Path, folder: Path) -> None:
    """Fuse what this processor has kernels for, pack the weights as they read them, and store both.

    Args:
        source: Folder with a graph as `graph.write_graph` writes it.
        folder: Gets the two files that `Session` opens.
    """
    _write_optimised(source, folder, packed=True)
    if any(place % ALIGNMENT for place in packed_places(folder / GRAPH_FILE)):
        # Kernels read packed weights as if they were aligned, and ONNX Runtime lays them behind arrays of any length
        # without seeing to that: such a model would end the process. Its weights are packed anew for each session.
        (folder / WEIGHTS_FILE).unlink()
        _write_optimised(source, folder, packed=False)


def _write_optimised(source: Path, folder: Path, *, packed: bool) -> None:
    ort = _onnxruntime()
    options = _options(ort, threads=1)
    options.optimized_model_filepath = str(folder / GRAPH_FILE)
    for key, value in {
        "session.save_external_prepacked_constant_initializers": str(int(packed)),
        "session.optimized_model_external_initializers_file_name": WEIGHTS_FILE,
        "session.optimized_model_external_initializers_min_size_in_bytes": str(MAPPED_BYTES),
    }.items():
        options.add_session_config_entry(key, value)
    try:
        ort.InferenceSession(str(source / GRAPH_FILE), options, providers=[PROVIDER], disabled_optimizers=[SLOW_FUSION])
    except ort.capi.onnxruntime_pybind11_state.Fail as error:
        # What a full disk comes out as; the caller knows what to do about those.
        raise OSError(f"ONNX Runtime could not write the compiled graph: {error}") from error


class Session:
    """An open graph. Any number of threads may run it at once."""

    def __init__(self, folder: Path, *, threads: int, precision: Precision = "exact") -> None:  # noqa: ARG002
        """Open a graph; the weights of a compiled one are mapped, not loaded.

        Args:
            folder: Holds the graph, best as `optimise` left it.
            threads: Cores for one run.
            precision: What the graph itself says.

        Raises:
            CorruptModel: Its files are damaged, or of another version of ONNX Runtime.
        """
        ort = _onnxruntime()
        options = _options(ort, threads=threads)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        states = ort.capi.onnxruntime_pybind11_state
        try:
            self._session = ort.InferenceSession(str(folder / GRAPH_FILE), options, providers=[PROVIDER])
        except (
            states.Fail,
            states.InvalidArgument,
            states.InvalidGraph,
            states.InvalidProtobuf,
            states.NoSuchFile,
            states.RuntimeException,
        ) as error:
            raise CorruptModel(
                f"The compiled graph in {folder} cannot be opened ({error}): delete that folder.", file=str(folder)
            ) from error
        self._failures = (states.Fail, states.RuntimeException, states.InvalidArgument)

    def run(self, feed: Feed) -> Rows:
        """The graph's vectors, (n, dim) float32, for its inputs by name."""
        try:
            return cast(Rows, self._session.run(["vectors"], feed)[0])
        except self._failures as error:
            raise ModelError(f"ONNX Runtime failed ({error}): if memory is short, use fewer processes.") from error


def _options(ort: ModuleType, *, threads: int) -> onnxruntime.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads wait for the next operator spinning, but not for the next call: the cores are needed for decoding.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _onnxruntime() -> ModuleType:
    # As published, it tells Microsoft of its use, under an id that it keeps in the user's cache. It reads this when it
    # is first imported; disable_telemetry_events() comes too late for the id and the first event.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency("onnxruntime", extra="local") from error
    module: ModuleType = onnxruntime
    return module
