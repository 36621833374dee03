"""`lookalike parity`: whether two models make the same vectors."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click

from lookalike import __version__
from lookalike.app import open_shelf, open_vectorizer
from lookalike.calls import Inputs
from lookalike.cli import awkward
from lookalike.cli.models import ensure_here
from lookalike.cli.options import json_option
from lookalike.cli.output import shown
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.parity import (
    TOLERANCE,
    Agreement,
    ParityReport,
    Provenance,
    Shelf,
    compare,
    corpus_digest,
    prove,
)
from lookalike.ports import Vectorizer
from lookalike.sources.folder import PICTURE_SUFFIXES
from lookalike.spaces import REQUIRED_COSINE, Modality, Precision, Tower


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--b-precision", type=click.Choice(get_args(Precision)), help="Of B, if it runs on this machine.")
@click.option(
    "--images", type=click.Path(path_type=Path), metavar="FOLDER", help="Compare on the pictures below it as well."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=TOLERANCE,
    show_default=True,
    help="The largest difference of two numbers that passes.",
)
@json_option
@click.pass_obj
def parity(
    config: Config, a: str, b: str, b_precision: Precision | None, images: Path | None, tolerance: float, as_json: bool
) -> None:
    """Say whether the models A and B make the same vectors.

    Both embed pictures and sentences that are built in. Ends with status 0 if no number differs by more than the
    tolerance, with 1 if one does.

    \b
      lookalike parity clip clip --b-precision int8
      lookalike parity clip ./my-clip --images ~/Pictures
    """
    corpus = [awkward.texts(), awkward.pictures(), *(_folder(images) if images else ())]
    config = replace(config, cache="off")  # what is kept was made earlier, maybe by something else
    reference = _opened(config, a)
    measured = _opened(replace(config, precision=b_precision or config.precision), b)
    report = compare(reference, measured, corpus, tolerance=tolerance)
    proven = _kept(report, reference.tower, measured.tower, open_shelf(config), corpus)
    click.echo(
        _json(report, reference, measured, proven)
        if as_json
        else "\n".join([*_shown(report), _allowed(proven, reference.tower, measured.tower)])
    )
    sys.exit(0 if report.passed else 1)


def _opened(config: Config, model: str) -> Vectorizer:
    ensure_here(model, config.hub)
    return open_vectorizer(replace(config, model=model, fallback=()))


def _kept(report: ParityReport, a: Tower, b: Tower, shelf: Shelf, corpus: Sequence[Inputs]) -> tuple[Modality, ...]:
    """What is proven, and kept: that B may write into A's space, and A into B's; an older proof is taken away."""
    if a.space.key == b.space.key:
        return ()
    provenance = Provenance(corpus=corpus_digest(corpus), version=__version__, date=f"{datetime.now(UTC):%Y-%m-%d}")
    for reference, writer in ((a, b), (b, a)):
        proof = prove(report, reference, writer, provenance)
        if proof is None:
            shelf.remove(reference.space, writer)
        else:
            shelf.put(proof)
    found = shelf.find(a.space, b)
    return found.modalities if found else ()


def _allowed(proven: tuple[Modality, ...], a: Tower, b: Tower) -> str:
    """What the two may do now."""
    if a.space.key == b.space.key:
        return f"Both are of one space, {a.space.id}, and need no proof."
    if not proven:
        return "Nothing was proven: neither may write into an index of the other."
    kinds = " and ".join(f"{modality}s" for modality in proven)
    return (
        f"Kept as a proof: {kinds} by {b.space.model} may go into an index of {a.space.model} and search it, and the "
        "other way round."
    )


def _folder(folder: Path) -> list[Inputs]:
    paths = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(PICTURE_SUFFIXES))
    if not paths:
        raise InputError("there is no picture below this folder.", item=str(folder))
    return [Inputs(modality="image", payloads=paths, names=[str(path) for path in paths])]


def _json(report: ParityReport, a: Vectorizer, b: Vectorizer, proven: tuple[Modality, ...]) -> str:
    towers = {
        name: {"space": tower.space.id, "precision": tower.precision, "runtime": tower.runtime}
        for name, tower in (("a", a.tower), ("b", b.tower))
    }
    verdict = {"passed": report.passed, "shares_space": report.shares_space, "proven": proven}
    return json.dumps({**towers, **asdict(report), **verdict}, ensure_ascii=False, indent=2)


def _shown(report: ParityReport) -> list[str]:
    """The report for people: figures, the worst cases, and both verdicts."""
    lines = [line for agreement in report.agreements for line in _lines(agreement, report.tolerance)]
    verdict = "PASS" if report.passed else "FAIL"
    shares = "may" if report.shares_space else "must not"
    compared = "no cosine is" if report.shares_space else "a cosine is, or nothing was compared,"
    return [
        *lines,
        f"{verdict}: at a tolerance of {report.tolerance:g}.",
        f"Vectors of the two {shares} be in one index: {compared} below {REQUIRED_COSINE}.",
    ]


def _lines(agreement: Agreement, tolerance: float) -> list[str]:
    cases = [case for case in agreement.worst if case.difference > tolerance]
    return [
        f"{agreement.n} {agreement.modality}s: largest difference {agreement.max_difference:.2e}; cosine at least "
        f"{agreement.cosine_min:.6f}, 1 % below {agreement.cosine_p1:.6f}, half below {agreement.cosine_p50:.6f}",
        *(f"  {shown(case.name)}: difference {case.difference:.2e}, cosine {case.cosine:.6f}" for case in cases),
        *(f"  left out: {shown(reason)}" for reason in agreement.left_out),
    ]
