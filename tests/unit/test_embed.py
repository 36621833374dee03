"""The embedder: order, one error per bad item, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import COLOURS, FakeEncoder
from lookalike.errors import ImageError, InputError, SpaceMismatch, TooLarge, UnsupportedMedia
from lookalike.policy import ImagePolicy
from lookalike.spaces import Tower
from lookalike.types import Pixels, Rows
from tests.pictures import noise, picture

EMBEDDER = Embedder(LocalVectorizer(FakeEncoder(), batch_size=3))
PICTURES = [noise(seed) for seed in range(8)]


def test_rows_are_in_the_order_asked_for() -> None:
    """Whatever the batch size, row i belongs to input i."""
    one_by_one = np.concatenate([EMBEDDER.embed_images([data]).values for data in PICTURES])
    together = EMBEDDER.embed_images(PICTURES)
    np.testing.assert_array_equal(together.values, one_by_one)
    assert together.positions.tolist() == list(range(8))
    assert together.values.dtype == np.float32
    assert together.space == EMBEDDER.space


def test_bytes_and_paths_are_the_same_picture(tmp_path: Path) -> None:
    """A picture may come as bytes, as a path, or as the text of a path."""
    path = tmp_path / "a.png"
    path.write_bytes(PICTURES[0])
    vectors = EMBEDDER.embed_images([PICTURES[0], path, str(path)])
    np.testing.assert_array_equal(vectors.values, vectors.values[[0, 0, 0]])


def test_bytes_of_any_kind_are_bytes() -> None:
    """What other libraries hand out as a picture's bytes is taken, too."""
    data = PICTURES[0]
    vectors = EMBEDDER.embed_images([data, bytearray(data), memoryview(data)])
    np.testing.assert_array_equal(vectors.values, vectors.values[[0, 0, 0]])


@pytest.mark.parametrize(
    "other",
    [None, Image.new("RGB", (4, 4)), np.zeros((4, 4, 3), np.uint8), BytesIO(PICTURES[0]), 7],
    ids=lambda other: type(other).__name__,
)
def test_an_item_of_another_type_fails_alone(other: object) -> None:
    """It is told what to hand in instead, by its place, and the others of the batch have their rows."""
    vectors = EMBEDDER.embed_images([PICTURES[0], other, PICTURES[1]], on_error="collect")  # type: ignore[list-item]
    assert vectors.positions.tolist() == [0, 2]
    (failure,) = vectors.failures
    kind = type(other).__name__
    assert failure.reason == f"is of the type {kind}: hand in the bytes of a picture's file, or its path."
    with pytest.raises(InputError, match=rf"^images\[0\]: is of the type {kind}: "):
        EMBEDDER.embed_images([other])  # type: ignore[list-item]


def test_a_name_that_no_file_can_have_fails_alone() -> None:
    """A path with a zero byte is a failure of its item."""
    vectors = EMBEDDER.embed_images(["a\0b.jpg", PICTURES[0]], on_error="collect")
    assert vectors.positions.tolist() == [1]
    assert vectors.failures[0].reason.startswith("cannot be read: no file can have such a name")


def test_one_input_is_no_list() -> None:
    """A single picture or text in the place of several is an error that says so, of whatever type it is."""
    for one in (PICTURES[0], bytearray(9), memoryview(b"9"), "a.png", Path("a.png"), Image.new("RGB", (4, 4)), None):
        with pytest.raises(InputError, match=r"images is a single .*: hand in a list of one"):
            EMBEDDER.embed_images(one)  # type: ignore[arg-type]


def test_names_are_one_for_each() -> None:
    """Too few or too many names are an error that says how many there are of each."""
    with pytest.raises(InputError, match="1 names for 2 images: hand in one for each, or none"):
        EMBEDDER.embed_images(PICTURES[:2], names=["a"])
    with pytest.raises(InputError, match="2 names for 1 texts"):
        EMBEDDER.embed_texts(["a"], names=["a", "b"])


def test_nothing_in_nothing_out() -> None:
    """No inputs give no rows, of the right width."""
    assert EMBEDDER.embed_images([]).values.shape == (0, EMBEDDER.space.dim)
    assert EMBEDDER.embed_texts([]).values.shape == (0, EMBEDDER.space.dim)


def test_a_generator_is_as_good_as_a_list() -> None:
    """Inputs may come from a generator, a set or an array; each has its row, and its name in errors."""
    words = ["a red dress", "a blue mug"]
    expected = EMBEDDER.embed_texts(words).values
    for several in ((word for word in words), np.array(words)):
        np.testing.assert_array_equal(EMBEDDER.embed_texts(several).values, expected)
    with pytest.raises(InputError, match=r"texts\[1\]"):
        EMBEDDER.embed_texts(word for word in ["a", None])  # type: ignore[misc]


