"""Live searches that are looked at again: how often, and what is told of them."""

from __future__ import annotations

import pytest

from lookalike.errors import StoreError
from lookalike.store.postgres.shadow import EVERY_S, SHARE, Shadow
from lookalike.types import Item, Scored


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """At zero."""
    return Clock()


@pytest.fixture
def shadow(clock: Clock) -> Shadow:
    """One that has seen nothing."""
    return Shadow(clock=clock)


def answers(*similarities: float) -> list[Scored]:
    """Answers of a search."""
    return [Scored(Item(id=f"{similarity}", content=""), similarity) for similarity in similarities]


def follow(shadow: Shadow, found: list[Scored], truth: list[Scored]) -> bool:
    """Whether a search was looked at again; returns when it was."""
    thread = shadow.follow("index_far", found, lambda: truth)
    if thread is not None:
        thread.join()
    return thread is not None


def test_the_share_of_the_best_that_was_found_is_told(shadow: Shadow, clock: Clock) -> None:
    """The mean of what was seen; an answer that is as near as the last true one counts as true."""
    assert follow(shadow, answers(0.9, 0.7), answers(0.9, 0.8))
    assert shadow.recall == {"index_far": 0.5}
    clock.now_s = EVERY_S
    assert follow(shadow, answers(0.9, 0.8), answers(0.9, 0.8))
    assert shadow.recall == {"index_far": 0.75}


def test_a_search_is_looked_at_now_and_then(shadow: Shadow, clock: Clock) -> None:
    """Once a minute, and where the exact search takes long so much less often that it is a hundredth of the time."""

    def slow() -> list[Scored]:
        assert shadow.follow("index_far", [], list) is None  # one at a time
        clock.now_s += 2
        return answers(0.5)

    assert follow(shadow, [], [])
    assert not follow(shadow, [], [])
    clock.now_s = EVERY_S
    thread = shadow.follow("index_far", answers(0.5), slow)
    assert thread is not None
    thread.join()
    clock.now_s = EVERY_S + 2 / SHARE - 1
    assert not follow(shadow, [], [])
    clock.now_s = EVERY_S + 2 / SHARE
    assert follow(shadow, [], [])


def test_a_store_that_fails_says_nothing(shadow: Shadow, clock: Clock) -> None:
    """It is no search that found nothing, and the next one is looked at again."""

    def fails() -> list[Scored]:
        raise StoreError("Gone.")

    thread = shadow.follow("memory", answers(0.5), fails)
    assert thread is not None
    thread.join()
    assert shadow.recall == {}
    clock.now_s = EVERY_S
    assert follow(shadow, answers(0.5), answers(0.5))
