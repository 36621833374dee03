"""Parity: whether two models make the same vectors, and what follows if they do.

`compare` measures; what it measured is kept as a `Proof` on a `Shelf`, and lets the one model write into the space of
the other (`adopted`). docs/parity.md says what that is good for.
"""

from lookalike.parity.adoption import adopted, mismatch
from lookalike.parity.compare import TOLERANCE, Agreement, Case, ParityReport, compare
from lookalike.parity.proof import MIN_INPUTS, Measured, Proof, Provenance, corpus_digest, prove
from lookalike.parity.shelf import Shelf

__all__ = [
    "MIN_INPUTS",
    "TOLERANCE",
    "Agreement",
    "Case",
    "Measured",
    "ParityReport",
    "Proof",
    "Provenance",
    "Shelf",
    "adopted",
    "compare",
    "corpus_digest",
    "mismatch",
    "prove",
]
