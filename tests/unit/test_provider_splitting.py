"""Inputs to requests: never more than a provider takes, in order, each bad one a failure of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lookalike.calls import Inputs
from lookalike.policy import ImagePolicy
from lookalike.providers.adapter import Limits
from lookalike.providers.splitting import Batch, batches, estimated_tokens
from tests.pictures import noise


def split(payloads: list[object], limits: Limits, modality: str = "text") -> list[Batch]:
    names = [f"#{i}" for i in range(len(payloads))]
    inputs = Inputs(modality=modality, payloads=payloads, names=names)  # type: ignore[arg-type]
    return list(batches(inputs, limits, ImagePolicy()))


@given(
    payloads=st.lists(st.text(max_size=40) | st.none()),
    texts=st.integers(1, 5),
    request_tokens=st.integers(0, 30),
    input_chars=st.integers(0, 30),
)
def test_requests_are_within_the_limits(
    payloads: list[object], texts: int, request_tokens: int, input_chars: int
) -> None:
    """Every input is in one request or failed, in order; no request is over a limit unless a single text is."""
    found = split(payloads, Limits(texts=texts, request_tokens=request_tokens, input_chars=input_chars))
    entries = [entry.position for batch in found for entry in batch.entries]
    failures = [failure.position for batch in found for failure in batch.failures]
    assert (entries, failures) == (sorted(entries), sorted(failures))
    assert sorted(entries + failures) == list(range(len(payloads)))
    for batch in found:
        assert len(batch.entries) <= texts
        assert not request_tokens or batch.tokens <= request_tokens or len(batch.entries) == 1


def test_pictures_are_split_by_number_and_bytes() -> None:
    """A request holds no more pictures, and no more of their bytes, than are taken."""
    pictures: list[object] = [noise(i) for i in range(5)]
    size = len(noise(0))
    assert [len(b.entries) for b in split(pictures, Limits(texts=9, images=2), "image")] == [2, 2, 1]
    by_bytes = Limits(texts=9, images=9, request_bytes=3 * size + size // 2)
    assert [len(b.entries) for b in split(pictures, by_bytes, "image")] == [3, 2]


def test_why_a_text_is_not_sent() -> None:
    """A text that cannot be sent says why, in its place."""
    payloads: list[object] = ["", "x" * 11, b"bytes", "\ud800", "fine"]
    (batch,) = split(payloads, Limits(texts=9, input_chars=10))
    assert [(failure.kind, failure.reason.split(",")[0]) for failure in batch.failures] == [
        ("InputError", "is empty"),
        ("TooLarge", "has 11 characters; the provider takes 10."),
        ("InputError", "is a bytes"),
        ("InputError", "holds half a character at 0"),
    ]
    assert (batch.failures[1].actual, batch.failures[1].limit) == (11, 10)
    assert [entry.position for entry in batch.entries] == [4]


def test_an_empty_text_where_it_is_allowed() -> None:
    """A provider that embeds empty texts gets them."""
    (batch,) = split([""], Limits(texts=1, allows_empty=True))
    assert [entry.prepared for entry in batch.entries] == [""]


def test_inputs_are_read_when_their_turn_comes() -> None:
    """Nothing beyond the next request is read."""
    read: list[int] = []

    class Watched(list[str]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for position, text in enumerate(super().__iter__()):
                read.append(position)
                yield text

    inputs = Inputs(modality="text", payloads=Watched("abcdefgh"), names=list("abcdefgh"))
    next(batches(inputs, Limits(texts=2), ImagePolicy()))
    assert read == [0, 1, 2]


def test_tokens_are_estimated_by_bytes() -> None:
    """Hebrew, whose letters are two bytes, counts as more tokens than as many letters of English."""
    assert estimated_tokens("abcdef") < estimated_tokens("אבגדהו")
