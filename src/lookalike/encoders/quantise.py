"""Matrix products in a graph: in float32, or in int8 with a scale for every token and every output.

The scale of a token comes from that token alone, so a vector does not depend on what else is in its batch, as it
would with ONNX Runtime's DynamicQuantizeMatMul (one scale for the whole array); a token with one large value, of which
CLIP has many, takes no precision from the others either. This costs a fifth of the speed of the product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.encoders.graph_ops import MICROSOFT, GraphWriter

Weights = NDArray[np.float32]
"""(outputs, inputs) float32, as checkpoints store them."""

LEVELS = 127
"""Of the codes on each side of zero."""

LEVELS_WITHOUT_VNNI = 63
"""Where the processor lacks a dot product of four bytes, ONNX Runtime adds pairs of products in 16 bits, which
overflow with 127 (onnxruntime.ai, "Quantize ONNX models", on reduce_range)."""


def weight_levels(processor: str) -> int:
    """How finely weights are rounded on a processor, described as by `compiled.processor`."""
    is_x86 = processor.startswith(("x86_64", "AMD64", "i686"))
    return LEVELS_WITHOUT_VNNI if is_x86 and "vnni" not in processor else LEVELS


class Product(Protocol):
    """Adds the product of a (tokens, inputs) array with constant weights to a graph."""

    def __call__(self, x: str, weights: Weights) -> str:
        """The name of (tokens, outputs) float32: x times the transpose of the weights."""
        ...


@dataclass(frozen=True, slots=True)
class FloatProduct:
    """In float32."""

    graph: GraphWriter

    def __call__(self, x: str, weights: Weights) -> str:
        """See `Product`."""
        return self.graph.node("MatMul", x, self.graph.array(weights.T))


@dataclass(frozen=True, slots=True)
class Int8Product:
    """In int8, with sums in int32.

    Attributes:
        graph: What it writes to.
        levels: Of the weights' codes, on each side of zero.
    """

    graph: GraphWriter
    levels: int
    _codes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __call__(self, x: str, weights: Weights) -> str:
        """See `Product`."""
        codes, peaks = self._quantised(x)
        graph = self.graph
        scales = (np.abs(weights).max(axis=1) / self.levels).astype(np.float32)
        rounded = np.rint(weights / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
        product = graph.node(
            "MatMulIntegerToFloat",
            codes,
            graph.array(rounded.T),
            graph.array(np.float32(1 / LEVELS)),
            graph.array(scales),
            graph.array(np.uint8(128)),
            graph.array(np.zeros(len(scales), np.int8)),
            domain=MICROSOFT,
        )
        return graph.node("Mul", product, peaks)

    def _quantised(self, x: str) -> tuple[str, str]:
        """The uint8 codes of an array, and the greatest magnitude in each of its rows."""
        if x not in self._codes:
            graph = self.graph
            peaks = graph.node("ReduceMax", graph.node("Abs", x), graph.ints(-1), keepdims=1)
            # A row of zeros becomes NaN and any code at all, and then zeros again when multiplied with its peak.
            parts = graph.node("Div", x, peaks)
            codes = graph.node("QuantizeLinear", parts, graph.array(np.float32(1 / LEVELS)), graph.array(np.uint8(128)))
            self._codes[x] = codes, peaks
        return self._codes[x]
