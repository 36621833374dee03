"""Compare pixels and token ids with transformers, bit for bit; with --write, store small references for the tests.

Needs transformers (no torch) and the shared tokenizer files:

    python parity/pixels_and_tokens.py [--write] [--shared FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import BertTokenizer, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from lookalike.image import decode  # noqa: E402
from lookalike.pixels import PixelSpec, prepare  # noqa: E402
from lookalike.policy import ImagePolicy  # noqa: E402
from lookalike.tokens import Tokenizer  # noqa: E402
from tests.golden.corpus import DATA, TEXTS, TOKENIZERS, VARIANTS, copy_tokenizer, pixel_cases, reading_name  # noqa: E402

REFERENCES = {"clip": CLIPTokenizer, "minilm": BertTokenizer}
N_RANDOM_TEXTS = 1_000


def compare_pixels() -> tuple[dict[str, str], int]:
    """The sha256 of the reference's tensor for every case, and the number of cases in which lookalike's differs."""
    digests, n_different = {}, 0
    for name, config, picture in pixel_cases():
        data = picture.encode()
        theirs = CLIPImageProcessorPil(**config)(Image.open(BytesIO(data)), return_tensors="np")["pixel_values"][0]
        theirs = np.ascontiguousarray(theirs, np.float32)
        ours = prepare(decode(data, ImagePolicy(orientation="ignore")), PixelSpec.from_config(config))
        if ours.shape != theirs.shape or ours.tobytes() != theirs.tobytes():
            n_different += 1
            print(f"DIFFERENT pixels: {name}")
        digests[name] = hashlib.sha256(theirs.tobytes()).hexdigest()
    return digests, n_different


def random_texts() -> Iterable[str]:
    """Texts of characters from everywhere in Unicode, the same in every run."""
    rng = random.Random(0)
    blocks = [(0x20, 0x7F), (0xA0, 0x600), (0x600, 0x1200), (0x4E00, 0x4F00), (0x1F300, 0x1F700), (0, 0xD800)]
    for _ in range(N_RANDOM_TEXTS):
        yield "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(rng.randrange(1, 60)))


def compare_tokens(prefix: str, folder: Path) -> tuple[list[list[int]], int]:
    """The reference's ids of every text, and the number of texts for which lookalike's differ."""
    max_tokens = TOKENIZERS[prefix]
    reference = REFERENCES[prefix].from_pretrained(str(folder))
    tokenizer = Tokenizer.from_folder(folder, max_tokens=max_tokens)
    stored, n_different = [], 0
    for text in (*TEXTS, *random_texts()):
        theirs = reference(text, truncation=True, max_length=max_tokens)["input_ids"]
        if tokenizer.encode(text).ids.tolist() != theirs:
            n_different += 1
            print(f"DIFFERENT ids: {prefix} {text[:40]!r}")
        stored.append(theirs)
    return stored[: len(TEXTS)], n_different


def compare_all_tokens(shared: Path) -> tuple[dict[str, list[list[int]]], int]:
    """The reference's ids for every set of tokenizer files, and for how many texts lookalike's differ."""
    ids, n_different = {}, 0
    for prefix, variants in VARIANTS.items():
        for names in variants:
            with tempfile.TemporaryDirectory() as folder:
                found, n = compare_tokens(prefix, copy_tokenizer(shared, prefix, names, Path(folder)))
            print(f"tokens: {prefix} from {', '.join(names)}: {len(TEXTS) + N_RANDOM_TEXTS} texts, {n} different")
            n_different += n
            ids[reading_name(prefix, names)] = found
    return ids, n_different


def main() -> int:
    """Compare everything; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="store the references for the tests")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the folder of shared material")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("transformers", "tokenizers", "pillow", "numpy")}
    digests, n_different = compare_pixels()
    print(f"pixels: {len(digests)} cases, {n_different} different from transformers {versions['transformers']}")
    if not (options.shared / "golden").is_dir():
        print(f"tokens: left out, since the reference tokenizers are not here ({options.shared}; see --shared)")
        return 1 if n_different else 0
    ids, n = compare_all_tokens(options.shared)
    n_different += n
    if options.write:
        (DATA / "pixels.json").write_text(json.dumps({"versions": versions, "sha256": digests}, indent=1) + "\n")
        (DATA / "tokens.json").write_text(json.dumps({"versions": versions, "ids": ids}) + "\n")
    return 1 if n_different else 0


if __name__ == "__main__":
    sys.exit(main())
