"""The tokenizer of a local model, built when its first text comes."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from lookalike.encoders.architecture import BertText, ClipText, TextArchitecture
from lookalike.errors import CorruptModel
from lookalike.spaces import digest_of
from lookalike.tokens import Tokenizer, digest_of_document, read_document
from lookalike.types import Tokens


class LazyTokenizer:
    """A model's tokenizer. Building it takes as long as opening a tower, and a process of pictures needs none.

    Any number of threads may use it at once.

    Attributes:
        digest: sha256 (hex) of everything that decides the ids.
    """

    def __init__(self, folder: Path, text: TextArchitecture) -> None:
        """Read the tokenizer's file in a model's folder.

        Raises:
            ModelNotFound: It is not there.
            CorruptModel: It cannot be read.
        """
        self._document = read_document(folder)
        self._lowers = isinstance(text, BertText) and text.lowers
        digest = digest_of_document(self._document, max_tokens=text.max_tokens)
        self.digest = digest_of([digest, "lower case"]) if self._lowers else digest
        self._folder = folder
        self._text = text
        self._lock = Lock()
        self._tokenizer: Tokenizer | None = None

    def encode(self, text: str) -> Tokens:
        """Tokenise one text; see `Tokenizer.encode`.

        Raises:
            CorruptModel: The tokenizer is damaged, or another model's.
            UnsupportedModel, MissingDependency, InputError: As `Tokenizer`.
        """
        if self._tokenizer is None:
            with self._lock:
                self._tokenizer = self._tokenizer or self._built()
        return self._tokenizer.encode(text.lower() if self._lowers else text)

    def _built(self) -> Tokenizer:
        text = self._text
        tokenizer = Tokenizer(self._document, max_tokens=text.max_tokens, model=self._folder.name)
        end_id = text.end_id if isinstance(text, ClipText) else None
        if tokenizer.end_id >= text.vocabulary or end_id not in (None, tokenizer.end_id):
            raise CorruptModel(
                f"The tokenizer in {self._folder} ends a text with token {tokenizer.end_id}; config.json says that the "
                f"model has {text.vocabulary} tokens{'' if end_id is None else f' and ends with {end_id}'}: fetch the "
                "model again.",
                model=self._folder.name,
                file="tokenizer.json",
            )
        self._document = b""
        return tokenizer
