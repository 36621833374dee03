"""Import: vectors that were made elsewhere become an index's own, after a check on a sample of them.

table -> walk once: names, sample -> check against the model -> walk again: unchanged? -> hash -> store -> ledger
"""

from lookalike.importing.checking import MIN_CHECKED, Checked, check, out_of_step
from lookalike.importing.run import SAMPLE_SIZE, ImportReport, Terms, take_in
from lookalike.importing.sampling import Sample, Survey, survey
from lookalike.importing.writing import Destination

__all__ = [
    "MIN_CHECKED",
    "SAMPLE_SIZE",
    "Checked",
    "Destination",
    "ImportReport",
    "Sample",
    "Survey",
    "Terms",
    "check",
    "out_of_step",
    "survey",
    "take_in",
]
