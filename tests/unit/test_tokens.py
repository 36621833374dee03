"""Tokens: reading a model's tokenizer, cutting, and what cannot be read. The real vocabularies are in tests/golden."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import CorruptModel, InputError, MissingDependency, ModelNotFound, TooLarge, UnsupportedModel
from lookalike.tokens import MAX_CHARACTERS, Tokenizer

WORDPIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s", "dog", "e", "."]
CLIP_VOCAB = {"c": 0, "a": 1, "t</w>": 2, "ca": 3, "cat</w>": 4, "<|startoftext|>": 5, "<|endoftext|>": 6}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """The folder of a BERT tokenizer of eleven word pieces."""
    (tmp_path / "vocab.txt").write_text("\n".join(WORDPIECES) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """The folder of a CLIP tokenizer that knows one word."""
    (tmp_path / "vocab.json").write_text(json.dumps(CLIP_VOCAB))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    return tmp_path


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The token ids as plain numbers."""
    return tokenizer.encode(text).ids.tolist()


def whole(folder: Path, **changes: Any) -> bytes:
    """A `tokenizer.json` of the folder's tokenizer, with changes."""
    import tokenizers

    document = tokenizers.Tokenizer(tokenizers.models.WordPiece.from_file(str(folder / "vocab.txt"), unk_token="[UNK]"))
    document.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    document.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return json.dumps({**json.loads(document.to_str()), **changes}).encode()


def test_word_pieces(bert: Path) -> None:
    """`vocab.txt` alone is a BERT tokenizer: lower case, accents stripped, words in pieces."""
    tokenizer = Tokenizer.from_folder(bert, max_tokens=16)
    assert ids(tokenizer, "A CATS. \u00e9 bird") == [2, 5, 6, 7, 10, 9, 1, 3]
    assert (tokenizer.begin_id, tokenizer.end_id, tokenizer.max_tokens) == (2, 3, 16)


def test_options_of_the_configuration_are_followed(bert: Path) -> None:
    """`tokenizer_config.json` beside `vocab.txt` decides about case and accents."""
    (bert / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "strip_accents": False}))
    assert ids(Tokenizer.from_folder(bert, max_tokens=16), "a CAT \u00e9") == [2, 5, 1, 1, 3]


def test_byte_pairs(clip: Path) -> None:
    """`vocab.json` and `merges.txt` are a CLIP tokenizer: lower case, merged by rank, ends marked."""
    assert ids(Tokenizer.from_folder(clip, max_tokens=77), "Cat  CAT") == [5, 4, 4, 6]


def test_the_whole_file_comes_first(bert: Path) -> None:
    """`tokenizer.json` is preferred to the older files."""
    (bert / "tokenizer.json").write_bytes(whole(bert))
    assert ids(Tokenizer.from_folder(bert, max_tokens=16), "cat CAT") == [2, 6, 1, 3]  # it does not lower-case


def test_padding_and_truncation_of_the_file_are_reset(bert: Path) -> None:
    """A file that pads and cuts at lengths of its own (all-MiniLM-L6-v2's does) decides neither."""
    strategy = {"strategy": {"Fixed": 8}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    document = whole(bert, padding={**strategy, "pad_to_multiple_of": None}, truncation=cut)
    tokenizer = Tokenizer(document, max_tokens=16)
    assert ids(tokenizer, "cat") == [2, 6, 3]
    assert ids(tokenizer, "cat " * 8) == [2, *[6] * 8, 3]


def test_result(bert: Path) -> None:
    """Ids are int64 at their true length; an empty text is begin and end."""
    tokens = Tokenizer.from_folder(bert, max_tokens=16).encode("")
    assert (tokens.ids.tolist(), tokens.ids.dtype, tokens.truncated) == ([2, 3], np.int64, False)


def test_a_long_text_keeps_its_end_token(bert: Path) -> None:
    """A text over the limit is cut in front of its end token and marked; one that just fits is neither."""
    tokenizer = Tokenizer.from_folder(bert, max_tokens=5)
    fits, over = tokenizer.encode("cat dog a"), tokenizer.encode("cat dog a cat")
    assert (fits.ids.tolist(), fits.truncated) == ([2, 6, 8, 5, 3], False)
    assert (over.ids.tolist(), over.truncated) == ([2, 6, 8, 5, 3], True)


def test_special_tokens_in_a_text_are_taken_as_such(clip: Path) -> None:
    """A text that spells out the end token gets its id in the middle, as in the reference."""
    assert ids(Tokenizer.from_folder(clip, max_tokens=77), "cat<|endoftext|>cat") == [5, 4, 6, 4, 6]


@pytest.mark.parametrize("text", ["\ud800", "abc\udfffdef", "\udc00\ud800"])
def test_lone_surrogates(bert: Path, text: str) -> None:
    """Half of a surrogate pair is an error that says where it stands, not a crash."""
    with pytest.raises(InputError, match=f"surrogate pair at character {0 if text[0] != 'a' else 3}"):
        Tokenizer.from_folder(bert, max_tokens=16).encode(text)


def test_immense_texts(bert: Path) -> None:
    """A text over the budget is refused with both numbers; one of exactly the budget is tokenised."""
    tokenizer = Tokenizer.from_folder(bert, max_tokens=16)
    assert tokenizer.encode(" " * (MAX_CHARACTERS - 3) + "cat").ids.tolist() == [2, 6, 3]
    with pytest.raises(TooLarge) as caught:
        tokenizer.encode("a" * (MAX_CHARACTERS + 1))
    assert (caught.value.actual, caught.value.limit) == (MAX_CHARACTERS + 1, MAX_CHARACTERS)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=80))
