"""Token ids against those of transformers, stored by parity/pixels_and_tokens.py."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lookalike.tokens import Tokenizer
from tests.golden.corpus import DATA, TEXTS, TOKENIZERS, VARIANTS, copy_tokenizer, reading_name

STORED = json.loads((DATA / "tokens.json").read_text())
READINGS = [(prefix, names) for prefix, variants in VARIANTS.items() for names in variants]


@pytest.fixture(scope="module", params=READINGS, ids=lambda reading: reading_name(*reading))
def reading(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Tokenizer]:
    """Each real tokenizer, from each set of files that it is published as."""
    prefix, names = request.param
    folder = copy_tokenizer(shared, prefix, names, tmp_path_factory.mktemp(prefix))
    return reading_name(prefix, names), Tokenizer.from_folder(folder, max_tokens=TOKENIZERS[prefix])


def test_ids_equal_the_reference(reading: tuple[str, Tokenizer]) -> None:
    """Every text of the corpus has the ids that transformers gives it."""
    name, tokenizer = reading
    for text, ids in zip(TEXTS, STORED["ids"][name], strict=True):
        assert tokenizer.encode(text).ids.tolist() == ids, (text[:60], STORED["versions"])


def test_several_threads_get_the_same_ids(reading: tuple[str, Tokenizer]) -> None:
    """Eight threads tokenising at once get what one gets."""
    name, tokenizer = reading
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(tokenizer.encode, TEXTS * 2))
    assert [tokens.ids.tolist() for tokens in found] == STORED["ids"][name] * 2


def test_a_text_that_just_fits_is_not_cut(reading: tuple[str, Tokenizer]) -> None:
    """The limit counts begin and end tokens; one token more and the text is marked as truncated, its end token kept."""
    _, tokenizer = reading
    fits, over = (tokenizer.encode(" ".join(["one"] * (tokenizer.max_tokens - n))) for n in (2, 1))
    assert (len(fits.ids), fits.truncated) == (tokenizer.max_tokens, False)
    assert (len(over.ids), over.truncated) == (tokenizer.max_tokens, True)
    assert fits.ids[-1] == over.ids[-1] == tokenizer.end_id
