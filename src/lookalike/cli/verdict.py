"""What `lookalike parity` says: figures, the worst cases, why, and what follows."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass

from lookalike.cli.output import shown
from lookalike.parity import Agreement, Cause, ParityReport
from lookalike.spaces import REQUIRED_COSINE, Modality, Tower


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All that came of a comparison.

    Attributes:
        report: The figures.
        a: The reference's recipe.
        b: That of what was measured.
        causes: Why they differ.
        proven: What B may write into A's space from now on, by a proof that is kept.
    """

    report: ParityReport
    a: Tower
    b: Tower
    causes: tuple[Cause, ...]
    proven: tuple[Modality, ...]

    def json(self) -> str:
        """For programs."""
        towers = {
            name: {"space": tower.space.id, "precision": tower.precision, "runtime": tower.runtime}
            for name, tower in (("a", self.a), ("b", self.b))
        }
        verdict = {"passed": self.report.passed, "shares_space": self.report.shares_space, "proven": self.proven}
        causes = {"causes": [asdict(cause) for cause in self.causes]}
        return json.dumps({**towers, **asdict(self.report), **causes, **verdict}, ensure_ascii=False, indent=2)

    def text(self) -> str:
        """For people."""
        report = self.report
        return "\n".join(
            _wrapped(line)
            for line in [
                *(line for agreement in report.agreements for line in _lines(agreement, report.tolerance)),
                self._verdict(),
                *(f"Why {cause.modality}s differ: {cause.sentence}" for cause in self.causes),
                self._sharing(),
                *self._consequence(),
            ]
        )

    def _verdict(self) -> str:
        if self.report.passed:
            return f"PASS: no number differs by more than {self.report.tolerance:g}."
        if all(agreement.n for agreement in self.report.agreements):
            return f"FAIL: numbers differ by more than {self.report.tolerance:g}."
        return "FAIL: there is something that one of the two could use nothing of."

    def _sharing(self) -> str:
        if self.report.shares_space:
            even_so = "" if self.report.passed else " all the same"
            return f"Vectors of the two may be in one index{even_so}: no cosine is below {REQUIRED_COSINE}."
        is_far = any(part.n and part.cosine_min < REQUIRED_COSINE for part in self.report.agreements)
        why = f"a cosine is below {REQUIRED_COSINE}" if is_far else "not everything could be compared"
        return f"Vectors of the two must not be in one index: {why}."

    def _consequence(self) -> list[str]:
        if self.b.runtime == "rows":
            return []
        if self.a.space.key == self.b.space.key:
            if self.report.shares_space:
                return [f"Both are of one space, {self.a.space.id}, and need no proof."]
            return [f"Both count as one space, {self.a.space.id}: nothing keeps their vectors apart but you."]
        if not self.proven:
            return ["Nothing is proven: neither may write into an index of the other, or search it."]
        kinds = " and ".join(f"{modality}s" for modality in self.proven)
        commands = "index, search and serve take" if "image" in self.proven else "search and serve take"
        is_found = any(cause.found for cause in self.causes)
        return [
            f"Kept as a proof: for {kinds}, {commands} {self.b.space.name} for an index of {self.a.space.name}, and "
            "the other way round.",
            *(["If that cause is a mistake, put it right and run this again."] if is_found else []),
        ]


def _wrapped(line: str) -> str:
    """A sentence in lines of 80 columns; a name is never broken."""
    indent = line[: len(line) - len(line.lstrip())] + "  "
    return textwrap.fill(line, 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _lines(agreement: Agreement, tolerance: float) -> list[str]:
    cases = [case for case in agreement.worst if case.difference > tolerance]
    return [
        f"{agreement.n} {agreement.modality}s: largest difference {agreement.max_difference:.2e}; cosine at least "
        f"{agreement.cosine_min:.6f}, 1 % below {agreement.cosine_p1:.6f}, half below {agreement.cosine_p50:.6f}",
        *(f"  {shown(case.name)}: difference {case.difference:.2e}, cosine {case.cosine:.6f}" for case in cases),
        *(f"  left out: {shown(reason)}" for reason in agreement.left_out),
    ]
