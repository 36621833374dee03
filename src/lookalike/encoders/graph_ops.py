"""An ONNX graph, written node by node, its weights straight to a file; and read. The only file that imports `onnx`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import CorruptModel, MissingDependency

Array = NDArray[Any]
InputType = Literal["float32", "int64", "int32"]

OPSET = 21
IR_VERSION = 10
MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's fused operators (docs/ContribOperators.md in its repository)."""

INLINE_BYTES = 1024
"""Smaller arrays stay in the graph itself, where shape inference and constant folding see them."""

ALIGNMENT = 64
"""Of arrays in bytes: as wide as the widest registers."""


class GraphWriter:
    """Collects nodes; every method that adds one returns the name of its output.

    Use as a context manager; `save` inside it.
    """

    def __init__(self, path: Path) -> None:
        """Start a graph at `path`; the weights go into a file beside it, with ".weights" added to its name."""
        self._onnx = _onnx()
        self._path = path
        self._weights = path.with_name(path.name + ".weights").open("wb")
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._arrays: list[Any] = []
        self._n_names = 0

    def __enter__(self) -> GraphWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._weights.close()

    def input(self, name: str, kind: InputType, shape: tuple[str | int, ...]) -> str:
        """Declare an input of the graph; a letter in the shape is a size that varies."""
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self._element(kind), shape))
        return name

    def array(self, values: Array | np.generic) -> str:
        """A constant."""
        values = np.asarray(values)
        name = self._new_name("w")
        if values.nbytes < INLINE_BYTES:
            self._arrays.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
            return name
        self._weights.write(b"\0" * (-self._weights.tell() % ALIGNMENT))
        tensor = self._onnx.TensorProto(name=name, data_type=self._element(values.dtype.name), dims=values.shape)
        tensor.data_location = self._onnx.TensorProto.EXTERNAL
        place = {"location": Path(self._weights.name).name, "offset": self._weights.tell(), "length": values.nbytes}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._weights.write(np.ascontiguousarray(values).data)
        self._arrays.append(tensor)
        return name

    def ints(self, *values: int) -> str:
        """A constant list of whole numbers."""
        return self.array(np.array(values, np.int64))

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """Any operator with one output; an empty input is one that is left out."""
        name = self._new_name(kind)
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def reshape(self, x: str, *shape: int) -> str:
        """The same values in another shape; 0 keeps a size, -1 is whatever is left."""
        return self.node("Reshape", x, self.ints(*shape))

    def save(self, output: str, *, dim: int) -> None:
        """Write the graph, with this (n, dim) float32 node as its output, named "vectors"."""
        helper = self._onnx.helper
        self._nodes.append(helper.make_node("Identity", [output], ["vectors"]))
        vectors = helper.make_tensor_value_info("vectors", self._element("float32"), ("n", dim))
        graph = helper.make_graph(self._nodes, "lookalike", self._inputs, [vectors], self._arrays)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="lookalike")
        self._weights.flush()
        self._path.write_bytes(model.SerializeToString())

    def _element(self, dtype: str) -> int:
        element: int = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return element

    def _new_name(self, kind: str) -> str:
        self._n_names += 1
        return f"{kind}_{self._n_names}"


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph; an empty input is one that is left out."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph that was read: its nodes in the order in which they run, and its constants by name."""

    nodes: tuple[Node, ...]
    arrays: Mapping[str, Array]


def read_graph(path: Path) -> Graph:
    """A graph that a `GraphWriter` wrote. Its weights are mapped, and copied where they are written to.

    Raises:
        CorruptModel: A file is damaged.
    """
    onnx = _onnx()
    from google.protobuf.message import DecodeError  # of the library that onnx stands on

    try:
        graph = onnx.load(path, load_external_data=False).graph
        arrays = {tensor.name: _constant(onnx, tensor, path.parent) for tensor in graph.initializer}
    except (DecodeError, OSError, ValueError, LookupError) as error:
        raise CorruptModel(f"The graph in {path.parent} is damaged ({error}): delete that folder.") from error
    read = onnx.helper.get_attribute_value
    nodes = (
        Node(node.op_type, tuple(node.input), node.output[0], {found.name: read(found) for found in node.attribute})
        for node in graph.node
    )
    return Graph(tuple(nodes), arrays)


def move_graph(source: Path, folder: Path) -> None:
    """Put a folder's graph and its weights into another folder: all that a library needs which compiles by itself."""
    for path in source.iterdir():
        path.rename(folder / path.name)


def packed_places(path: Path) -> list[int]:
    """Where in its weights' file a graph that ONNX Runtime wrote keeps what it packed for the processor.

    Each is noted beside its array as "kernel+digest|offset;bytes;flag" (external_data_info.cc in its repository).
    """
    tensors = _onnx().load(path, load_external_data=False).graph.initializer
    notes = [entry.value for tensor in tensors for entry in tensor.external_data if entry.key.startswith("prepacked")]
    return [int(place) for note in notes for place in re.findall(r"(\d+);\d+;\d+", note)]


def _constant(onnx: ModuleType, tensor: Any, folder: Path) -> Array:
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        array: Array = onnx.numpy_helper.to_array(tensor)
        return array.copy()
    place = {entry.key: entry.value for entry in tensor.external_data}
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.memmap(folder / place["location"], dtype, mode="c", offset=int(place["offset"]), shape=tuple(tensor.dims))


def _onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency("onnx", extra="local") from error
    module: ModuleType = onnx
    return module
