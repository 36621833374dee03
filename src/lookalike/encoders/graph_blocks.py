"""Transformer blocks for ONNX Runtime's fused operators, with the weights of a checkpoint.

All tokens of a batch stand below each other, (tokens, width), with none for padding: only attention needs to know
where a sequence begins, so only there are the states spread out and gathered again (`Layout`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.encoders.architecture import Stack
from lookalike.encoders.checkpoint import Checkpoint
from lookalike.encoders.graph_ops import MICROSOFT, GraphWriter
from lookalike.encoders.quantise import FloatProduct, Product

LEAST_ACTIVATION = -0.18
"""No GELU goes below: x * Phi(x) has its minimum of -0.17 at -0.75, and so, nearly, have both of its approximations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the tokens of a batch become sequences and one row for each; all map names of nodes to names of nodes.

    Attributes:
        spread: (tokens x parts, width), a part's place and the number of parts -> that part, (n, length, width).
        packs: Whether parts are one product. A single one is faster, but not where taking it apart is a copy more.
        gather: (n, length, width) -> (tokens, width).
        pooled: (tokens, width) -> (n, width): the row of each sequence's pooled token.
        mask: (n, length) int32, 0 where a sequence has ended; empty if all are equally long.
        causal: Whether a token sees only those before it.
    """

    spread: Callable[[str, int, int], str]
    packs: bool
    gather: Callable[[str], str]
    pooled: Callable[[str], str]
    mask: str
    causal: bool


@dataclass(frozen=True, slots=True)
class Attention:
    """Names of an attention's tensors in the checkpoint."""

    query: str
    key: str
    value: str
    out: str


@dataclass(frozen=True, slots=True)
class Blocks:
    """Writes the parts of a stack's blocks.

    Attributes:
        graph: What they are written to.
        checkpoint: Where the weights come from.
        stack: Their sizes.
        product: How arrays are multiplied with weights.
    """

    graph: GraphWriter
    checkpoint: Checkpoint
    stack: Stack
    product: Product

    def vector(self, name: str, length: int) -> str:
        """A constant vector of the checkpoint."""
        return self.graph.array(self.checkpoint.array(name, (length,)))

    def project(self, x: str, name: str, shape: tuple[int, int]) -> str:
        """x times the transpose of a weight matrix of this shape (outputs, inputs); no bias."""
        return self.product(x, self.checkpoint.array(f"{name}.weight", shape))

    def output(self, x: str, name: str, dim: int) -> str:
        """The last projection, always in float32: it is small, and every rounding in it shows."""
        weights = self.checkpoint.array(f"{name}.weight", (dim, self.stack.width))
        return FloatProduct(self.graph)(x, weights)

    def norm(self, x: str, name: str) -> str:
        """Layer normalisation."""
        width = self.stack.width
        scale, shift = self.vector(f"{name}.weight", width), self.vector(f"{name}.bias", width)
        return self.graph.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=self.stack.epsilon)

    def add(self, x: str, residual: str, *, bias: str) -> str:
        """x + the named bias + residual; in this order the bias becomes a part of the product before."""
        biased = self.graph.node("Add", x, self.vector(f"{bias}.bias", self.stack.width))
        return self.graph.node("Add", biased, residual)

    def attention(self, x: str, names: Attention, layout: Layout) -> str:
        """Every token's attention to its sequence, projected, without the bias of the last projection."""
        query, key, value = self._states(x, (names.query, names.key, names.value), layout)
        # Padding stands behind a sequence, where a causal attention does not look.
        mask = "" if layout.causal else layout.mask
        mixed = self._attend((query, key, value), names, mask=mask, causal=layout.causal)
        return self._square(layout.gather(mixed), names.out)

    def pooled_attention(self, x: str, names: Attention, layout: Layout) -> str:
        """As `attention`, for the pooled token of each sequence alone: (n, width)."""
        width = self.stack.width
        query = self.graph.reshape(self._square(layout.pooled(x), names.query), -1, 1, width)
        key, value = self._states(x, (names.key, names.value), layout)
        # No token comes after the pooled one, so causality asks for nothing more than the mask.
        mixed = self._attend((query, key, value), names, mask=layout.mask, causal=False)
        return self._square(self.graph.reshape(mixed, -1, width), names.out)

    def feed_forward(self, x: str, first: str, second: str) -> str:
        """Two projections and the activation between, without the bias of the second."""
        width, inner = self.stack.width, self.stack.inner
        hidden = self.project(x, first, (inner, width))
        hidden = self._activated(hidden, self.vector(f"{first}.bias", inner))
        return self.product(hidden, self.checkpoint.array(f"{second}.weight", (width, inner)), least=LEAST_ACTIVATION)

    def _activated(self, x: str, bias: str) -> str:
        match self.stack.activation:
            case "gelu":
                return self.graph.node("BiasGelu", x, bias, domain=MICROSOFT)
            case "gelu_tanh":
                return self.graph.node("FastGelu", x, bias, domain=MICROSOFT)
            case "quick_gelu":
                return self.graph.node("QuickGelu", self.graph.node("Add", x, bias), domain=MICROSOFT, alpha=1.702)

    def _states(self, x: str, names: Sequence[str], layout: Layout) -> list[str]:
        """x times each of these square weights, spread out."""
        if not layout.packs:
            return [layout.spread(self._square(x, name), 0, 1) for name in names]
        shape = (self.stack.width, self.stack.width)
        weights = np.concatenate([self.checkpoint.array(f"{name}.weight", shape) for name in names])
        rows = self.graph.reshape(self.product(x, weights), -1, self.stack.width)
        return [layout.spread(rows, part, len(names)) for part in range(len(names))]

    def _square(self, x: str, name: str) -> str:
        return self.project(x, name, (self.stack.width, self.stack.width))

    def _attend(self, states: tuple[str, str, str], names: Attention, *, mask: str, causal: bool) -> str:
        """(n, queries, width) and twice (n, length, width), all without their biases -> (n, queries, width)."""
        width = self.stack.width
        biases = [self.checkpoint.array(f"{name}.bias", (width,)) for name in (names.query, names.key, names.value)]
        bias = self.graph.array(np.concatenate(biases))
        return self.graph.node(
            "MultiHeadAttention",
            *states,
            bias,
            mask,
            domain=MICROSOFT,
            num_heads=self.stack.heads,
            unidirectional=int(causal),
        )
