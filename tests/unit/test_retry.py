"""When something is tried again, and when not: clocks and sleep are arguments, so nothing here takes time."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import LookalikeError, NotReady, Overloaded, RateLimited, Refused, Unavailable
from lookalike.retry import LONGEST_S, RetryPolicy, asked_pause_s, retry_after_s

FOREVER = float("inf")
NOW_S = 1_000_000.0


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    def policy(self, **settings: float) -> RetryPolicy:
        fixed = {"sleep": self.sleep, "clock": lambda: self.now_s, "jitter": lambda: 1.0}
        return RetryPolicy(**{**fixed, **settings})  # type: ignore[arg-type]


def failing(*errors: LookalikeError) -> Callable[[], str]:
    """Something that raises these errors, one a call, and then succeeds."""
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


def down() -> Unavailable:
    """A failure that may pass."""
    return Unavailable("down", provider="hub")


def test_pauses_double_up_to_the_cap() -> None:
    """The upper bounds of the pauses are 1, 2, 4 ... and never above the cap."""
    clock = Clock()
    result = clock.policy(tries=9, cap_s=5.0).run(failing(*[down()] * 5), until=FOREVER, on_pause=lambda *_: None)
    assert result == "done"
    assert clock.pauses == [1, 2, 4, 5, 5]


def test_jitter_is_full() -> None:
    """A pause may be anything from nothing to its upper bound."""
    clock = Clock()
    draws = iter([0.0, 0.25])
    policy = RetryPolicy(sleep=clock.sleep, clock=lambda: clock.now_s, jitter=lambda: next(draws))
    policy.run(failing(down(), down()), until=FOREVER, on_pause=lambda *_: None)
    assert clock.pauses == [0.0, 0.5]


def test_the_last_error_is_raised_when_the_tries_are_used_up() -> None:
    """The number of tries counts the first one."""
    clock = Clock()
    errors = [down(), down(), down()]
    with pytest.raises(Unavailable) as caught:
        clock.policy(tries=3).run(failing(*errors), until=FOREVER, on_pause=lambda *_: None)
    assert caught.value is errors[2]
    assert len(clock.pauses) == 2


def test_what_cannot_get_better_is_not_repeated() -> None:
    """An error that says it is not retryable is raised at once."""
    clock = Clock()
    with pytest.raises(Refused):
        clock.policy().run(failing(Refused("no", provider="hub")), until=FOREVER, on_pause=lambda *_: None)
    assert clock.pauses == []


def test_no_pause_reaches_past_the_deadline() -> None:
    """A pause that would end too late is not begun."""
    clock = Clock()
    policy = clock.policy(tries=9, deadline_s=6.0)
    with pytest.raises(Unavailable):
        policy.run(failing(*[down()] * 9), until=policy.deadline(), on_pause=lambda *_: None)
    assert clock.pauses == [1, 2]


@pytest.mark.parametrize(
    "asked",
    [
        RateLimited("wait", provider="hub", retry_after_s=40),
        Overloaded("wait", retry_after_s=40),
        NotReady("wait", retry_after_s=40),
    ],
)
def test_a_service_that_names_a_pause_gets_it(asked: LookalikeError) -> None:
    """Never earlier than asked, at most base_s later; beyond longest_wait_s the error is raised instead."""
    clock = Clock()
    clock.policy().run(failing(asked), until=FOREVER, on_pause=lambda *_: None)
    assert clock.pauses == [41]
    with pytest.raises(type(asked)):
        clock.policy(longest_wait_s=30).run(failing(asked), until=FOREVER, on_pause=lambda *_: None)
    assert clock.pauses == [41]


def test_pauses_are_announced() -> None:
    """Whoever watches learns why nothing happens and for how long, before it does."""
    clock = Clock()
    told: list[tuple[str, float, int]] = []
    clock.policy().run(
        failing(down()),
        until=FOREVER,
        on_pause=lambda error, pause: told.append((str(error), pause, len(clock.pauses))),
    )
    assert told == [("down", 1.0, 0)]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        (formatdate(NOW_S + 90, usegmt=True), 90),
        (formatdate(NOW_S - 90, usegmt=True), 0),
        ("Mon, 12 Jan 1970 13:48:10 -0000", 90),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0665", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 99999999999999999999:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    """Seconds or a date; a date that has passed means now; anything else says nothing."""
    assert retry_after_s(header, NOW_S) == seconds


@pytest.mark.parametrize("header", ["9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_an_endless_pause_is_a_number_of_seconds(header: str) -> None:
    """However long a service asks for, the answer is finite: it is rounded and written into headers again."""
    assert retry_after_s(header, NOW_S) == LONGEST_S


@given(st.text(max_size=60))
def test_no_retry_after_breaks_the_reader(header: str) -> None:
    """Whatever a server sends, the answer is None or a number that is not negative."""
    seconds = retry_after_s(header, NOW_S)
    assert seconds is None or seconds >= 0


@given(
    st.from_regex(
        r"(Mon, )?[0-9]{1,5} (Jan|Foo|Feb) [0-9]{1,6} [0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,3})?( GMT| [+-][0-9]{1,6})?",
        fullmatch=True,
    )
)
def test_no_near_date_breaks_the_reader(header: str) -> None:
    """Nor do things that are almost dates."""
    seconds = retry_after_s(header, NOW_S)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "20", "retry-after": "9"}, 0.02),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "inf"}, LONGEST_S),
        ({}, None),
    ],
)
def test_a_pause_may_be_asked_for_in_milliseconds(headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After-Ms is finer than Retry-After and goes before it; what is no number counts as not said."""
    assert asked_pause_s(headers, NOW_S) == seconds
