"""The libraries that can run a tower, and which of them runs what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lookalike.encoders.batches import Feed
from lookalike.errors import ConfigError
from lookalike.spaces import Precision, Runtime
from lookalike.types import Rows

PRECISIONS: Mapping[Runtime, tuple[Precision, ...]] = {
    "onnxruntime": ("exact", "int8"),
    "openvino": ("exact", "bf16", "int8"),
    "torch": ("exact",),
}
"""What each runtime has kernels for."""


class Session(Protocol):
    """An open graph. Any number of threads may run it at once."""

    def run(self, feed: Feed) -> Rows:
        """The graph's vectors, (n, dim) float32, for its inputs by name.

        Raises:
            ModelError: The library failed.
        """
        ...


class Engine(Protocol):
    """One of the libraries; a module is one."""

    def version(self) -> str:
        """What its compiled graphs are for: another version, or another device, needs its own.

        Raises:
            MissingDependency: The library is not installed.
            ConfigError: It is too old.
        """
        ...

    def optimise(self, source: Path, folder: Path) -> None:
        """Turn a folder with a graph as `graph.write_graph` writes it into the files that `Session` opens."""
        ...

    def Session(self, folder: Path, *, threads: int, precision: Precision) -> Session:  # noqa: N802  # a class
        """Open what `optimise` made; CorruptModel if it is damaged."""
        ...


def engine_of(runtime: Runtime) -> Engine:
    """The engine of this name. No library is imported before one of its functions is called."""
    match runtime:
        case "onnxruntime":
            from lookalike.encoders import runtime as onnxruntime

            return onnxruntime
        case "openvino":
            from lookalike.encoders import runtime_openvino

            return runtime_openvino
        case "torch":
            from lookalike.encoders import runtime_torch

            return runtime_torch


def require_runnable(runtime: Runtime, precision: Precision) -> None:
    """Raise ConfigError unless the runtime has this precision."""
    if precision not in PRECISIONS[runtime]:
        others = [name for name, precisions in PRECISIONS.items() if precision in precisions]
        raise ConfigError(
            f"The runtime {runtime!r} does not compute in {precision!r}: set LOOKALIKE_RUNTIME to "
            f"{' or '.join(others)}, or LOOKALIKE_PRECISION to {PRECISIONS[runtime][0]}."
        )
