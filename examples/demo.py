"""The demo: render a small catalogue, index it with the built-in model, search it, write a page.

    make demo        # or: python -m examples.demo [FOLDER]

Works offline. Everything it makes is below `demo-output/`.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from lookalike import Config, Index
from lookalike.cli.sheet import Section, write_sheet
from lookalike.types import Hits, Outcome
from training.catalogue import write_catalogue

N_PICTURES = 400
SEED = 2026
WORDS = (
    "a pink hat",
    "yellow trousers",
    "a black backpack",
    "a green lamp on a white background",
    "red shoes",
    "a navy mug with dots",
)


def main(folder: Path) -> None:
    """Render, index, search, show."""
    pictures, index_path, page = folder / "pictures", folder / "catalogue.lookalike", folder / "index.html"
    shutil.rmtree(folder, ignore_errors=True)
    pictures.mkdir(parents=True)

    say(f"1. Rendering {N_PICTURES} pictures of a small catalogue")
    began_s = time.monotonic()
    write_catalogue(pictures, count=N_PICTURES, seed=SEED, size_px=320)
    say(f"   {pictures} ({time.monotonic() - began_s:.1f} s)")

    config = replace(Config.from_environ(), model="tiny", index=index_path)
    with Index.create(config=config) as index:
        say(f"2. Indexing them with the built-in model; space {index.space.id}")
        report = index.ingest([pictures])
        rate = report.counts[Outcome.STORED] / report.elapsed_s
        say(f"   {report.counts[Outcome.STORED]} stored in {report.elapsed_s:.1f} s ({rate:.0f} pictures/s)")

        say("3. Searching by words: the most similar first, each with its confidence, from 0.5 on for what is related")
        say("   (it compares a picture with everyday captions of that same picture, so it need not fall in this order)")
        sections = [
            Section(title=words, query_image=None, hits=tell(words, index.search(text=words, limit=10)))
            for words in WORDS
        ]

        say("4. Searching by example")
        example = next(path for path in sorted(pictures.iterdir()) if "handbag" in path.name)
        hits = tell(example.name, index.search(image=example, limit=10))
        sections.append(Section(title="more like this", query_image=example, hits=hits))

    write_sheet(
        page, title="lookalike demo", subtitle=f"{N_PICTURES} rendered pictures, the built-in model", sections=sections
    )
    say(f"5. Wrote {page}: open it in a browser")
    say(
        "\nThe built-in model knows colours and places well and mixes up similar things; CLIP knows far more."
        "\nNext, with your own photos:\n"
        "   .venv/bin/lookalike models pull clip                        CLIP ViT-B/32, 600 MB, once\n"
        "   .venv/bin/lookalike index ~/Pictures\n"
        '   .venv/bin/lookalike search "red dress on a beach" --open\n'
        f'   .venv/bin/lookalike search "a yellow lamp" --index {index_path}'
    )


def tell(query: str, hits: Hits) -> Hits:
    """Print the best three answers."""
    best = ", ".join(f"{Path(hit.item.uri).stem} {hit.confidence:.2f}" for hit in hits.hits[:3])
    say(f"   {query!r}: {best}")
    return hits


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-output"))
