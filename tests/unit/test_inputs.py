"""What arrives in a request, and how a vector leaves: nothing is guessed, and no float32 changes on the way."""

from __future__ import annotations

import asyncio
import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lookalike.config import ServeSettings
from lookalike.errors import AccessDenied, InputError, TooLarge
from lookalike.http.answers import json_answer
from lookalike.http.contents import checked_text, encoded, picture_bytes
from lookalike.http.inputs import pictures
from lookalike.http.schemas import ImageRequest, OpenAIRequest, Picture, TextRequest, inlined, parse

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.binary(max_size=200))
def test_base64_and_data_uris_are_the_same_bytes(data: bytes) -> None:
    """However a picture is written as text, its bytes come back; line breaks and blanks in base64 count for nothing."""
    plain = base64.b64encode(data).decode()
    wrapped = base64.encodebytes(data).decode()
    for text in (plain, wrapped, f"data:image/png;base64,{plain}", f"DATA:;BASE64,{wrapped}"):
        assert picture_bytes(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "abc",
        "QUJD*",
        "=QUJD",
        "QUJDR===",
        "é",
        "\0",
        "data:image/png,QUJD",
        "data:image/png;base64",
        "photo.jpg",
    ],
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    """A letter too few or a foreign one is an error that names the item, and never another picture."""
    with pytest.raises(InputError, match=r"^images\[3\]: is (neither base64|a data URI without base64)"):
        picture_bytes(text, item="images[3]")


@given(arrays(np.float32, st.integers(1, 40), elements=finite))
def test_a_float32_is_the_same_after_json(vector: np.ndarray) -> None:
    """Numbers and base64 in JSON read back to the very same float32, even those that no unit vector has."""
    document = json.loads(
        bytes(json_answer({"float": encoded(vector, "float"), "base64": encoded(vector, "base64")}).body)
    )
    np.testing.assert_array_equal(np.array(document["float"], np.float32), vector)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(document["base64"]), "<f4"), vector)


def test_numbers_are_short() -> None:
    """A vector is written with nine digits a number, not with the seventeen of its float64 neighbour."""
    values = np.random.default_rng(0).normal(size=2_000).astype(np.float32)
    digits = [len(f"{number!r}".lstrip("-0.").split("e")[0].replace(".", "")) for number in encoded(values, "float")]
    assert max(digits) <= 9


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "The body is not JSON: EOF while parsing a value at line 1 column 0."),
        (b"{", "The body is not JSON: EOF while parsing an object at line 1 column 1."),
        (b"[" * 100_000, "The body is not JSON: recursion limit exceeded"),
        (b'{"text": "\xff"}', "The body is not JSON: invalid unicode code point"),
        (b'{"text": "\\ud800"}', "The body is not JSON: "),
        (b'{"text": "a\0"}', "The body is not JSON: control character"),
        (b'{"text": ' + b"9" * 10_000 + b"}", "The body is not JSON: number out of range"),
        (b"null", "body: must be an object."),
        (b'{"text": 5}', "text: must be a text."),
        (b'{"texts": ["a", null]}', "texts[1]: must be a text."),
        (b'{"texts": []}', "texts: has 0 entries: send 1 or more."),
        (b'{"text": "a", "encoding_format": "int8"}', "encoding_format: must be 'float' or 'base64'."),
        (
            b'{"text": "a", "' + b"x" * 5_000 + b'": 1}',
            f"{'x' * 60}: is not known here: correct its name, or leave it out.",
        ),
    ],
)
def test_a_bad_request_is_one_sentence(body: bytes, complaint: str) -> None:
    """What is wrong with a body is said in one short sentence that names the field, whatever the body is."""
    with pytest.raises(InputError) as caught:
        parse(TextRequest, body)
    assert str(caught.value).startswith(complaint)
    assert len(str(caught.value)) < 200


def test_an_entry_of_a_union_is_named_by_its_place() -> None:
    """How the request is read inside, branch by branch, does not show."""
    with pytest.raises(InputError, match=r"^images\[1\]: must be a text or an object\.$"):
        parse(ImageRequest, b'{"images": ["QUJD", 5]}')
    with pytest.raises(InputError, match=r"^images\[0\]\.url: must be a text\.$"):
        parse(ImageRequest, b'{"images": [{"url": 5}]}')


def test_a_url_is_refused_where_none_is_fetched() -> None:
    """A picture by URL is refused for the whole request, with what would have to be done."""
    with pytest.raises(AccessDenied, match="LOOKALIKE_ALLOW_URLS=1") as caught:
        asyncio.run(pictures([Picture(image="QUJD"), Picture(url="http://a.example/b.jpg")], ["", ""], None))
    assert caught.value.known


def test_an_entry_is_one_picture() -> None:
    """An entry with both a picture and a URL, or neither, is an error of its own."""

    async def fetch(url: str) -> bytes:
        return url.encode()

    entries = ["QUJD", Picture(url="u"), Picture(image="QUJD", url="u"), Picture()]
    found = asyncio.run(pictures(entries, ["a", "b", "c", "d"], fetch))
    assert found[:2] == (b"ABC", b"u")
    assert [str(error) for error in found[2:]] == [
        "c: needs either 'image' or 'url'.",
        "d: needs either 'image' or 'url'.",
    ]


def test_a_long_text_is_too_large() -> None:
    """A text over the limit is an error with both numbers; one at the limit is not."""
    settings = ServeSettings(max_text_chars=5)
    assert checked_text("12345", settings) == "12345"
    error = checked_text("123456", settings, item="texts[0]")
    assert isinstance(error, TooLarge)
    assert (error.actual, error.limit, error.item) == (6, 5, "texts[0]")


def test_schemas_stand_alone() -> None:
    """A schema that OpenAPI gets from us has no reference into nowhere."""
    for model in (ImageRequest, TextRequest, OpenAIRequest):
        assert "$" not in json.dumps(inlined(model))
