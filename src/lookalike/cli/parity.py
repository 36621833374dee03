"""`lookalike parity`: whether two models make the same vectors, why not, and what follows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click
import numpy as np

from lookalike import __version__
from lookalike.app import open_shelf, open_vectorizer
from lookalike.calls import Inputs
from lookalike.cli import awkward
from lookalike.cli.models import ensure_here
from lookalike.cli.options import json_option
from lookalike.cli.verdict import Shown
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.parity import (
    TOLERANCE,
    Cause,
    GivenRows,
    Pair,
    ParityReport,
    Provenance,
    Side,
    causes,
    corpus_digest,
    embed_both,
    prove,
    report_of,
)
from lookalike.ports import Vectorizer
from lookalike.sources.folder import PICTURE_SUFFIXES
from lookalike.sources.npy import map_vectors
from lookalike.spaces import Modality, Precision, Tower
from lookalike.variants import variants

ROWS = ".npy"

MOST_ROWS = 500
"""Vectors of a file that are compared; of more, so many are taken evenly."""


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--b-precision", type=click.Choice(get_args(Precision)), help="Of B, if it runs on this machine.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="PLACE",
    help="Compare on the pictures below this folder as well, or on those that a text file lists.",
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
    tolerance, with 1 if one does, and then says why, as far as that can be found out.

    B may be a .npy file of vectors that were made elsewhere: a row for each picture of --images, in the order of the
    list, or of their sorted paths.

    What agrees is kept as a proof: `index`, `search` and `serve` then take one model in the place of the other.

    \b
      lookalike parity clip clip --b-precision int8
      lookalike parity clip ./my-clip --images ~/Pictures
      lookalike parity clip vectors.npy --images ~/Pictures
    """
    # What is kept was made earlier, maybe by something else; and another model must not answer in the place of one.
    config = replace(config, cache="off", fallback=())
    sides = replace(config, model=a), replace(config, model=b, precision=b_precision or config.precision)
    reference = _opened(sides[0])
    if b.endswith(ROWS):
        corpus, measured = _given(Path(b), images, reference)
    else:
        corpus = [awkward.texts(), awkward.pictures(), *([_pictures(images)] if images else ())]
        measured = _opened(sides[1])
    pairs = embed_both(reference, measured, corpus)
    report = report_of(pairs, tolerance=tolerance)
    shown = Shown(
        report=report,
        a=reference.tower,
        b=measured.tower,
        causes=() if report.passed else _causes(pairs, sides, tolerance),
        proven=() if b.endswith(ROWS) else _kept(report, reference.tower, measured.tower, (config, corpus)),
    )
    click.echo(shown.json() if as_json else shown.text())
    sys.exit(0 if report.passed else 1)


def _opened(config: Config) -> Vectorizer:
    ensure_here(config.model, config.hub)
    return open_vectorizer(config)


def _given(path: Path, images: Path | None, reference: Vectorizer) -> tuple[list[Inputs], Vectorizer]:
    """Vectors of a file, and the pictures that they are of; some of both, if they are many."""
    if images is None:
        raise InputError("holds vectors: say with --images which pictures they are of.", item=str(path))
    rows = map_vectors(path)
    inputs = _pictures(images)
    GivenRows(inputs, rows, model=path.name, like=reference.tower)  # refuses a wrong number of rows
    some = _spread(len(inputs))
    inputs = inputs.at(some)
    return [inputs], GivenRows(inputs, rows[some], model=path.name, like=reference.tower)


def _spread(n: int) -> list[int]:
    """Places among n, evenly spread and in pairs of neighbours: rows that are one off are then seen to be."""
    if n <= MOST_ROWS:
        return list(range(n))
    firsts = np.linspace(0, n - 2, MOST_ROWS // 2).astype(int)
    found: list[int] = np.unique([firsts, firsts + 1]).tolist()
    return found


def _causes(pairs: Sequence[Pair], sides: tuple[Config, Config], tolerance: float) -> tuple[Cause, ...]:
    """Why they differ: tried out on A if it runs on this machine, else on B."""
    ours, theirs = (None if side.model.endswith(ROWS) else side for side in sides)
    tried = list(variants(ours)) if ours else []
    varied: Side = "ours" if tried else "theirs"
    tried = tried or (list(variants(theirs)) if theirs else [])
    click.echo("They differ. Trying what may be the cause ...", err=True)
    return causes(pairs, tried, varied=varied, traits=awkward.traits(), tolerance=tolerance)


def _kept(report: ParityReport, a: Tower, b: Tower, measured: tuple[Config, list[Inputs]]) -> tuple[Modality, ...]:
    """What is proven, and kept: that B may write into A's space, and A into B's; an older proof is taken away."""
    config, corpus = measured
    if a.space.key == b.space.key:
        return ()
    shelf = open_shelf(config)
    provenance = Provenance(corpus=corpus_digest(corpus), version=__version__, date=f"{datetime.now(UTC):%Y-%m-%d}")
    for reference, writer in ((a, b), (b, a)):
        proof = prove(report, reference, writer, provenance)
        if proof is None:
            shelf.remove(reference.space, writer)
        else:
            shelf.put(proof)
    found = shelf.find(a.space, b)
    return found.modalities if found else ()


def _pictures(place: Path) -> Inputs:
    """The pictures below a folder, by their sorted paths; or those that a text file lists, one a line, in its order."""
    if place.is_file():
        lines = place.read_text(encoding="utf-8").splitlines()
        paths = [place.parent / line.strip() for line in lines if line.strip()]
    else:
        paths = sorted(path for path in place.rglob("*") if path.name.lower().endswith(PICTURE_SUFFIXES))
    if not paths:
        raise InputError("there is no picture below this folder.", item=str(place))
    return Inputs(modality="image", payloads=paths, names=[str(path) for path in paths])
