"""One index into another, of whatever kind each is, and a comparison of both afterwards."""

from lookalike.copying.comparing import MIN_COSINE, Comparison, Side, compare
from lookalike.copying.run import CopyableStore, CopyReport, copy

__all__ = ["MIN_COSINE", "Comparison", "CopyReport", "CopyableStore", "Side", "compare", "copy"]
