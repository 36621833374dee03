"""torch: runs the nodes of a graph one by one, on CUDA where there is a device, else on the processor.

It reads the very graph that is written for ONNX Runtime, so that every architecture that has a graph runs here as well.
The only file that imports `torch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from lookalike.encoders.batches import Feed
from lookalike.encoders.graph_ops import Node, move_graph, read_graph
from lookalike.encoders.runtime import GRAPH_FILE
from lookalike.errors import CorruptModel, MissingDependency, ModelError
from lookalike.spaces import Precision
from lookalike.types import Rows

Tensor = Any  # torch.Tensor: most machines check the types without it
Operator = Callable[..., Any]
"""Inputs by place (None where one is left out), attributes by name -> one tensor."""


def version() -> str:
    """torch's own version, and the device that it computes on: another one gives other bits."""
    torch = _torch()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return f"torch {torch.__version__} {device}"


def optimise(source: Path, folder: Path) -> None:
    """Keep the graph as it is: there is nothing to compile."""
    move_graph(source, folder)


class Session:
    """An open graph. Any number of threads may run it at once."""

    def __init__(self, folder: Path, *, threads: int, precision: Precision = "exact") -> None:  # noqa: ARG002
        """Open a graph; on the processor, its weights are mapped and not loaded.

        Args:
            folder: Holds the graph, as `optimise` left it.
            threads: Cores for one run; torch has one such number for the whole process, and the last one counts.
            precision: What the graph itself says.

        Raises:
            CorruptModel: Its files are damaged, or hold an operator that is not built in.
        """
        self._torch = torch = _torch()
        torch.set_num_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        graph = read_graph(folder / GRAPH_FILE)
        operators = _operators(torch)
        unknown = {node.kind for node in graph.nodes} - operators.keys()
        if unknown:
            raise CorruptModel(f"The graph in {folder} has unknown operators, {sorted(unknown)}.", file=str(folder))
        self._steps = [(operators[node.kind], node, over) for node, over in _with_ends(graph.nodes)]
        self._arrays = {name: self._placed(torch.from_numpy(array)) for name, array in graph.arrays.items()}

    def run(self, feed: Feed) -> Rows:
        """The graph's vectors, (n, dim) float32, for its inputs by name."""
        torch = self._torch
        try:
            with torch.inference_mode():
                values = {name: torch.from_numpy(array).to(self._device) for name, array in feed.items()}
                for operator, node, over in self._steps:
                    inputs = [values[name] if name in values else self._arrays.get(name) for name in node.inputs]
                    values[node.output] = operator(*inputs, **node.attributes)
                    for name in over:
                        values.pop(name, None)
                return cast(Rows, values["vectors"].cpu().numpy())
        except RuntimeError as error:  # torch.OutOfMemoryError is one too
            raise ModelError(f"torch failed ({error}): if memory is short, use fewer processes.") from error

    def _placed(self, array: Tensor) -> Tensor:
        # Whole numbers among the constants are shapes and places, which are asked for here and not on the device.
        return array.to(self._device) if array.is_floating_point() else array


def _with_ends(nodes: Sequence[Node]) -> list[tuple[Node, list[str]]]:
    """Every node, and what nobody reads any more after it."""
    last = {name: place for place, node in enumerate(nodes) for name in node.inputs}
    return [(node, [name for name in node.inputs if last[name] == place]) for place, node in enumerate(nodes)]


def _operators(torch: ModuleType) -> Mapping[str, Operator]:
    """What the nodes do, by their names in ONNX (onnx.ai/onnx/operators) and among ONNX Runtime's fused operators."""
    nn = torch.nn.functional

    def gather(x: Tensor, places: Tensor, axis: int = 0) -> Tensor:
        shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
        return x.index_select(axis, places.flatten().to(x.device)).reshape(shape)

    def reshape(x: Tensor, shape: Tensor) -> Tensor:
        return x.reshape([x.shape[place] if size == 0 else size for place, size in enumerate(shape.tolist())])

    def attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, mask: Tensor | None, **how: int) -> Tensor:
        states = [
            (x + part).unflatten(-1, (how["num_heads"], -1)).transpose(1, 2)
            for x, part in zip((query, key, value), bias.chunk(3), strict=True)
        ]
        seen = None if mask is None else mask.bool()[:, None, None, :]
        mixed = nn.scaled_dot_product_attention(*states, attn_mask=seen, is_causal=bool(how["unidirectional"]))
        return mixed.transpose(1, 2).flatten(-2)

    def layer_norm(x: Tensor, scale: Tensor, shift: Tensor, *, axis: int, epsilon: float) -> Tensor:
        return nn.layer_norm(x, x.shape[axis:], scale, shift, epsilon)

    return {
        "Add": torch.add,
        "BiasGelu": lambda x, bias: nn.gelu(x + bias),
        "Concat": lambda *parts, axis: torch.cat(parts, dim=axis),
        "Expand": lambda x, shape: x.expand(torch.broadcast_shapes(x.shape, shape.tolist())),
        "FastGelu": lambda x, bias: nn.gelu(x + bias, approximate="tanh"),
        "Gather": gather,
        "Identity": lambda x: x,
        "LayerNormalization": layer_norm,
        "LpNormalization": lambda x, axis, p: nn.normalize(x, p=p, dim=axis),
        "MatMul": torch.matmul,
        "MultiHeadAttention": attention,
        "QuickGelu": lambda x, alpha: x * torch.sigmoid(alpha * x),
        "Reshape": reshape,
        "Shape": lambda x, start, end: torch.tensor(x.shape[start:end]),
        "Transpose": lambda x, perm: x.permute(perm),
    }


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("torch", extra="torch") from error
    module: ModuleType = torch
    return module
