"""Bridges: the text vectors of one model, made to search the pictures of another. An approximation, and it says so.

`fit` learns a `Bridge` from texts that both models have embedded, and measures it on texts that it has not seen;
`BridgedVectorizer` searches through it. docs/bridge.md says what that is good for.
"""

from lookalike.bridge.agreement import LEAST_IMAGES, Agreement
from lookalike.bridge.bridge import Bridge, BridgedVectorizer
from lookalike.bridge.captions import built_in_captions
from lookalike.bridge.files import load, save
from lookalike.bridge.fitting import fit, require_ends

__all__ = [
    "LEAST_IMAGES",
    "Agreement",
    "Bridge",
    "BridgedVectorizer",
    "built_in_captions",
    "fit",
    "load",
    "require_ends",
    "save",
]