def test_bad_items_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Every bad picture has its own failure; every good one has its row, in order."""
    inputs = [PICTURES[0], b"not a picture", PICTURES[1], b"", tmp_path / "gone.jpg", PICTURES[2][:-40]]
    vectors = EMBEDDER.embed_images(inputs, on_error="collect")
    assert vectors.positions.tolist() == [0, 2]
    assert [(failure.position, failure.kind) for failure in vectors.failures] == [
        (1, "UnsupportedMedia"),
        (3, "ImageError"),
        (4, "ImageError"),
        (5, "ImageError"),
    ]
    assert vectors.failures[0].item == "images[1]"
    assert vectors.failures[2].item.endswith("gone.jpg")
    np.testing.assert_array_equal(vectors.values, EMBEDDER.embed_images(PICTURES[:2]).values)


def test_by_default_the_first_bad_item_is_raised() -> None:
    """An error that nobody collects must not be lost."""
    with pytest.raises(UnsupportedMedia, match=r"images\[1\]"):
        EMBEDDER.embed_images([PICTURES[0], b"not a picture", b""])


def test_budgets_are_checked_before_the_file_is_read(tmp_path: Path) -> None:
    """A file over the byte budget is refused by its size alone."""
    path = tmp_path / "large.png"
    path.write_bytes(bytes(2000))
    embedder = Embedder(LocalVectorizer(FakeEncoder(), policy=ImagePolicy(max_bytes=1000)))
    with pytest.raises(TooLarge) as caught:
        embedder.embed_images([path])
    assert (caught.value.actual, caught.value.limit, caught.value.item) == (2000, 1000, str(path))


def test_a_cut_text_is_said() -> None:
    """Text that is longer than the model reads gives a vector and a warning that names it."""
    vectors = EMBEDDER.embed_texts(["red", "red " * 100])
    assert len(vectors) == 2
    assert [warning.split(":")[0] for warning in vectors.warnings] == ["texts[1]"]


def test_tokens_are_counted_as_the_model_reads_them() -> None:
    """Each row of text has its length in tokens, after cutting; a picture has none."""
    encoder = FakeEncoder()
    texts = ["red", "word " * 500, "red and blue"]
    assert EMBEDDER.embed_texts(texts).n_tokens.tolist() == [len(encoder.prepare_text(text).ids) for text in texts]
    assert EMBEDDER.embed_images(PICTURES[:2]).n_tokens.tolist() == [0, 0]


def test_what_is_not_a_text_is_refused() -> None:
    """A number is not silently turned into words."""
    with pytest.raises(InputError, match=r"texts\[0\]: is a int"):
        EMBEDDER.embed_texts([5])  # type: ignore[list-item]


def test_words_find_their_colour() -> None:
    """The test encoder means something, so that searches can be tested for meaning."""
    images = EMBEDDER.embed_images([picture(colour) for colour in COLOURS]).values
    texts = EMBEDDER.embed_texts([f"a {colour} thing" for colour in COLOURS]).values
    assert (texts @ images.T).argmax(axis=1).tolist() == list(range(len(COLOURS)))


class _Broken(FakeEncoder):
    """A model that answers nonsense for dark pictures."""

    def encode_images(self, pixels: Pixels) -> Rows:
        rows = super().encode_images(pixels)
        rows[pixels.mean(axis=(1, 2, 3)) < -0.9] = np.nan
        return rows


def test_numbers_that_are_not_finite_are_a_failure_of_their_item() -> None:
    """NaN never reaches a store, and does not spoil the rest of the batch."""
    vectors = Embedder(LocalVectorizer(_Broken())).embed_images(
        [picture("white"), picture("black")], on_error="collect"
    )
    assert vectors.positions.tolist() == [0]
    assert "not finite" in vectors.failures[0].reason
    with pytest.raises(InputError, match="not finite"):
        Embedder(LocalVectorizer(_Broken())).embed_images([picture("black")])


class _Sloppy(FakeEncoder):
    """An int8 tower that was measured too far from its reference."""

    @property
    def tower(self) -> Tower:
        return replace(super().tower, precision="int8", cosine=0.99)


def test_a_tower_outside_its_space_is_refused_at_once() -> None:
    """The embedder never makes a vector that would not belong."""
    with pytest.raises(SpaceMismatch):
        Embedder(LocalVectorizer(_Sloppy()))


def test_it_may_be_used_from_several_threads() -> None:
    """Concurrent calls give what single calls give."""

    def embed(texts: Sequence[str]) -> Rows:
        return EMBEDDER.embed_texts(texts).values

    batches = [[f"text {number} {place}" for place in range(5)] for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        for batch, rows in zip(batches, pool.map(embed, batches), strict=True):
            np.testing.assert_array_equal(rows, embed(batch))


def test_the_image_door_follows_the_tower() -> None:
    """Orientation is the space's, whatever the policy says: the vectors would not belong otherwise."""
    embedder = Embedder(LocalVectorizer(FakeEncoder(orientation="ignore"), policy=ImagePolicy(orientation="apply")))
    assert embedder.policy.orientation == "ignore"


def test_a_damaged_file_is_an_image_error() -> None:
    """A picture cut in half is never embedded as a whole one."""
    with pytest.raises(ImageError):
        EMBEDDER.embed_images([noise(1, size=(200, 200), kind="JPEG")[:3000]])
