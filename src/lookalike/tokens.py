"""A text to the token ids that a text model reads, equal to its reference's. The only file that imports `tokenizers`.

CLIP's byte-pair encoding and BERT's WordPiece are read from a model's folder: `tokenizer.json`, or the older
`vocab.json` with `merges.txt` (CLIP), or `vocab.txt` (BERT). The reference is the tokenizer of transformers.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import CorruptModel, InputError, MissingDependency, ModelNotFound, TooLarge, UnsupportedModel
from lookalike.spaces import digest_of
from lookalike.types import Tokens

if TYPE_CHECKING:
    import tokenizers

MAX_CHARACTERS = 1_000_000
"""A longer text is refused: tokenising takes about a second for a million characters, and models read a page."""


class Tokenizer:
    """One model's tokenizer, cutting at the model's length. Any number of threads may use it at once.

    Attributes:
        max_tokens: The length at which a text is cut, begin and end tokens included.
        digest: sha256 (hex) of everything that decides the ids; see `digest_of_document`.
        begin_id: The id of the token that every text begins with.
        end_id: The id of the token that every text ends with. A text may spell it out ("<|endoftext|>"); then it
            occurs more than once, and CLIP's reference pools at the first.
    """

    def __init__(self, document: bytes, *, max_tokens: int, model: str = "") -> None:
        """Read a `tokenizer.json`.

        Args:
            document: The file's content.
            max_tokens: The length at which a text is cut, begin and end tokens included; at least 3.
            model: The model's name, for messages.

        Raises:
            CorruptModel: The content cannot be read.
            UnsupportedModel: It does not put one token before and one behind a text, or `max_tokens` is too small.
            MissingDependency: The library `tokenizers` is not installed.
        """
        self._backend = _load(document, model)
        ends = self._backend.encode("").ids
        if len(ends) != 2 or max_tokens < 3:
            raise UnsupportedModel(
                f"A tokenizer that adds {len(ends)} tokens to a text, cut at {max_tokens}, is not supported: "
                "it has to add a begin and an end, and to leave room for a token between them.",
                model=model,
                file="tokenizer.json",
            )
        self.begin_id, self.end_id = ends
        self.max_tokens = max_tokens
        self.digest = digest_of_document(document, max_tokens=max_tokens)

    @classmethod
    def from_folder(cls, folder: Path, *, max_tokens: int) -> Tokenizer:
        """Read the tokenizer of a model's folder.

        Args:
            folder: Holds `tokenizer.json`, or `vocab.json` and `merges.txt`, or `vocab.txt`.
            max_tokens: As in the constructor: 77 for CLIP, 256 for all-MiniLM-L6-v2.

        Raises:
            ModelNotFound: None of these files is there.
            CorruptModel, UnsupportedModel, MissingDependency: As the constructor.
        """
        return cls(read_document(folder), max_tokens=max_tokens, model=folder.name)

    def encode(self, text: str) -> Tokens:
        """Tokenise one text.

        Args:
            text: Any text, at most `MAX_CHARACTERS` long; "" is begin and end alone.

        Returns:
            (length,) int64 ids, 2 <= length <= max_tokens, unpadded. A longer text is cut in front of the end token
            and marked as truncated.

        Raises:
            InputError: Not a valid text: it holds half of a surrogate pair.
            TooLarge: Over `MAX_CHARACTERS`.
        """
        if len(text) > MAX_CHARACTERS:
            raise TooLarge(
                f"The text has {len(text):,} characters, {MAX_CHARACTERS:,} are allowed: shorten it.",
                actual=len(text),
                limit=MAX_CHARACTERS,
            )
        try:
            ids = self._backend.encode(text).ids
        except TypeError:
            require_text(text)
            raise
        truncated = len(ids) > self.max_tokens
        if truncated:
            ids = [*ids[: self.max_tokens - 1], self.end_id]
        return Tokens(np.array(ids, np.int64), truncated)


def read_document(folder: Path) -> bytes:
    """The folder's `tokenizer.json`, or the same built from the older files.

    Raises:
        ModelNotFound: Neither is there.
        CorruptModel: An older file cannot be read.
    """
    if (whole := folder / "tokenizer.json").is_file():
        return whole.read_bytes()
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return json.dumps(_clip_document(folder)).encode()
    if (folder / "vocab.txt").is_file():
        return json.dumps(_bert_document(folder)).encode()
    raise ModelNotFound(
        f"{folder} holds no tokenizer.json, nor vocab.json with merges.txt, nor vocab.txt: fetch the model again.",
        model=folder.name,
        file="tokenizer.json",
    )


def digest_of_document(document: bytes, *, max_tokens: int) -> str:
    """sha256 (hex) of everything that decides the ids of a tokenizer, without building it."""
    return digest_of([hashlib.sha256(document).hexdigest(), max_tokens])


def require_text(text: str, *, what: str = "The text", item: str = "") -> None:
    """InputError if a text holds half of a surrogate pair, which no model reads and no JSON can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} holds half of a surrogate pair at character {error.start}, which stands for nothing: decode it "
            "again from its bytes, with errors='replace' if need be.",
            item=item,
        ) from error


