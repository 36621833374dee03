"""The chain: whoever can answer does, in one space, within the time, and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.calls import Inputs, joined
from lookalike.canary import PICTURE, TEXT, References
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
from lookalike.fallback import REST_S, Candidate, Chain, Checked
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Approximation, Tower
from lookalike.types import Vectors
from lookalike.workers.canary import Canary
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
    with pytest.raises(
        SpaceMismatch, match=r"same weights; a bridge.*an index of its own.*lookalike parity fake other"
    ):
        Chain(members)
    with pytest.raises(SpaceMismatch, match="fake cannot stand in for other"):
        Chain(members[:1], space=members[1].tower.space)


def test_a_member_of_another_space_is_adopted_by_a_proof() -> None:
    """Who has a proof for the chain's space is put into it, and its vectors are of that space."""
    first, other = Shaky("first", DOWN), LocalVectorizer(FakeEncoder(name="other"))

    class Adopted(Shaky):
        @property
        def tower(self) -> Tower:
            return replace(other.tower, space=first.tower.space, proven=("text",))

    chain = Chain([first, other], adopt=lambda _vectorizer, _space: Adopted("adopted"))
    assert answer(chain, "red").space.key == first.tower.space.key
    with pytest.raises(Unavailable, match="embeds no images"):
        list(chain.embed(Inputs(modality="image", payloads=[b""], names=["a"])))


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


class Figures:
    """A ports.Recorder that keeps the events, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def observe(self, stage: str, seconds: float, *, modality: str | None = None) -> None:
        pass

    def count(self, event: str, n: int = 1) -> None:
        self.events += [event] * n


class Late:
    """A candidate's opening that ends with `error` as long as it has one; `tried` says how often it began."""

    def __init__(self, vectorizer: Vectorizer, error: LookalikeError | None = DOWN) -> None:
        self.error = error
        self.tried = 0
        self._vectorizer = vectorizer

    def __call__(self) -> Vectorizer:
        self.tried += 1
        if self.error:
            raise self.error
        return self._vectorizer


def test_a_chain_opens_while_a_member_is_down_and_takes_it_in_later() -> None:
    """Who cannot say who it is now rests, and is opened again in its time; the answers say so meanwhile."""
    now_s = 0.0
    late, figures = Late(Shaky("first")), Figures()
    chain = Chain([Candidate(name="one", open=late), Shaky("second")], recorder=figures, clock=lambda: now_s)
    meanwhile = answer(chain, "red")
    assert (meanwhile.tower.runtime, chain.tower.runtime) == ("second", "second")
    assert meanwhile.warnings == ("one could not answer, and fake on second did in its place: It is down.",)
    late.error = None
    now_s = REST_S
    back = answer(chain, "red")
    assert (back.tower.runtime, back.warnings, late.tried) == ("first", (), 2)
    assert figures.events == ["failover", "failback"]


def test_one_of_another_space_that_opens_later_is_out_for_good() -> None:
    """Its space is looked at when it is there; then it is never asked, and every answer in its place says why."""
    now_s = 0.0
    late, figures = Late(LocalVectorizer(FakeEncoder(name="other"))), Figures()
    chain = Chain([Candidate(name="one", open=late), Shaky("second")], recorder=figures, clock=lambda: now_s)
    late.error = None
    now_s = REST_S
    answer(chain, "red")
    now_s = 3 * REST_S
    found = answer(chain, "red")
    assert found.tower.runtime == "second"
    assert "other cannot stand in for fake" in found.warnings[0]
    assert [member.state for member in chain.status()] == ["out", "ok"]
    assert (late.tried, figures.events) == (2, ["failover", "mismatch"])


@pytest.mark.parametrize("error", [ConfigError("Set the key."), Refused("No such model.", provider="p")])
def test_what_never_passes_is_told_at_once(error: LookalikeError) -> None:
    """A wrong setting or an unknown model is no outage: the chain is not made."""
    with pytest.raises(type(error), match=str(error)):
        Chain([Shaky(), Candidate(name="wrong", open=Late(Shaky(), error))])


def test_a_chain_that_nobody_could_open_says_why_and_opens_later() -> None:
    """Without any member its tower is the error that says so; a later call may find them."""
    now_s = 0.0
    late = Late(Shaky("first"))
    chain = Chain([Candidate(name="one", open=late)], clock=lambda: now_s)
    with pytest.raises(Unavailable, match="one: It is down"):
        _ = chain.tower
    with pytest.raises(Unavailable, match="one: It is down"):
        answer(chain, "red")
    late.error = None
    assert [part.tower for part in chain.embed(texts("red"))] == [chain.tower]


def test_opening_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose opening hangs does not hold up the chain's making for long, nor a call beyond its deadline."""
    monkeypatch.setattr("lookalike.fallback.chain.SOON_S", 0.05)
    released = threading.Event()

    def hanging() -> Vectorizer:
        released.wait(PATIENCE_S)
        return Shaky("first")

    chain = Chain([Candidate(name="one", open=hanging), Shaky("second")])
    try:
        until = time.monotonic() + PATIENCE_S / 2
        found = joined(chain.embed(texts("red"), until=until), chain.tower)
        assert time.monotonic() < until
        assert "one has not yet said who it is" in found.warnings[0]
    finally:
        released.set()


