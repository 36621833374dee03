"""Giving memory back."""

from __future__ import annotations

import gc
import weakref

from lookalike.memory import give_back


class Picture:
    """Something large that an error is about."""


def failed(picture: Picture) -> ValueError:
    try:
        raise ValueError("no picture")
    except ValueError as error:
        kept = [error]  # the frame holds the error, whose traceback holds the frame, which holds the picture
        return kept[0]


def test_what_a_caught_error_was_about_is_let_go() -> None:
    """A picture that only the traceback of a dropped error still holds is gone afterwards."""
    gc.disable()
    try:
        picture = Picture()
        held = weakref.ref(picture)
        failed(picture)
        del picture
        assert held() is not None, "the cycle that this test is about is not there"
        give_back()
        assert held() is None
    finally:
        gc.enable()