def test_any_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every text begins with the begin token, ends with the end token, and never passes the limit."""
    folder = tmp_path_factory.getbasetemp() / "any_text"
    if not folder.exists():
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(WORDPIECES), encoding="utf-8")
    tokenizer = Tokenizer.from_folder(folder, max_tokens=9)
    found = tokenizer.encode(text).ids
    assert (found[0], found[-1]) == (tokenizer.begin_id, tokenizer.end_id)
    assert 2 <= len(found) <= 9


def test_digest(bert: Path) -> None:
    """The digest depends on the vocabulary and on the limit, and on nothing else."""
    first = Tokenizer.from_folder(bert, max_tokens=16).digest
    assert first == Tokenizer.from_folder(bert, max_tokens=16).digest
    assert len(first) == 64
    assert first != Tokenizer.from_folder(bert, max_tokens=17).digest
    (bert / "vocab.txt").write_text("\n".join([*WORDPIECES, "bird"]))
    assert first != Tokenizer.from_folder(bert, max_tokens=16).digest


# What cannot be read


def test_no_tokenizer(tmp_path: Path) -> None:
    """A folder without any of the files is an error that names them."""
    with pytest.raises(ModelNotFound, match=r"no tokenizer\.json, nor vocab\.json with merges\.txt, nor vocab\.txt"):
        Tokenizer.from_folder(tmp_path, max_tokens=77)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": "1.0"}', b"\xff\xfe", b'{"model": {"type": "X"}}'])
def test_damaged_tokenizer(tmp_path: Path, content: bytes) -> None:
    """A damaged `tokenizer.json` is an error that names the model and the file."""
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CorruptModel, match="fetch the model again") as caught:
        Tokenizer.from_folder(tmp_path, max_tokens=77)
    assert (caught.value.model, caught.value.file) == (tmp_path.name, "tokenizer.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", b"{"),
        ("vocab.json", b"[1, 2]"),
        ("vocab.json", b"\xff\xfe"),
        ("vocab.json", b'{"a": 0}'),
        ("merges.txt", b"\xff\xfe"),
        ("tokenizer_config.json", b"not json"),
    ],
)
def test_damaged_older_files(clip: Path, name: str, content: bytes) -> None:
    """A damaged file of the older kind is an error that names that very file."""
    (clip / name).write_bytes(content)
    with pytest.raises(CorruptModel, match=f"{name} ") as caught:
        Tokenizer.from_folder(clip, max_tokens=77)
    assert caught.value.file == name


def test_vocabulary_that_contradicts_the_merges(clip: Path) -> None:
    """Merges that the vocabulary does not know are an error too."""
    (clip / "merges.txt").write_text("#version: 0.2\nq z\n")
    with pytest.raises(CorruptModel):
        Tokenizer.from_folder(clip, max_tokens=77)


def test_a_tokenizer_without_ends_is_unsupported(bert: Path) -> None:
    """A tokenizer that adds no begin and end tokens, or a limit that leaves no room between them, is refused."""
    with pytest.raises(UnsupportedModel, match="adds 0 tokens"):
        Tokenizer(whole(bert, post_processor=None), max_tokens=16)
    with pytest.raises(UnsupportedModel, match="cut at 2"):
        Tokenizer.from_folder(bert, max_tokens=2)


def test_without_the_library(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library `tokenizers` the error says what to install."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependency, match=r"lookalike\[local\]"):
        Tokenizer.from_folder(bert, max_tokens=16)