def test_status_says_how_each_member_is() -> None:
    """Name, state, the last error and for how long; a member that answers again has no error."""
    now_s = 0.0
    first = Shaky("first", DOWN)
    chain = Chain([first, Shaky("second")], clock=lambda: now_s)
    answer(chain, "red")
    now_s = 5.0
    one, two = chain.status()
    assert (one.name, one.state, one.error, one.age_s) == ("fake on first", "resting", str(DOWN), 5.0)
    assert (two.state, two.error) == ("ok", "")
    first.error, now_s = None, REST_S
    answer(chain, "red")
    assert [member.state for member in chain.status()] == ["ok", "ok"]


def test_an_answer_of_two_members_is_labelled_with_the_chain() -> None:
    """Rows of two recipes are not labelled with the stand-in's; rows of one are labelled with theirs."""
    first, second = Shaky("first", DOWN, good=1), Shaky("second")
    chain = Chain([first, second])
    assert answer(chain, "red", "blue").tower.runtime == "first"
    assert answer(chain, "red", "blue").tower.runtime == "second"


class Turned(Shaky):
    """A model whose vectors are of another model, whatever it says of its space."""

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        for part in super().embed(inputs, until=until):
            yield replace(part, values=np.roll(part.values, 1, axis=1))


def checked(vectorizer: Vectorizer, folder: Path, *, defines: bool = False) -> Checked:
    return Checked(vectorizer, References(folder), name="checked", defines=defines)


def test_the_first_members_canary_is_what_the_others_are_compared_with(tmp_path: Path) -> None:
    """What the first answered is kept on disk, for each modality; another process's member is held to it."""
    answer(checked(Shaky("first"), tmp_path, defines=True), "red")
    assert len(list(tmp_path.iterdir())) == 1
    assert len(answer(checked(Shaky("second"), tmp_path), "red")) == 1
    with pytest.raises(
        SpaceMismatch, match=r"checked gives the canary.*cosine -?0\.\d+, needed 0\.999.*delete"
    ) as caught:
        answer(checked(Turned("third"), tmp_path), "red")
    assert str(tmp_path) in str(caught.value)


def test_one_that_fails_the_canary_is_out_and_answers_nothing(tmp_path: Path) -> None:
    """Its vectors never reach the caller: the next member answers, and the warning names it and the cosine."""
    answer(checked(Shaky("reference"), tmp_path, defines=True), "red")
    figures = Figures()
    wrong, right = Turned("wrong"), Shaky("right")
    chain = Chain([checked(wrong, tmp_path), checked(right, tmp_path)], recorder=figures)
    found = answer(chain, "blue")
    assert np.array_equal(found.values, answer(Shaky("right"), "blue").values)
    assert "cosine" in found.warnings[0]
    assert wrong.asked == [["the canary"]]
    assert (chain.status()[0].state, figures.events) == ("out", ["mismatch", "failover"])


def test_the_canary_is_asked_once_and_again_after_a_failure(tmp_path: Path) -> None:
    """It costs a request before the first use and one when a member is back; not one a call."""
    member = Shaky()
    found = checked(member, tmp_path, defines=True)
    answer(found, "red")
    answer(found, "blue")
    assert member.asked == [["the canary"], ["red"], ["blue"]]
    member.error = DOWN
    with pytest.raises(Unavailable):
        answer(found, "green")
    member.error = None
    answer(found, "white")
    assert member.asked[4:] == [["the canary"], ["white"]]


def test_a_stand_in_is_trusted_until_the_first_member_has_answered(tmp_path: Path) -> None:
    """Without a reference, a stand-in defines none; as soon as there is one, it is compared with what it said."""
    stand_in = checked(Turned("second"), tmp_path)
    assert len(answer(stand_in, "red")) == 1
    assert not list(tmp_path.iterdir())
    answer(checked(Shaky("first"), tmp_path, defines=True), "red")
    with pytest.raises(SpaceMismatch, match="canary"):
        answer(stand_in, "red")


def test_a_canary_that_cannot_be_kept_is_no_failure(tmp_path: Path) -> None:
    """Where the folder cannot be written, the process still compares with what it has seen."""
    place = tmp_path / "file"
    place.write_text("no folder")
    assert len(answer(checked(Shaky(), place, defines=True), "red")) == 1


def test_the_workers_are_the_reference_of_who_stands_in_for_them(tmp_path: Path) -> None:
    """What a worker's canary was once believed to be is what a stand-in's has to be."""
    model = Shaky()
    rows = [answer(model, TEXT).values]
    rows = [joined(model.embed(Inputs(modality="image", payloads=[PICTURE], names=[""])), model.tower).values, *rows]
    assert Canary(tmp_path).fault(model.tower, np.concatenate(rows)) == ""
    assert len(answer(checked(Shaky(), tmp_path), "red")) == 1
    with pytest.raises(SpaceMismatch, match="canary"):
        answer(checked(Turned(), tmp_path), "red")
