"""Words for a scene, many ways: synonyms, word order, parts left out.

May import: scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.scene import Scene

KIND_WORDS: Mapping[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tshirt", "tee", "t shirt"),
    "shirt": ("shirt", "button-up shirt", "collared shirt", "button shirt"),
    "long sleeve": ("long sleeve top", "longsleeve", "long-sleeved top", "long sleeve", "sweater"),
    "dress": ("dress", "gown", "frock"),
    "skirt": ("skirt", "flared skirt"),
    "trousers": ("trousers", "pants", "pair of trousers", "pair of pants", "jeans"),
    "shorts": ("shorts", "short pants", "pair of shorts"),
    "coat": ("coat", "jacket", "outerwear", "overcoat"),
    "hat": ("hat", "cap"),
    "shoe": ("shoe", "sneaker", "shoes", "trainer"),
    "handbag": ("handbag", "purse", "bag", "hand bag"),
    "backpack": ("backpack", "rucksack", "back pack"),
    "mug": ("mug", "cup", "coffee mug", "tea cup"),
    "chair": ("chair", "armchair", "seat"),
    "lamp": ("lamp", "table lamp", "light"),
    "bottle": ("bottle", "flask", "water bottle"),
}
COLOUR_WORDS: Mapping[str, tuple[str, ...]] = {
    "red": ("red", "red", "crimson", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue", "blue", "sky blue"),
    "navy": ("navy", "navy", "dark blue", "navy blue"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "brown": ("brown",),
    "black": ("black",),
    "white": ("white",),
    "grey": ("grey", "gray"),
}
PATTERN_ADJECTIVES: Mapping[str, tuple[str, ...]] = {
    "plain": ("plain", "solid", "plain coloured"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted", "polka dot"),
    "checked": ("checked", "checkered", "plaid", "gingham"),
    "floral": ("floral", "flowered", "flowery"),
}
PATTERN_NOUNS: Mapping[str, tuple[str, ...]] = {
    "plain": ("no pattern", "a plain surface"),
    "striped": ("stripes", "a striped pattern", "lines"),
    "dotted": ("dots", "polka dots", "spots"),
    "checked": ("checks", "a checked pattern", "squares"),
    "floral": ("flowers", "a floral print", "a flower pattern"),
}
BACKGROUND_PHRASES: Mapping[str, tuple[str, ...]] = {
    "white": ("on a white background", "in a white studio", "isolated on white"),
    "grey": ("on a grey background", "in a grey studio", "on a gray backdrop"),
    "wood": ("on wood", "on a wooden table", "on a wooden floor", "on wooden boards"),
    "beach": ("on a beach", "at the seaside", "on the sand by the sea", "on the beach"),
    "grass": ("on grass", "on a lawn", "in the garden", "on green grass"),
    "brick": ("in front of a brick wall", "against bricks", "on a brick wall"),
    "room": ("in a room", "indoors", "in a living room", "at home"),
    "tiles": ("on tiles", "in front of a tiled wall", "on bathroom tiles", "in a bathroom"),
}
BACKGROUND_NOUNS: Mapping[str, tuple[str, ...]] = {
    "white": ("white background", "white studio"),
    "grey": ("grey background", "gray studio"),
    "wood": ("wood", "wooden table"),
    "beach": ("beach", "seaside"),
    "grass": ("grass", "lawn"),
    "brick": ("brick wall", "bricks"),
    "room": ("room", "living room"),
    "tiles": ("tiles", "bathroom"),
}
PLURAL_FIRST_WORDS = frozenset({"trousers", "pants", "jeans", "shorts", "short", "shoes", "outerwear"})


@dataclass(frozen=True, slots=True)
class Said:
    """A caption and what it states: the kind always, the rest only when True."""

    text: str
    colour: bool
    pattern: bool
    background: bool


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _article(words: str, noun: str) -> str:
    if noun.split()[0] in PLURAL_FIRST_WORDS:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def say(scene: Scene, rng: np.random.Generator, *, full: bool = False) -> Said:
    """A caption with what it leaves out; `full` names kind, colour, pattern and background."""
    colour, pattern, background = (True, True, True) if full else (bool(x) for x in rng.random(3) < (0.85, 0.6, 0.55))
    noun = _pick(KIND_WORDS[scene.kind], rng)
    shade = _pick(COLOUR_WORDS[scene.colour], rng) if colour else ""
    style = int(rng.integers(4))
    adjective = _pick(PATTERN_ADJECTIVES[scene.pattern], rng) if pattern else ""
    design = f"with {_pick(PATTERN_NOUNS[scene.pattern], rng)}" if pattern else ""
    place = _pick(BACKGROUND_PHRASES[scene.background], rng) if background else ""
    spot = _pick(BACKGROUND_NOUNS[scene.background], rng) if background else ""
    match style:
        case 0:
            text = f"{_article(' '.join(w for w in (shade, adjective, noun) if w), noun)} {place}"
        case 1:
            text = f"{_article(' '.join(w for w in (shade, noun) if w), noun)} {design} {place}"
        case 2:
            text = ", ".join(w for w in (noun, " ".join(v for v in (shade, design) if v), spot) if w)
        case _:
            opening = _pick(("", "a photo of", "a picture of", "photo of"), rng)
            text = f"{opening} {_article(' '.join(w for w in (adjective, shade, noun) if w), noun)} {place}"
    return Said(" ".join(text.split()), colour, pattern, background)


def caption(scene: Scene, rng: np.random.Generator, *, full: bool = False) -> str:
    """A caption as people write it: kind always, colour mostly, pattern and background often; all four when `full`."""
    return say(scene, rng, full=full).text
