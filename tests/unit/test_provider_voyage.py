"""Voyage AI: two routes, roles, pictures as data URIs; too long a text is refused, not cut."""

from __future__ import annotations

import base64
import struct

from lookalike.errors import RateLimited, Refused
from lookalike.providers.voyage import MULTIMODAL_LIMITS
from tests.adapters import JPEG, PNG, PNG_BASE64, answered, asked, opened, refusal

BOTH, TEXTS = "voyage:voyage-multimodal-3.5", "voyage:voyage-3.5"
COMMON = {"truncation": False, "encoding_format": "base64"}


def test_texts_and_pictures_have_one_shape() -> None:
    """An input is a content of one part: a text, or a picture as a data URI of its own kind; nothing is cut off."""
    address, body = asked(f"{BOTH}?dimensions=512", "a", "b")
    assert address == "https://api.voyageai.com/v1/multimodalembeddings"
    assert body == {
        "model": "voyage-multimodal-3.5",
        "input_type": "query",
        "output_dimension": 512,
        "inputs": [{"content": [{"type": "text", "text": text}]} for text in ("a", "b")],
        **COMMON,
    }
    _, body = asked(BOTH, PNG, JPEG, modality="image")
    assert [entry["content"][0]["image_base64"][:16] for entry in body["inputs"]] == [
        "data:image/png;b",
        "data:image/jpeg;",
    ]
    assert body["inputs"][0]["content"][0]["image_base64"].endswith(f",{PNG_BASE64}")


def test_models_of_texts_have_a_route_of_their_own() -> None:
    """Their inputs are plain texts; their vectors have the model's own length if none is asked for."""
    address, body = asked(f"{TEXTS}?role=document", "a")
    assert address == "https://api.voyageai.com/v1/embeddings"
    assert body == {"model": "voyage-3.5", "input_type": "document", "input": ["a"], **COMMON}


def test_pictures_are_what_is_found_in_every_role() -> None:
    """A picture has the same vector whether it is searched for or searched with."""
    for role in ("query", "document"):
        assert asked(f"{BOTH}?role={role}", PNG, modality="image")[1]["input_type"] == "document"


def test_the_fourth_series_shares_a_space() -> None:
    """What one of its models has indexed another can search, at the same length; the third series has its own."""
    spaces = [opened(f"voyage:{name}").tower_of(1024).space.key for name in ("voyage-4-large", "voyage-4-lite")]
    assert spaces[0] == spaces[1]
    assert spaces[0] != opened(TEXTS).tower_of(1024).space.key


def test_a_request_of_pictures_stays_below_the_tokens() -> None:
    """So many pictures of the largest size that is sent are no more tokens than a request may have."""
    largest = MULTIMODAL_LIMITS.image_side_px**2
    assert MULTIMODAL_LIMITS.images * largest / 560 <= MULTIMODAL_LIMITS.request_tokens
    assert largest <= 16_000_000


def test_an_answer_is_read_in_base64() -> None:
    """Vectors are base64 of little-endian float32, by their index; tokens are those of the request's kind."""
    rows = [base64.b64encode(struct.pack("<2f", *row)).decode() for row in ((1, 2), (3, 4.5))]
    entries = [{"object": "embedding", "embedding": rows[i], "index": i} for i in (1, 0)]
    usage = {"text_tokens": 0, "image_pixels": 4_000_000, "total_tokens": 7142}
    answer = answered({"object": "list", "data": entries, "usage": usage})
    reading = opened(BOTH).read(answer, "image", 2)
    assert [list(row) for row in reading.rows] == [[1, 2], [3, 4.5]]
    assert (reading.tokens, reading.image_tokens) == (0, 7142)
    assert opened(BOTH).read(answer, "text", 2).tokens == 7142


def test_refusals_repeat_voyages_words() -> None:
    """`detail` is what Voyage says; a key without a payment method is told why it must wait."""
    error = refusal(BOTH, {"detail": "You have not yet added your payment method"}, 429)
    assert isinstance(error, RateLimited)
    assert "payment method" in str(error)
    bad = refusal(BOTH, {"detail": "The image is corrupted"}, 400)
    assert isinstance(bad, Refused)
    assert bad.status == 400
    assert "corrupted" in str(bad)
