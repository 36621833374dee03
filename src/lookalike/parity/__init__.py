"""Parity: whether two models make the same vectors, and what follows if they do.

`compare` measures; what it measured is kept as a `Proof` on a `Shelf`, and lets the one model write into the space of
the other (`adopted`). docs/parity.md says what that is good for.
"""

from lookalike.parity.adoption import adopted, mismatch
from lookalike.parity.causes import Cause, Side, Trait, Variant, causes
from lookalike.parity.compare import (
    TOLERANCE,
    Agreement,
    Case,
    Pair,
    ParityReport,
    compare,
    embed_both,
    report_of,
)
from lookalike.parity.proof import MIN_INPUTS, Measured, Proof, Provenance, corpus_digest, prove
from lookalike.parity.rows import GivenRows, compare_rows
from lookalike.parity.shelf import Shelf

__all__ = [
    "MIN_INPUTS",
    "TOLERANCE",
    "Agreement",
    "Case",
    "Cause",
    "GivenRows",
    "Measured",
    "Pair",
    "ParityReport",
    "Proof",
    "Provenance",
    "Shelf",
    "Side",
    "Trait",
    "Variant",
    "adopted",
    "causes",
    "compare",
    "compare_rows",
    "corpus_digest",
    "embed_both",
    "mismatch",
    "prove",
    "report_of",
]
