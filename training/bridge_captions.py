"""Write the captions that bridges between text models are fitted on: what people type to find photos, in short forms.

    python -m training.bridge_captions

Reads `bridge_words.txt` beside this file, and writes `src/lookalike/bridge/captions.txt.gz`: one caption a line, the
same whenever it is run. Every single thing is there bare, most of them with an article or as "a photo of" too;
of the combinations a fixed random sample is.
"""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "src" / "lookalike" / "bridge" / "captions.txt.gz"

SEED = 0

SAMPLED = {
    ("colours", "garments"): 260,
    ("qualities of garments", "garments"): 200,
    ("colours", "household things"): 120,
    ("qualities of things", "household things"): 140,
    ("qualities of things", "tools and devices"): 140,
    ("colours", "vehicles"): 110,
    ("qualities of places", "buildings and places"): 160,
    ("qualities of places", "nature"): 60,
    ("qualities of animals", "animals"): 200,
    ("qualities of food", "food"): 120,
    ("people", "what people do"): 420,
    ("people", "where"): 160,
    ("animals", "what animals do"): 260,
    ("household things", "where things are"): 120,
    ("tools and devices", "where things are"): 120,
    ("food", "where things are"): 60,
}
"""Of which pairs of sections how many combinations."""

PHOTO_FORMS = ("a photo of {}", "a picture of {}", "a close-up of {}", "{} in a photo", "photo of {}")
PHOTO_SHARE = 0.25


def sections() -> dict[str, tuple[str, list[str]]]:
    """Each section's name -> what its words are ("counted", "mass", "plural", "named" or ""), and the words."""
    text = re.sub(r"^#.*$", "", (HERE / "bridge_words.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: dict[str, tuple[str, list[str]]] = {}
    for title, body in re.findall(r"^\[(.+?)\]\n(.+?)(?=^\[|\Z)", text, flags=re.MULTILINE | re.DOTALL):
        kind, _, name = title.rpartition(": ")
        words = [" ".join(word.split()) for word in body.split(",")]
        key = name if kind in ("", "counted") else f"{name} ({kind})"
        found[key] = (kind or ("named" if name == "named" else ""), words)
    return found


def with_article(words: str) -> str:
    """ "apple" -> "an apple"."""
    # "a uniform", "a European", "an hourglass": what counts is the sound.
    sounds_open = re.match(r"(?!uni|use|uku|one|euro|ufo)[aeiou]|hour|x-ray|mri", words)
    return f"{'an' if sounds_open else 'a'} {words}"


def single(found: dict[str, tuple[str, list[str]]], chance: random.Random) -> Iterator[str]:
    """Every word bare; things that are counted with their article too; some as a photo."""
    for kind, words in found.values():
        if not kind:
            continue
        for word in words:
            yield word
            whole = with_article(word) if kind == "counted" else word
            if kind == "counted":
                yield whole
            if chance.random() < PHOTO_SHARE:
                yield chance.choice(PHOTO_FORMS).format(whole)


def combined(found: dict[str, tuple[str, list[str]]], chance: random.Random) -> Iterator[str]:
    """A sample of the combinations: an adjective stands before its noun, anything else behind it."""
    for (first, second), number in SAMPLED.items():
        pairs = [(a, b) for a in found[first][1] for b in found[second][1]]
        for one, other in chance.sample(pairs, number):
            phrase = f"{one} {other}"
            # As people type: half of them leave the article out.
            yield with_article(phrase) if chance.random() < 0.5 else phrase


def captions() -> list[str]:
    """All captions, each once."""
    chance = random.Random(SEED)
    found = sections()
    everything = [*single(found, chance), *combined(found, chance), *found["whole scenes"][1]]
    return list(dict.fromkeys(everything))


def main() -> None:
    """Write the file and say how large it is."""
    lines = captions()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    # No time stamp, so that the same captions are the same bytes.
    OUT.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=9, mtime=0))
    print(f"{len(lines):,} captions, {OUT.stat().st_size:,} bytes: {OUT}")


if __name__ == "__main__":
    main()
