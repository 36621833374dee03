"""From the name of a kind to its parts.

May import: outlines, garments, goods.
"""

from __future__ import annotations

from training import garments, goods
from training.outlines import Part


def parts_of(kind: str, variant: int) -> tuple[Part, ...]:
    """The parts of a kind, back to front; `variant` picks a cut (neck, length, brim ...)."""
    makers = {
        "t-shirt": garments.t_shirt,
        "shirt": garments.shirt,
        "long sleeve": garments.long_sleeve,
        "dress": garments.dress,
        "skirt": garments.skirt,
        "trousers": garments.trousers,
        "shorts": garments.shorts,
        "coat": garments.coat,
        "hat": goods.hat,
        "shoe": goods.shoe,
        "handbag": goods.handbag,
        "backpack": goods.backpack,
        "mug": goods.mug,
        "chair": goods.chair,
        "lamp": goods.lamp,
        "bottle": goods.bottle,
    }
    return makers[kind](variant)
