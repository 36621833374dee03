"""The chain: whoever can answer does, in one space, within the time, and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from lookalike.calls import Inputs, joined
from lookalike.embed import LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import (
    BudgetExceeded,
    ConfigError,
    DeadlineExceeded,
    LookalikeError,
    ModelError,
    NotReady,
    Refused,
    SpaceMismatch,
    Unavailable,
)
from lookalike.fallback import REST_S, Chain
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Approximation, Tower
from lookalike.types import Vectors
from tests.doubles.double import hang
from tests.doubles.simple import SimpleDouble, remote, texts

PATIENCE_S = 20.0
DOWN = Unavailable("It is down.", provider="p")


class Shaky:
    """A model that ends a call with `error` after `good` inputs, as long as it has one; `asked` has every call."""

    def __init__(self, runtime: str = "shaky", error: LookalikeError | None = None, *, good: int = 0) -> None:
        self.error = error
        self.asked: list[list[str]] = []
        self._runtime = runtime
        self._good = good
        self._local = LocalVectorizer(FakeEncoder(), batch_size=1)

    @property
    def tower(self) -> Tower:
        return replace(self._local.tower, runtime=self._runtime)

    @property
    def policy(self) -> ImagePolicy:
        return self._local.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        self.asked.append(list(inputs.names))
        n_good = self._good if self.error else len(inputs)
        for part in self._local.embed(inputs.at(range(n_good)), until=until):
            yield replace(part, tower=self.tower)
        if self.error:
            raise self.error


def answer(vectorizer: Vectorizer, *words: str) -> Vectors:
    return joined(vectorizer.embed(texts(*words), until=time.monotonic() + PATIENCE_S), vectorizer.tower)


@pytest.fixture
def doubles() -> Iterator[tuple[SimpleDouble, SimpleDouble]]:
    """Two servers of one hosted model."""
    with SimpleDouble() as first, SimpleDouble() as second:
        yield first, second


def test_the_first_is_asked_as_long_as_it_answers() -> None:
    """Where the first answers, nobody else is asked and nothing is said."""
    first, second = Shaky("first"), Shaky("second")
    found = answer(Chain([first, second]), "red", "blue")
    assert (found.tower.runtime, found.warnings, second.asked) == ("first", (), [])


@pytest.mark.parametrize("error", [DOWN, ModelError("It is broken."), NotReady()])
def test_the_next_does_what_is_missing(error: LookalikeError) -> None:
    """What was answered before a failure stays; only the rest goes to the next, whose tower and a warning say so."""
    first, second = Shaky("first", error, good=2), Shaky("second")
    parts = list(Chain([first, second]).embed(texts("red", "blue", "green", "white")))
    assert [part.tower.runtime for part in parts] == ["first", "first", "second", "second"]
    assert second.asked == [["green", "white"]]
    whole = joined(parts, first.tower)
    assert whole.positions.tolist() == [0, 1, 2, 3]
    assert np.array_equal(whole.values, answer(second, "red", "blue", "green", "white").values)
    assert whole.warnings == (f"fake on first could not answer, and fake on second did in its place: {error}",)


def test_an_input_that_cannot_be_used_is_an_answer() -> None:
    """A bad input fails once, in its place, and is not asked about again."""
    first, second = Shaky("first", DOWN, good=2), Shaky("second")
    inputs = Inputs(modality="text", payloads=["red", 7, "blue"], names=["a", "b", "c"])  # type: ignore[list-item]
    found = joined(Chain([first, second]).embed(inputs), first.tower)
    assert [(failure.position, failure.item) for failure in found.failures] == [(1, "b")]
    assert (found.positions.tolist(), second.asked) == ([0, 2], [["c"]])


def test_a_used_up_budget_is_no_reason_to_ask_another() -> None:
    """BudgetExceeded ends the call, whoever else might do it for more money."""
    second = Shaky("second")
    chain = Chain([Shaky("first", BudgetExceeded("It is spent.", limit_usd=1, spent_usd=1)), second])
    with pytest.raises(BudgetExceeded):
        answer(chain, "red")
    assert second.asked == []


def test_one_that_failed_is_left_alone_for_a_while_and_used_again() -> None:
    """A member that failed is not asked while it rests, with the warning all along; then it is, and is back."""
    now_s = 0.0
    first, second = Shaky("first", DOWN), Shaky("second")
    chain = Chain([first, second], clock=lambda: now_s)
    answer(chain, "red")
    first.error = None
    resting = answer(chain, "blue")
    assert (resting.tower.runtime, len(resting.warnings), len(first.asked)) == ("second", 1, 1)
    now_s = REST_S
    back = answer(chain, "green")
    assert (back.tower.runtime, back.warnings, len(second.asked)) == ("first", (), 2)


def test_one_call_at_a_time_tries_it_again() -> None:
    """While a call tries a member that failed, the others leave it alone."""
    now_s = 0.0
    first, second = Shaky("first", DOWN, good=1), Shaky("second")
    chain = Chain([first, second], clock=lambda: now_s)
    answer(chain, "red")
    now_s = REST_S
    trying = chain.embed(texts("blue"))
    next(trying)
    assert answer(chain, "green").tower.runtime == "second"
    assert len(first.asked) == 2


def test_a_resting_one_is_the_last_resort() -> None:
    """Where all others fail, one that rests is asked before the call fails."""
    first, second = Shaky("first", DOWN), Shaky("second")
    chain = Chain([first, second])
    answer(chain, "red")
    first.error, second.error = None, DOWN
    found = answer(chain, "blue")
    assert (found.tower.runtime, found.warnings) == ("first", ())


@pytest.mark.parametrize(("other", "kind"), [(DOWN, Unavailable), (Refused("No.", provider="q"), Refused)])
def test_where_nobody_can_all_reasons_are_told(other: LookalikeError, kind: type[LookalikeError]) -> None:
    """If every member fails, one error says why each did; it is retryable if one of theirs is."""
    chain = Chain([Shaky("first", Refused("Never.", provider="p")), Shaky("second", other)])
    with pytest.raises(kind, match=rf"first: Never\. fake on second: {other}"):
        answer(chain, "red")


def test_a_hosted_model_that_is_down_is_replaced(doubles: tuple[SimpleDouble, SimpleDouble]) -> None:
    """Of two servers of a model, the second answers while the first refuses."""
    first, second = doubles
    first.rule = lambda exchange: exchange.fail(400)
    with closing(remote(first)) as wrong, closing(remote(second)) as right:
        found = answer(Chain([wrong, right]), "a", "b")
        assert np.array_equal(found.values, answer(right, "a", "b").values)
    assert len(found.warnings) == 1


def test_one_that_hangs_leaves_time_to_the_next(doubles: tuple[SimpleDouble, SimpleDouble]) -> None:
    """A server that never answers has its share of the time, and the other answers before the deadline."""
    first, second = doubles
    first.rule = hang
    with closing(remote(first)) as wrong, closing(remote(second)) as right:
        until = time.monotonic() + 2.0
        found = joined(Chain([wrong, right]).embed(texts("a"), until=until), right.tower)
        assert (len(found), len(found.warnings)) == (1, 1)
        assert time.monotonic() < until


def test_a_time_that_is_up_is_nobodys_fault() -> None:
    """A call that had no time raises DeadlineExceeded, and lays no member to rest."""
    first, second = Shaky("first", DeadlineExceeded()), Shaky("second")
    chain = Chain([first, second])
    with pytest.raises(DeadlineExceeded):
        list(chain.embed(texts("red"), until=time.monotonic()))
    first.error = None
    assert answer(chain, "red").tower.runtime == "first"


def test_threads_share_what_is_known_of_the_members() -> None:
    """Calls of several threads are all answered while the first member is down, and it is hardly asked."""
    first, second = Shaky("first", DOWN), Shaky("second")
    chain = Chain([first, second])
    answer(chain, "red")
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(answer(chain, "a", "b")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (found, len(first.asked)) == ([2] * 8, 1)


def test_another_space_is_refused_with_what_to_do() -> None:
    """A member of another space is refused when the chain is made, with the reason and the three right ways."""
    members = [LocalVectorizer(FakeEncoder()), LocalVectorizer(FakeEncoder(name="other"))]
    with pytest.raises(SpaceMismatch, match=r"another space.*same weights; a bridge.*an index of its own"):
        Chain(members)


def test_what_only_comes_near_a_space_is_refused() -> None:
    """An approximation may search and store nothing, so it cannot stand in for a member."""

    class Near(Shaky):
        @property
        def tower(self) -> Tower:
            return replace(super().tower, approximation=Approximation(source="p:m", note="It is near."))

    with pytest.raises(SpaceMismatch, match="without belonging to it"):
        Chain([Shaky(), Near()])


def test_nobody_is_no_chain() -> None:
    """A chain of no members is refused."""
    with pytest.raises(ConfigError, match="at least one"):
        Chain([])
