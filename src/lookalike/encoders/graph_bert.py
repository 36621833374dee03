"""BERT-type sentence models as ONNX graphs.

Sources: arXiv:1810.04805 (BERT), 1910.01108 (DistilBERT), 1908.10084 (sentence models); transformers, modeling_bert.py
and modeling_distilbert.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.encoders.architecture import BertText
from lookalike.encoders.checkpoint import DENSE
from lookalike.encoders.graph_blocks import Attention, Blocks, Layout


@dataclass(frozen=True, slots=True)
class _Names:
    """What a family calls the tensors of a block, and what stands before all names in some files."""

    prefix: str
    layers: str
    attention: Attention
    middle_norm: str
    first: str
    second: str
    last_norm: str

    def of(self, block: str) -> _Names:
        """The names in one block."""
        parts = (self.attention.query, self.attention.key, self.attention.value, self.attention.out)
        rest = (self.middle_norm, self.first, self.second, self.last_norm)
        return _Names(
            self.prefix, block, Attention(*(f"{block}.{part}" for part in parts)), *(f"{block}.{x}" for x in rest)
        )


_FAMILIES = {
    "bert": _Names(
        "bert.",
        "encoder.layer",
        Attention("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ),
    "distilbert": _Names(
        "distilbert.",
        "transformer.layer",
        Attention("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        "sa_layer_norm",
        "ffn.lin1",
        "ffn.lin2",
        "output_layer_norm",
    ),
}


def write_text(blocks: Blocks, tower: BertText, layout: Layout) -> str:
    """Inputs "ids" and "positions" (tokens,) int64, "shares" (n, tokens) float32 and the layout's -> (n, dim).

    A row of "shares" has 1 / length at the tokens of one text and 0 elsewhere: a text's vector is the mean of its
    states, projected if the model has a dense layer.
    """
    names = _FAMILIES[tower.family]
    prefix = names.prefix if f"{names.prefix}embeddings.word_embeddings.weight" in blocks.checkpoint.names else ""
    state = _embeddings(blocks, f"{prefix}embeddings", tower)
    blocks.checkpoint.require_last(f"{prefix}{names.layers}", tower.stack.layers)
    for number in range(tower.stack.layers):
        state = _block(blocks, names.of(f"{prefix}{names.layers}.{number}"), state, layout)
    mean = blocks.graph.node("MatMul", "shares", state)
    return blocks.output(mean, f"{DENSE}/linear", tower.dim) if tower.dense_sha256 else mean


def _embeddings(blocks: Blocks, prefix: str, tower: BertText) -> str:
    graph, width = blocks.graph, tower.stack.width
    read = blocks.checkpoint.array
    words = graph.array(read(f"{prefix}.word_embeddings.weight", (tower.vocabulary, width)))
    found = graph.node("Gather", words, "ids")
    if tower.token_types:
        # One text is one segment, so every token is of the first type.
        kind = read(f"{prefix}.token_type_embeddings.weight", (tower.token_types, width))[0]
        found = graph.node("Add", found, graph.array(kind))
    places = graph.array(read(f"{prefix}.position_embeddings.weight", (tower.positions, width))[: tower.max_tokens])
    total = graph.node("Add", found, graph.node("Gather", places, "positions"))
    return blocks.norm(total, f"{prefix}.LayerNorm")


def _block(blocks: Blocks, names: _Names, state: str, layout: Layout) -> str:
    attended = blocks.attention(state, names.attention, layout)
    middle = blocks.norm(blocks.add(attended, state, bias=names.attention.out), names.middle_norm)
    moved = blocks.feed_forward(middle, names.first, names.second)
    return blocks.norm(blocks.add(moved, middle, bias=names.second), names.last_norm)
