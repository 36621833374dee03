"""The captions that a bridge is fitted on if the user has none: made by training/bridge_captions.py."""

from __future__ import annotations

import gzip
from pathlib import Path

_FILE = Path(__file__).with_name("captions.txt.gz")


def built_in_captions() -> list[str]:
    """Several thousand short captions and names, each once: what people type to find photos."""
    return gzip.decompress(_FILE.read_bytes()).decode().splitlines()
