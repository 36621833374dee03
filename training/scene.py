"""What one catalogue picture shows: a frozen Scene, and how to draw one at random.

May import: nothing of the project.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

KINDS = (
    "t-shirt", "shirt", "long sleeve", "dress", "skirt", "trousers", "shorts", "coat", "hat", "shoe",
    "handbag", "backpack", "mug", "chair", "lamp", "bottle",
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "navy", "purple", "pink", "brown", "black", "white", "grey")
PATTERNS = ("plain", "striped", "dotted", "checked", "floral")
BACKGROUNDS = ("white", "grey", "wood", "beach", "grass", "brick", "room", "tiles")

# One composition in six is kept away from training, so that the reported recall is about unseen combinations.
HELD_OUT_EVERY = 6


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture. `scale` is the side of the object's square and `dx`, `dy` its shift, in shares of the picture."""

    kind: str
    colour: str
    pattern: str
    background: str
    seed: int = 0
    angle_deg: float = 0.0
    scale: float = 0.82
    dx: float = 0.0
    dy: float = 0.0
    light_deg: float = 225.0
    clutter: int = 0
    variant: int = 0
    flipped: bool = False

    @property
    def composition(self) -> tuple[str, str, str, str]:
        """What a full caption names."""
        return (self.kind, self.colour, self.pattern, self.background)


def compositions() -> tuple[tuple[str, str, str, str], ...]:
    """Every kind x colour x pattern x background, in a fixed order."""
    return tuple((k, c, p, b) for k in KINDS for c in COLOURS for p in PATTERNS for b in BACKGROUNDS)


def is_held_out(composition: tuple[str, str, str, str]) -> bool:
    """Whether training must never see this combination; a checksum, so it is the same on every machine."""
    return zlib.crc32("|".join(composition).encode()) % HELD_OUT_EVERY == 0


def sample_scene(rng: np.random.Generator) -> Scene:
    """A random scene, every composition equally likely."""
    kind, colour, pattern, background = (int(rng.integers(len(v))) for v in (KINDS, COLOURS, PATTERNS, BACKGROUNDS))
    return scene_of((KINDS[kind], COLOURS[colour], PATTERNS[pattern], BACKGROUNDS[background]), rng)


def scene_of(composition: tuple[str, str, str, str], rng: np.random.Generator) -> Scene:
    """A random view (place, light, cut, clutter) of a given composition."""
    kind, colour, pattern, background = composition
    scale = float(rng.uniform(0.66, 0.92))
    room = (1 - scale) / 2 * 0.8
    return Scene(
        kind=kind,
        colour=colour,
        pattern=pattern,
        background=background,
        seed=int(rng.integers(2**31)),
        angle_deg=float(np.clip(rng.normal(0, 6), -15, 15)),
        scale=scale,
        dx=float(rng.uniform(-room, room)),
        dy=float(rng.uniform(-room, room)),
        light_deg=float(rng.uniform(195, 345)),
        clutter=int(rng.choice(4, p=(0.55, 0.2, 0.15, 0.1))),
        variant=int(rng.integers(3)),
        flipped=bool(rng.random() < 0.5),
    )
