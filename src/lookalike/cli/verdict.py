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
        verdict = "PASS" if report.passed else "FAIL"
        shares = "may" if report.shares_space else "must not"
        compared = "no cosine is" if report.shares_space else "a cosine is, or nothing was compared,"
        return "\n".join(
            _wrapped(line)
            for line in [
                *(line for agreement in report.agreements for line in _lines(agreement, report.tolerance)),
                f"{verdict}: at a tolerance of {report.tolerance:g}.",
                *(f"Why {cause.modality}s differ: {cause.sentence}" for cause in self.causes),
                f"Vectors of the two {shares} be in one index: {compared} below {REQUIRED_COSINE}.",
                *self._consequence(),
            ]
        )

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
        return [
            f"Kept as a proof: for {kinds}, {commands} {self.b.space.model} for an index of {self.a.space.model}, and "
            "the other way round."
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
