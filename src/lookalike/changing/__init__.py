"""Another model for an index: a space beside the current one is filled, compared, and then switched to."""

from lookalike.changing.comparing import Comparison, Side, compare
from lookalike.changing.filling import FillReport, Terms, fill

__all__ = ["Comparison", "FillReport", "Side", "Terms", "compare", "fill"]
