# ruff: noqa: RUF001
"""Pictures, settings and texts on which lookalike and its references must agree to the last bit.

Used by the tests (against stored references) and by parity/pixels_and_tokens.py (against the references themselves).
Everything is generated, so that nothing but digests and ids has to be stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Picture:
    """A picture of noise, the same on every machine."""

    width: int
    height: int
    mode: str = "RGB"

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height} {self.mode}"

    def image(self) -> Image.Image:
        """The picture itself; modes that cannot hold noise are converted from RGBA or RGB."""
        base = "RGBA" if self.mode in ("RGBA", "LA", "PA") else "RGB"
        n_bytes = self.width * self.height * len(base)
        noise = hashlib.shake_256(f"{self.width}x{self.height}".encode()).digest(n_bytes)
        image = Image.frombytes(base, (self.width, self.height), noise)
        return image if base == self.mode else image.convert(self.mode)

    def encode(self) -> bytes:
        """A file of it, without loss: PNG where that knows the mode, TIFF otherwise."""
        file = BytesIO()
        self.image().save(file, "PNG" if self.mode in ("RGB", "RGBA", "L", "LA", "P", "1") else "TIFF")
        return file.getvalue()


AWKWARD_SIZES = (
    *((w, h) for w in range(1, 21) for h in (1, 7, 19)),
    (224, 224),
    (224, 230),  # int(224 * (230 / 224)) would be 229
    (230, 224),
    (225, 900),
    (900, 225),
    (259, 224),  # a surplus of 35: % 4 == 3
    (224, 231),
    (259, 259),
    (524, 316),
    (3, 1000),
    (1000, 3),
    (37, 3000),
    (640, 480),
    (481, 639),
    (1024, 768),
)
MODES = ("1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "LAB")

PICTURES = (
    *(Picture(*size) for size in AWKWARD_SIZES),
    *(Picture(61, 50, mode) for mode in MODES),
    *(Picture(1, 17, mode) for mode in MODES),
)

CONFIGS: Mapping[str, Mapping[str, object]] = {
    "old style": {"size": 224, "crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor"},
    "crop above size": {"size": {"shortest_edge": 20}, "crop_size": {"height": 33, "width": 31}},
    "crop inside": {"size": {"shortest_edge": 64}, "crop_size": {"height": 31, "width": 48}},
    "square": {"size": 32, "default_to_square": True, "crop_size": 32},
    "square not of a number": {"size": {"shortest_edge": 32}, "default_to_square": True, "crop_size": 32},
    "no square": {"size": 32, "default_to_square": False, "crop_size": 32},
    "squash": {"size": {"height": 30, "width": 41}, "do_center_crop": False},
    "squash and crop": {"size": {"height": 30, "width": 41}, "crop_size": {"height": 33, "width": 31}},
    "no resize": {"do_resize": False, "crop_size": 31},
    "no rescale": {"do_rescale": False, "size": 32, "crop_size": 32},
    "no normalise": {"do_normalize": False, "size": 32, "crop_size": 32},
    "other scale": {
        "rescale_factor": 1 / 127.5,
        "image_mean": [1.0] * 3,
        "image_std": [0.7, 0.8, 0.9],
        "crop_size": 64,
    },
    **{f"resample {n}": {"resample": n, "size": 64, "crop_size": 64} for n in range(6)},
}
CONFIG_PICTURES = tuple(Picture(*size) for size in ((5, 9), (40, 30), (31, 33), (32, 34), (300, 259), (17, 333)))


def pixel_cases() -> Iterator[tuple[str, Mapping[str, object], Picture]]:
    """Every (name, configuration, picture)."""
    for picture in PICTURES:
        yield f"default {picture.name}", {}, picture
    for name, config in CONFIGS.items():
        for picture in CONFIG_PICTURES:
            yield f"{name} {picture.name}", config, picture


TEXTS = (
    "",
    " ",
    "a photo of a cat",
    "Hello, World! It's what we've said: I'LL, don't, 'S 'RE",
    "  leading,  inner   and trailing  ",
    "\t\n\r\v\f \u00a0 \u1680 \u2003 \u2028 \u3000 \u200b \ufeff a b",
    "\x00\x01\x07\x1b\x7f a\x00b \x85 \ufffd \ufffe",
    "שלום עולם, תמונה של חתול שחור",
    "שָׁלוֹם עִם נִקּוּד",
    "مرحبا بالعالم، صورة قطة",
    "你好，世界。一只黑猫",
    "こんにちは、猫の写真",
    "한국어 고양이 사진",
    "नमस्ते दुनिया ไทยแมว",
    "mixed שלום abc 你好 def مرحبا",
    "e\u0301cole \u00e9cole E\u0301COLE \u1e9b\u0323 x\u0300\u0301\u0302\u0303",
    "🙂 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 cat🐱dog ☕️",
    "İstanbul ß ẞ ﬁ Å Ǆ ǅ 𝓗𝓮𝓵𝓵𝓸",
    "123 4567 3.14 ٣٤ ½ ² ⅷ",
    "&amp; &lt;b&gt; http://example.com/?q=1&b=2#x _under_score-dash",
    "\u202eabc\u202c \u2066x\u2069",
    "<|endoftext|>",
    "a <|endoftext|> b <|startoftext|> c",
    "<|STARTOFTEXT|> <|EndOfText|> < |endoftext| >",
    "[CLS] a [SEP] b [MASK] [PAD] [UNK] [cls]",
    " ".join("abc"[i] * (98 + i) for i in range(3)),
    "a" * 10_000,
    "word " * 2_000,
    "🙂" * 3_000,
    "猫" * 10_000,
    "שלום " * 2_000,
    " " * 10_000,
    " ".join(["one"] * 75),  # fills CLIP's 77 exactly
    " ".join(["one"] * 76),
    " ".join(["one"] * 254),  # fills MiniLM's 256 exactly
    " ".join(["one"] * 255),
)

TOKENIZERS: Mapping[str, int] = {"clip": 77, "minilm": 256}
"""Prefix of the files in shared/golden/tokenizer, and the length at which a text is cut."""

VARIANTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "clip": (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.json", "merges.txt", "tokenizer_config.json")),
    "minilm": (("tokenizer.json",), ("vocab.txt",), ("vocab.txt", "tokenizer_config.json")),
}
"""The sets of files from which each tokenizer can be read."""


def reading_name(prefix: str, names: tuple[str, ...]) -> str:
    """The name of one tokenizer as read from one set of files."""
    return " ".join((prefix, *names))


def copy_tokenizer(shared: Path, prefix: str, names: tuple[str, ...], folder: Path) -> Path:
    """Copy a model's tokenizer files out of the shared material, under their real names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes((shared / "golden" / "tokenizer" / f"{prefix}_{name}").read_bytes())
    return folder
