"""A model's tower as an ONNX graph, straight from its checkpoint, without the library that trained it."""

from __future__ import annotations

from pathlib import Path

from lookalike.encoders import graph_bert, graph_clip
from lookalike.encoders.architecture import Architecture, ClipText
from lookalike.encoders.checkpoint import Checkpoint
from lookalike.encoders.compiled import processor
from lookalike.encoders.graph_blocks import Blocks, Layout
from lookalike.encoders.graph_ops import GraphWriter
from lookalike.encoders.quantise import FloatProduct, Int8Product, Product, weight_zero
from lookalike.spaces import Modality, Precision, Runtime


def write_graph(
    path: Path,
    checkpoint: Checkpoint,
    architecture: Architecture,
    *,
    modality: Modality,
    precision: Precision,
    runtime: Runtime = "onnxruntime",
) -> None:
    """Write one tower to `path`, and its weights to a file beside it.

    The graph's output is "vectors", (n, dim) float32 unit rows. An image tower's input is "pixels",
    (n, 3, size, size) float32. A text tower's inputs are those of `batches.text_feed`. The runtime decides about form
    alone: the numbers are the same in all.

    Raises:
        CorruptModel: The checkpoint lacks a tensor, or has it in another shape.
    """
    with GraphWriter(path) as graph:
        product: Product = FloatProduct(graph)
        if precision == "int8":
            product = Int8Product(graph, weight_zero(processor()), blocked=runtime == "onnxruntime")
        if modality == "image" and (vision := architecture.vision) is not None:
            graph.input("pixels", "float32", ("n", 3, vision.image_size, vision.image_size))
            vectors = graph_clip.write_vision(Blocks(graph, checkpoint, vision.stack, product), vision)
        else:
            vectors = _write_text(Blocks(graph, checkpoint, architecture.text.stack, product), architecture)
        graph.save(graph.node("LpNormalization", vectors, axis=-1, p=2), dim=architecture.dim)


def _write_text(blocks: Blocks, architecture: Architecture) -> str:
    graph, text = blocks.graph, architecture.text
    graph.input("ids", "int64", ("tokens",))
    graph.input("positions", "int64", ("tokens",))
    graph.input("spread", "int64", ("n", "length"))
    graph.input("gather", "int64", ("tokens",))
    graph.input("mask", "int32", ("n", "length"))
    # In the rows of (tokens x parts, width), the parts of a token stand below each other.
    doubled = graph.node("Add", "spread", "spread")
    firsts = {2: doubled, 3: graph.node("Add", doubled, "spread")}
    places = {
        (part, parts): graph.node("Add", first, graph.ints(part))
        for parts, first in firsts.items()
        for part in range(parts)
    }
    layout = Layout(
        spread=lambda x, part, parts: graph.node("Gather", x, places[part, parts]),
        packs=True,
        gather=lambda x: graph.node("Gather", graph.reshape(x, -1, text.stack.width), "gather"),
        pooled=lambda x: graph.node("Gather", x, "last"),
        mask="mask",
        causal=isinstance(text, ClipText),
    )
    if isinstance(text, ClipText):
        graph.input("last", "int64", ("n",))
        return graph_clip.write_text(blocks, text, layout)
    graph.input("shares", "float32", ("n", "tokens"))
    return graph_bert.write_text(blocks, text, layout)
