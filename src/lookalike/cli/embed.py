"""`lookalike embed`: vectors on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import click
import numpy as np

from lookalike.app import Embedder, choose_model
from lookalike.cli.models import ensure_here
from lookalike.cli.options import max_cost_option, model_option, orientation_option, precision_option, threads_option
from lookalike.cli.output import shown
from lookalike.cli.searching import example
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.types import Rows, Vectors


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="TEXT|FILE...")
@click.option(
    "--format",
    "output",
    type=click.Choice(["json", "npy"]),
    default="json",
    show_default=True,
    help="JSON with the space, or a NumPy file of (n, dim) float32.",
)
@model_option
@precision_option
@orientation_option
@threads_option
@max_cost_option
@click.pass_obj
def embed(config: Config, inputs: tuple[str, ...], output: str) -> None:
    """Print the vectors of texts and pictures, in the order given.

    \b
      lookalike embed "a dog" photo.jpg
      lookalike embed *.jpg --format npy > vectors.npy
    """
    if output == "npy" and sys.stdout.isatty():
        raise click.UsageError("A NumPy file is nothing for a terminal: write it into a file, with > vectors.npy")
    images, texts, failed = _sorted(inputs)
    ensure_here(choose_model(config), config.hub)
    embedder = Embedder.open(config=config)
    rows = np.empty((len(inputs), embedder.space.dim), np.float32)
    done: list[int] = []
    words = list(texts.values())
    for places, vectors in (
        (list(images), embedder.embed_images(list(images.values()), on_error="collect") if images else None),
        (list(texts), embedder.embed_texts(words, names=words, on_error="collect") if words else None),
    ):
        if vectors is None:
            continue
        failed |= _tell(vectors)
        kept = [places[position] for position in vectors.positions.tolist()]
        rows[kept] = vectors.values
        done += kept
    _write(embedder, [inputs[place] for place in sorted(done)], rows[sorted(done)], output)
    sys.exit(1 if failed else 0)


def _sorted(inputs: Sequence[str]) -> tuple[dict[int, Path], dict[int, str], bool]:
    """The pictures and the texts by their places, and whether there is an input that is neither."""
    images: dict[int, Path] = {}
    texts: dict[int, str] = {}
    for place, name in enumerate(inputs):
        try:
            if path := example(name):
                images[place] = path
            else:
                texts[place] = name
        except InputError as error:
            click.secho(shown(str(error)), fg="red", err=True)
    return images, texts, len(images) + len(texts) < len(inputs)


def _tell(vectors: Vectors) -> bool:
    near = vectors.tower.approximation
    for warning in [near.note, *vectors.warnings] if near else vectors.warnings:
        click.secho(shown(warning), fg="yellow", err=True)
    for failure in vectors.failures:
        click.secho(shown(f"{failure.item}: {failure.reason}"), fg="red", err=True)
    return bool(vectors.failures)


def _write(embedder: Embedder, names: list[str], rows: Rows, output: str) -> None:
    if output == "npy":
        file = BytesIO()  # to a real file NumPy writes by itself, and its error when a pipe closes does not say so
        np.save(file, rows, allow_pickle=False)
        click.echo(file.getvalue(), nl=False)
        return
    results = [{"input": name, "embedding": row.tolist()} for name, row in zip(names, rows, strict=True)]
    near = embedder.tower.approximation
    approximation = {"approximation": near.document} if near else {}
    facts = {"space": embedder.space.id, "dimensions": embedder.space.dim, **approximation}
    document = {**facts, "results": results}
    click.echo(json.dumps(document, ensure_ascii=False))
