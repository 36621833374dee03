"""`lookalike bridge`: let one model's words search another model's pictures, and say how well that goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import wrap

import click

from lookalike.app import BRIDGE, Embedder
from lookalike.bridge import LEAST_IMAGES, Agreement, Bridge, built_in_captions, fit, load, require_ends, save
from lookalike.cli.models import ensure_here
from lookalike.cli.options import json_option, max_cost_option
from lookalike.cli.output import shown
from lookalike.config import Config
from lookalike.errors import InputError
from lookalike.sources.folder import PICTURE_SUFFIXES
from lookalike.types import Rows, Vectors

MOST_IMAGES = 1_000
"""Of more pictures an even sample is enough: the figures then move by a hundredth at most."""


@click.group()
def bridge() -> None:
    """Search pictures of one model with the words of another: images by CLIP here, queries by an API.

    A bridge is an approximation: it may search and stores nothing, and every answer names it.
    """


@bridge.command("fit")
@click.option("--from", "source", required=True, metavar="MODEL", help="Reads the words: openai:..., minilm, ...")
@click.option("--to", "target", required=True, metavar="MODEL", help="Made the vectors of the pictures.")
@click.option("--captions", type=click.Path(path_type=Path), metavar="FILE", help="Texts of yours too, one a line.")
@click.option("--images", type=click.Path(path_type=Path), metavar="FOLDER", help="Measure on your pictures too.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bridge.npz"),
    show_default=True,
    metavar="FILE",
    help="Where it is written.",
)
@max_cost_option
@json_option
@click.pass_obj
def fit_bridge(
    config: Config, source: str, target: str, captions: Path | None, images: Path | None, out: Path, as_json: bool
) -> None:
    """Fit a bridge to texts that both models embed, and write it unless it does too badly.

    The texts are several thousand captions that lookalike carries, after yours.

    \b
      lookalike bridge fit --from openai:text-embedding-3-small --to clip
      lookalike search --model bridge:bridge.npz "a red dress"
    """
    texts = list(dict.fromkeys([*(_lines(captions) if captions else []), *built_in_captions()]))
    there, here = _opened(config, target), _opened(config, source)
    require_ends(here.tower, there.tower)
    pictures = _pictures(there, images) if images else None
    true, read = _embedded(there, texts), _embedded(here, texts)
    _tell("The bridge is fitted, which takes a minute at most ...")
    found = fit(texts, read, true, images=pictures)
    click.echo(_json(found) if as_json else report_of(found))
    save(found, out)
    _tell(f"Written to {shown(str(out))}. Search with it: lookalike search --model {BRIDGE}{shown(str(out))} WORDS")


@bridge.command("report")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def report_bridge(file: Path, as_json: bool) -> None:
    """Show how well a bridge does on texts that it had not seen, and what that means."""
    found = load(file)
    click.echo(_json(found) if as_json else report_of(found))


def report_of(found: Bridge) -> str:
    """A bridge for people, for 80 columns: what it joins, its figures beside those of guessing, what they mean."""
    method, agreement = found.method, found.agreement
    spelling = " and spelling" if method.spelling else ""
    rows = list(_rows(agreement))
    width = max(len(name) for name, *_ in rows)
    return "\n".join(
        [
            f"words     {shown(found.source.name)}",
            f"pictures  {shown(found.target.name)}",
            f"fitted    to {len(found.mapping.anchors):,} texts",
            f"method    {method.kernel} kernel{spelling}, ridge {method.ridge:g}, stretch {method.stretch:g}",
            f"measured  on {agreement.n_texts} texts that it had not seen",
            "",
            f"{'':{width}}  {'bridge':>7}  {'guessing':>8}",
            *(f"{name:{width}}  {value:>7}  {guessed:>8}".rstrip() for name, value, guessed in rows),
            "",
            *(line for sentence in meaning(agreement) for line in wrap(sentence, 80)),
        ]
    )


def _rows(agreement: Agreement) -> Iterator[tuple[str, str, str]]:
    """Each figure: its name, its value, and what it would be for guessing, or for always answering the mean."""
    n, images = agreement.n_texts, agreement.n_images
    yield f"the right text comes first of {n}", f"{agreement.rank_1:.0%}", f"{1 / n:.1%}"
    yield "it is among the first ten", f"{agreement.rank_10:.0%}", f"{min(1, 10 / n):.1%}"
    if images:
        yield f"the same among the best 5 of {images:,} pictures", f"{agreement.top_5:.0%}", f"{min(1, 5 / images):.1%}"
        yield "the same among the best 10", f"{agreement.top_10:.0%}", f"{min(1, 10 / images):.1%}"
    yield (
        "mean cosine to the pictures' own text model",
        f"{agreement.cosine_mean:.3f}",
        f"{agreement.cosine_of_mean:.3f}",
    )
    yield "95 % of the texts have more than", f"{agreement.cosine_p5:.3f}", ""


def meaning(agreement: Agreement) -> Iterator[str]:
    """What the figures mean, in sentences."""
    if agreement.complaints:
        yield f"Too little to search with: {'; '.join(agreement.complaints)}."
        return
    if agreement.rank_1 >= 0.9:
        yield "Nearly as good as the pictures' own text model."
    else:
        n_wrong = round(10 * (1 - agreement.rank_1))
        yield f"Of ten texts, about {n_wrong} are taken for another one, mostly for one of a similar meaning."
        yield "Good for kinds of things and for scenes; poor at rare names, counts, and at telling like things apart."
    if not agreement.n_images:
        yield "How your own pictures are found was not measured: fit it with --images FOLDER."
    elif agreement.n_images < LEAST_IMAGES:
        yield f"{agreement.n_images} pictures are too few to say how yours are found: {LEAST_IMAGES} or more would do."
    else:
        n_same = round(10 * agreement.top_10)
        yield f"Of the ten best pictures, about {n_same} are those that the pictures' own text model would find."


def _json(found: Bridge) -> str:
    document = {
        "source": found.source.id,
        "target": found.target.id,
        "texts": len(found.mapping.anchors),
        "method": asdict(found.method),
        "agreement": dict(found.agreement.pairs),
        "complaints": found.agreement.complaints,
        "digest": found.digest,
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _opened(config: Config, model: str) -> Embedder:
    ensure_here(model, config.hub)
    return Embedder.open(config=replace(config, model=model, fallback=()))


def _embedded(embedder: Embedder, texts: list[str]) -> Vectors:
    """The texts' vectors; those that failed are said to be left out."""
    _tell(f"{len(texts):,} texts are embedded with {embedder.space.name} ...")
    vectors = embedder.embed_texts(texts, on_error="collect")
    _tell_failures(vectors, "texts")
    return vectors


def _pictures(embedder: Embedder, folder: Path) -> Rows:
    """The vectors of an even sample of the pictures below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(PICTURE_SUFFIXES))
    if not paths:
        raise InputError("there is no picture below this folder.", item=str(folder))
    paths = paths[:: -(-len(paths) // MOST_IMAGES)]
    _tell(f"{len(paths):,} pictures are embedded ...")
    vectors = embedder.embed_images(paths, on_error="collect")
    _tell_failures(vectors, "pictures")
    return vectors.values


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as text, one caption a line: {error}.", item=str(path)) from error
    return [line.strip() for line in lines if line.strip()]


def _tell_failures(vectors: Vectors, kind: str) -> None:
    if vectors.failures:
        first = vectors.failures[0]
        _tell(shown(f"{len(vectors.failures):,} {kind} are left out; the first is {first.item}: {first.reason}"))


def _tell(sentence: str) -> None:
    click.echo(sentence, err=True)
