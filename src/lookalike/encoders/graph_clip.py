"""CLIP's two towers as ONNX graphs (arXiv:2103.00020; the reference is transformers, modeling_clip.py)."""

from __future__ import annotations

from lookalike.encoders.architecture import ClipText, ClipVision
from lookalike.encoders.graph_blocks import Attention, Blocks, Layout


def write_vision(blocks: Blocks, tower: ClipVision) -> str:
    """Input "pixels" (n, 3, size, size) float32 -> the node with the vectors, (n, dim), not yet of unit length."""
    graph, stack = blocks.graph, tower.stack
    length = (tower.image_size // tower.patch_size) ** 2 + 1
    first = graph.ints(0)

    def pooled(x: str) -> str:
        rows = graph.node("Gather", graph.reshape(x, -1, length, stack.width), first, axis=1)
        return graph.reshape(rows, -1, stack.width)

    layout = Layout(
        spread=lambda x, _part, _parts: graph.reshape(x, -1, length, stack.width),
        packs=False,
        gather=lambda x: graph.reshape(x, -1, stack.width),
        pooled=pooled,
        mask="",
        causal=False,
    )
    embedded = graph.reshape(_patches(blocks, tower), -1, stack.width)
    total = blocks.norm(embedded, "vision_model.pre_layrnorm")
    last = _encoder(blocks, "vision_model", total, layout)
    return blocks.output(blocks.norm(last, "vision_model.post_layernorm"), "visual_projection", tower.dim)


def write_text(blocks: Blocks, tower: ClipText, layout: Layout) -> str:
    """Inputs "ids" and "positions" (tokens,) int64 and the layout's -> the node with the vectors, not yet unit."""
    graph, checkpoint, width = blocks.graph, blocks.checkpoint, tower.stack.width
    prefix = "text_model.embeddings"
    words = graph.array(checkpoint.array(f"{prefix}.token_embedding.weight", (tower.vocabulary, width)))
    places = graph.array(checkpoint.array(f"{prefix}.position_embedding.weight", (tower.max_tokens, width)))
    total = graph.node("Add", graph.node("Gather", words, "ids"), graph.node("Gather", places, "positions"))
    last = _encoder(blocks, "text_model", total, layout)
    return blocks.output(blocks.norm(last, "text_model.final_layer_norm"), "text_projection", tower.dim)


def _patches(blocks: Blocks, tower: ClipVision) -> str:
    """(n, 1 + patches, width): the class token and the patches, each with its position added."""
    graph, checkpoint = blocks.graph, blocks.checkpoint
    width, size = tower.stack.width, tower.patch_size
    side = tower.image_size // size
    prefix = "vision_model.embeddings"
    # A convolution whose stride is its kernel is one matrix product over the cut-up picture.
    grid = graph.reshape(_in_patches(blocks, tower), -1, 3, side, size, side, size)
    flat = graph.reshape(graph.node("Transpose", grid, perm=[0, 2, 4, 1, 3, 5]), -1, 3 * size * size)
    kernel = checkpoint.array(f"{prefix}.patch_embedding.weight", (width, 3, size, size)).reshape(width, -1)
    patches = graph.reshape(blocks.product(flat, kernel), -1, side * side, width)
    places = checkpoint.array(f"{prefix}.position_embedding.weight", (side * side + 1, width))
    first = checkpoint.array(f"{prefix}.class_embedding", (width,)) + places[0]
    placed = graph.node("Add", patches, graph.array(places[1:]))
    n_pictures = graph.node("Shape", "pixels", start=0, end=1)
    shape = graph.node("Concat", n_pictures, graph.ints(1, width), axis=0)
    return graph.node("Concat", graph.node("Expand", graph.array(first), shape), placed, axis=1)


def _in_patches(blocks: Blocks, tower: ClipVision) -> str:
    """The pixels that are in a patch: what is left over on the right and below, a convolution never comes to."""
    edge = tower.image_size - tower.image_size % tower.patch_size
    if edge == tower.image_size:
        return "pixels"
    kept = blocks.graph.ints(*range(edge))
    return blocks.graph.node("Gather", blocks.graph.node("Gather", "pixels", kept, axis=2), kept, axis=3)


def _encoder(blocks: Blocks, prefix: str, total: str, layout: Layout) -> str:
    """The states before the first block -> (n, width): the pooled token's state after the last."""
    blocks.checkpoint.require_last(f"{prefix}.encoder.layers", blocks.stack.layers)
    *blocks_before, last = (f"{prefix}.encoder.layers.{number}" for number in range(blocks.stack.layers))
    for block in blocks_before:
        attended = blocks.attention(blocks.norm(total, f"{block}.layer_norm1"), _names(block), layout)
        total = blocks.add(attended, total, bias=f"{block}.self_attn.out_proj")
        total = _feed_forward(blocks, block, total)
    # Nothing reads the other tokens' states after the last block, so there it runs for the pooled token alone.
    attended = blocks.pooled_attention(blocks.norm(total, f"{last}.layer_norm1"), _names(last), layout)
    total = blocks.add(attended, layout.pooled(total), bias=f"{last}.self_attn.out_proj")
    return _feed_forward(blocks, last, total)


def _feed_forward(blocks: Blocks, prefix: str, total: str) -> str:
    moved = blocks.feed_forward(blocks.norm(total, f"{prefix}.layer_norm2"), f"{prefix}.mlp.fc1", f"{prefix}.mlp.fc2")
    return blocks.add(moved, total, bias=f"{prefix}.mlp.fc2")


def _names(prefix: str) -> Attention:
    return Attention(*(f"{prefix}.self_attn.{part}_proj" for part in ("q", "k", "v", "out")))
