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

ZERO = 128
"""The code of zero."""

WeightZero = np.int8 | np.uint8


def weight_zero(processor: str) -> WeightZero:
    """The code of zero in weights, whose type all of their codes have; for a processor as `compiled.processor` has it.

    Where the processor lacks a dot product of four bytes, ONNX Runtime and OpenVINO add pairs of signed by unsigned
    products in 16 bits, which overflow (onnxruntime.ai, "Quantize ONNX models", on reduce_range). Codes without a sign
    are widened first. That takes longer, but the sums are the same as elsewhere; with half of the levels, as
    reduce_range has it, the cosine to the exact vectors falls from 0.9995 to 0.9986.
    """
    is_x86 = processor.startswith(("x86_64", "AMD64", "i686"))
    return np.uint8(ZERO) if is_x86 and "vnni" not in processor else np.int8(0)


class Product(Protocol):
    """Adds the product of a (tokens, inputs) array with constant weights to a graph."""

    def __call__(self, x: str, weights: Weights, *, least: float | None = None) -> str:
        """The name of (tokens, outputs) float32: x times the transpose of the weights.

        Args:
            x: The name of (tokens, inputs) float32.
            weights: What it is multiplied with.
            least: A small negative number that no value of x is below, if one is known.
        """
        ...


@dataclass(frozen=True, slots=True)
class FloatProduct:
    """In float32."""

    graph: GraphWriter

    def __call__(self, x: str, weights: Weights, *, least: float | None = None) -> str:  # noqa: ARG002  # int8 needs it
        """See `Product`."""
        return self.graph.node("MatMul", x, self.graph.array(weights.T))


@dataclass(frozen=True, slots=True)
class Int8Product:
    """In int8, with sums in int32.

    Attributes:
        graph: What it writes to.
        zero: The code of zero in the weights.
        blocked: Whether one operator divides and rounds, a pass less; OpenVINO reads that form only for a known
            number of rows.
    """

    graph: GraphWriter
    zero: WeightZero
    blocked: bool
    _codes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __call__(self, x: str, weights: Weights, *, least: float | None = None) -> str:
        """See `Product`."""
        codes, steps = self._quantised(x, weights.shape[1], least)
        graph = self.graph
        scales = (np.abs(weights).max(axis=1) / LEVELS).astype(np.float32)
        rounded = np.rint(weights / np.where(scales > 0, scales, 1)[:, None]) + self.zero
        product = graph.node(
            "MatMulIntegerToFloat",
            codes,
            graph.array(rounded.T.astype(self.zero.dtype)),
            graph.array(np.float32(1)),
            graph.array(scales),
            graph.array(np.uint8(ZERO)),
            graph.array(np.full(len(scales), self.zero)),
            domain=MICROSOFT,
        )
        return graph.node("Mul", product, steps)

    def _quantised(self, x: str, width: int, least: float | None) -> tuple[str, str]:
        """The uint8 codes of a (tokens, width) array, and the step between two codes of each row, (tokens, 1)."""
        if x not in self._codes:
            graph = self.graph
            steps = graph.node("Mul", self._peaks(x, least), graph.array(np.float32(1 / LEVELS)))
            # A row of zeros becomes NaN and any code at all, and then zeros again when multiplied with its step.
            self._codes[x] = self._divided(x, steps, width), steps
        return self._codes[x]

    def _divided(self, x: str, steps: str, width: int) -> str:
        """The uint8 codes: every row divided by its step."""
        graph, zero = self.graph, self.graph.array(np.uint8(ZERO))
        if not self.blocked:
            return graph.node("QuantizeLinear", graph.node("Div", x, steps), graph.array(np.float32(1)), zero)
        # One zero point for every row: a step beside a number this large rounds to nothing.
        zeros = graph.node("QuantizeLinear", steps, graph.array(np.float32(1e30)), zero)
        return graph.node("QuantizeLinear", x, steps, zeros, axis=1, block_size=width)

    def _peaks(self, x: str, least: float | None) -> str:
        """The greatest magnitude in each row, (tokens, 1); at least that of `least`."""
        graph, last = self.graph, self.graph.ints(-1)
        if least is None:
            return graph.node("ReduceMax", graph.node("Abs", x), last, keepdims=1)
        return graph.node("Max", graph.node("ReduceMax", x, last, keepdims=1), graph.array(np.float32(-least)))
