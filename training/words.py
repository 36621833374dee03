"""A small tokenizer in exactly CLIP's scheme, its merges learned from the catalogue's captions.

May import: captions, scene.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

START, END = "<|startoftext|>", "<|endoftext|>"
SUFFIX = "</w>"
CONTEXT = 32
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _dress(tokenizer: Tokenizer) -> Tokenizer:
    """Everything around the merges, as in openai/clip-vit-base-patch32."""
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _byte_letters() -> list[str]:
    """The 256 letters of the byte-level alphabet in CLIP's order: printable bytes first, then the moved ones."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in shown] + [chr(256 + i) for i in range(256 - len(shown))]


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Learn merges, then lay the vocabulary out as CLIP does: bytes, bytes ending a word, merges, start, end.

    The trainer keeps only the letters that occur; without all 512 a foreign letter would have no id.
    """
    learner = _dress(Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=SUFFIX)))
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size, min_frequency=2, end_of_word_suffix=SUFFIX, show_progress=False
        ),
    )
    merges = [
        tuple(m) if isinstance(m, list) else tuple(m.split(" "))
        for m in json.loads(learner.to_str())["model"]["merges"]
    ]
    letters = _byte_letters()
    tokens = [*letters, *(c + SUFFIX for c in letters), *dict.fromkeys(a + b for a, b in merges), START, END]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise ValueError("a merge repeats a base letter")
    tokenizer = _dress(
        Tokenizer(
            models.BPE(
                vocab=vocabulary, merges=merges, continuing_subword_prefix="", end_of_word_suffix=SUFFIX, unk_token=END
            )
        )
    )
    tokenizer.add_special_tokens([START, END])
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, vocabulary[END]), (START, vocabulary[START]), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    settings = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": CONTEXT, "do_lower_case": True}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