def _load(document: bytes, model: str) -> tokenizers.Tokenizer:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingDependency("tokenizers", extra="local") from error
    try:
        backend = tokenizers.Tokenizer.from_buffer(document)
    except ValueError as error:
        raise CorruptModel(
            f"The tokenizer of {model or 'the model'} cannot be read ({error}): fetch the model again.",
            model=model,
            file="tokenizer.json",
        ) from error
    # Some files pad and cut at lengths of their own (all-MiniLM-L6-v2's at 128, half of what the model reads).
    backend.no_padding()
    backend.no_truncation()
    return backend


def _clip_document(folder: Path) -> dict[str, Any]:
    """CLIP's pipeline as in transformers, models/clip/tokenization_clip.py."""
    begin, end = "<|startoftext|>", "<|endoftext|>"
    vocab = _read_json(folder, "vocab.json")
    merges = _read_text(folder, "merges.txt").split("\n")
    split = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    model = {
        "type": "BPE",
        "unk_token": end,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "</w>",
        "vocab": vocab,
        "merges": [line for line in merges if line and not line.startswith("#version")],
    }
    return {
        "version": "1.0",
        "added_tokens": _added_tokens(folder, vocab, (begin, end)),
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": split}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": _post_processor(folder, vocab, begin, end),
        "model": model,
    }


def _bert_document(folder: Path) -> dict[str, Any]:
    """BERT's pipeline as in transformers, models/bert/tokenization_bert.py."""
    options = _options(folder)
    lines = _read_text(folder, "vocab.txt").removesuffix("\n").split("\n")
    vocab = {token.rstrip(): place for place, token in enumerate(lines)}
    return {
        "version": "1.0",
        "added_tokens": _added_tokens(folder, vocab, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": options.get("tokenize_chinese_chars", True),
            "strip_accents": options.get("strip_accents"),
            "lowercase": options.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": _post_processor(folder, vocab, "[CLS]", "[SEP]"),
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }


def _options(folder: Path) -> dict[str, Any]:
    return _read_json(folder, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}


def _read_text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _corrupt(folder, name, f"is not UTF-8 ({error})") from error


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(folder, name))
    except json.JSONDecodeError as error:
        raise _corrupt(folder, name, f"is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _corrupt(folder, name, "is not a JSON object")
    return value


def _corrupt(folder: Path, name: str, what: str) -> CorruptModel:
    return CorruptModel(f"{folder / name} {what}: fetch the model again.", model=folder.name, file=name)


def _token_id(folder: Path, vocab: dict[str, int], token: str) -> int:
    if token not in vocab:
        raise _corrupt(folder, "vocab.json" if (folder / "vocab.json").is_file() else "vocab.txt", f"lacks {token}")
    return vocab[token]


def _added_tokens(folder: Path, vocab: dict[str, int], tokens: tuple[str, ...]) -> list[dict[str, Any]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    declared = _options(folder).get("added_tokens_decoder", {})
    ids = sorted((_token_id(folder, vocab, token), token) for token in tokens)
    return [{"id": id_, "content": token, **flags, **declared.get(str(id_), {})} for id_, token in ids]


def _post_processor(folder: Path, vocab: dict[str, int], begin: str, end: str) -> dict[str, Any]:
    pair = {"sep": [end, _token_id(folder, vocab, end)], "cls": [begin, _token_id(folder, vocab, begin)]}
    return {"type": "BertProcessing", **pair}
