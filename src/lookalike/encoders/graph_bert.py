"""BERT-type sentence models as ONNX graphs (arXiv:1810.04805, 1908.10084; transformers, modeling_bert.py)."""

from __future__ import annotations

from lookalike.encoders.architecture import BertText
from lookalike.encoders.graph_blocks import Attention, Blocks, Layout


def write_text(blocks: Blocks, tower: BertText, layout: Layout) -> str:
    """Inputs "ids" and "positions" (tokens,) int64, "shares" (n, tokens) float32 and the layout's -> the mean states.

    A row of "shares" has 1 / length at the tokens of one text and 0 elsewhere.
    """
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in blocks.checkpoint.names else ""
    state = _embeddings(blocks, f"{prefix}embeddings", tower)
    for number in range(tower.stack.layers):
        state = _block(blocks, f"{prefix}encoder.layer.{number}", state, layout)
    return blocks.graph.node("MatMul", "shares", state)


def _embeddings(blocks: Blocks, prefix: str, tower: BertText) -> str:
    graph, width = blocks.graph, tower.stack.width
    read = blocks.checkpoint.array
    words = graph.array(read(f"{prefix}.word_embeddings.weight", (tower.vocabulary, width)))
    # One text is one segment, so every token is of the first type.
    kind = read(f"{prefix}.token_type_embeddings.weight", (tower.token_types, width))[0]
    places = graph.array(read(f"{prefix}.position_embeddings.weight", (tower.positions, width))[: tower.max_tokens])
    typed = graph.node("Add", graph.node("Gather", words, "ids"), graph.array(kind))
    total = graph.node("Add", typed, graph.node("Gather", places, "positions"))
    return blocks.norm(total, f"{prefix}.LayerNorm")


def _block(blocks: Blocks, prefix: str, state: str, layout: Layout) -> str:
    parts = ("self.query", "self.key", "self.value", "output.dense")
    names = Attention(*(f"{prefix}.attention.{part}" for part in parts))
    attended = blocks.attention(state, names, layout)
    middle = blocks.norm(blocks.add(attended, state, bias=names.out), f"{prefix}.attention.output.LayerNorm")
    moved = blocks.feed_forward(middle, f"{prefix}.intermediate.dense", f"{prefix}.output.dense")
    return blocks.norm(blocks.add(moved, middle, bias=f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")
