"""A model's tower as an ONNX graph, straight from its checkpoint, without the library that trained it."""

from __future__ import annotations

from pathlib import Path

from lookalike.encoders import graph_bert, graph_clip
from lookalike.encoders.architecture import Architecture, ClipText, TextArchitecture
from lookalike.encoders.checkpoint import Checkpoint
from lookalike.encoders.graph_blocks import Layout
from lookalike.encoders.graph_ops import GraphWriter
from lookalike.errors import UnsupportedModel
from lookalike.spaces import Modality, Precision


def write_graph(
    path: Path, checkpoint: Checkpoint, architecture: Architecture, *, tower: Modality, precision: Precision
) -> None:
    """Write one tower to `path`, and its weights to a file beside it.

    The graph's output is "vectors", (n, dim) float32 unit rows. An image tower's input is "pixels",
    (n, 3, size, size) float32. A text tower's inputs are those of `batches.TextBatch`.

    Raises:
        CorruptModel: The checkpoint lacks a tensor, or has it in another shape.
    """
    if precision != "exact":
        raise UnsupportedModel(f"Precision {precision!r} is not built in.", model=checkpoint.model)
    with GraphWriter(path) as graph:
        if tower == "image" and architecture.vision is not None:
            size = architecture.vision.image_size
            graph.input("pixels", "float32", ("n", 3, size, size))
            vectors = graph_clip.write_vision(graph, checkpoint, architecture.vision)
        else:
            vectors = _write_text(graph, checkpoint, architecture.text)
        graph.save(graph.node("LpNormalization", vectors, axis=-1, p=2), dim=architecture.dim)


def _write_text(graph: GraphWriter, checkpoint: Checkpoint, text: TextArchitecture) -> str:
    graph.input("ids", "int64", ("tokens",))
    graph.input("positions", "int64", ("tokens",))
    graph.input("spread", "int64", ("n", "length"))
    graph.input("gather", "int64", ("tokens",))
    graph.input("mask", "int32", ("n", "length"))
    width = text.stack.width
    layout = Layout(
        spread=lambda x: graph.node("Gather", x, "spread"),
        gather=lambda x: graph.node("Gather", graph.reshape(x, -1, width), "gather"),
        pooled=lambda x: graph.node("Gather", x, "last"),
        mask="mask",
        causal=isinstance(text, ClipText),
    )
    if isinstance(text, ClipText):
        graph.input("last", "int64", ("n",))
        return graph_clip.write_text(graph, checkpoint, text, layout)
    graph.input("shares", "float32", ("n", "tokens"))
    return graph_bert.write_text(graph, checkpoint, text, layout)
