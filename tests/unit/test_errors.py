"""The error tree: drawn as it is, sentences with their facts."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from lookalike import errors
from lookalike.errors import (
    InputError,
    ItemNotFound,
    LookalikeError,
    MissingDependency,
    Overloaded,
    RateLimited,
    TooLarge,
)

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, LookalikeError)]


def example(kind: type[LookalikeError]) -> LookalikeError:
    """An error of this class in which every fact is told, each with another value."""
    given: dict[str, Any] = {}
    for number, (name, parameter) in enumerate(inspect.signature(kind).parameters.items(), 3):
        value = f"word {number}" if "str" in parameter.annotation else number
        given[name] = True if parameter.annotation == "bool" else value
    return kind(**given)


def refuse() -> None:
    raise Overloaded("It is full.", retry_after_s=3.0, own=True)


def test_the_drawn_tree_is_the_tree() -> None:
    """The module's docstring draws every class, under the class that it derives from."""
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)\b", line)
        if found:
            depth = len(found[1]) // 4 + ("──" in line)
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_says_what_it_means_and_whether_to_retry(kind: type[LookalikeError]) -> None:
    """A one-sentence docstring, and a plain bool."""
    assert (kind.__doc__ or "").split("\n")[0].endswith(".")
    assert isinstance(kind.retryable, bool)


def test_only_waiting_helps_with_what_is_retryable() -> None:
    """Retryable is what another try can cure without anybody changing anything."""
    remote, store = (
        {"RateLimited", "Unavailable"},
        {"StoreLocked", "StoreSwitched", "StoreUnavailable", "VectorMissing"},
    )
    service = {"ServiceError", "NotReady", "Overloaded", "DeadlineExceeded"}
    assert {kind.__name__ for kind in CLASSES if kind.retryable} == remote | store | service | {"OutOfMemory"}


def test_an_error_about_an_item_names_it() -> None:
    """The message starts with the item; item and reason stay apart as attributes."""
    error = TooLarge("has 9 bytes; 5 are allowed.", item="a.jpg", actual=9, limit=5)
    assert str(error) == "a.jpg: has 9 bytes; 5 are allowed."
    assert (error.item, error.reason, error.actual, error.limit) == (
        "a.jpg",
        "has 9 bytes; 5 are allowed.",
        9,
        5,
    )
    assert isinstance(error, ValueError)
    assert str(InputError("limit is 0.")) == "limit is 0."


def test_messages_are_readable_whatever_the_base_class() -> None:
    """ItemNotFound is a KeyError, whose text would otherwise be quoted."""
    assert str(ItemNotFound("There is no item 'x'.")) == "There is no item 'x'."
    assert "lookalike[local]" in str(MissingDependency("onnxruntime", extra="local"))
    assert RateLimited("Wait.", provider="hub", retry_after_s=3.0).retry_after_s == 3.0


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_the_same_after_pickling(kind: type[LookalikeError], protocol: int) -> None:
    """Class, sentence, facts and notes; the copy module, which asks in the same way, makes the same."""
    error = example(kind)
    error.add_note("The service calls this request 7.")
    pickled = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # our own bytes
    for again in (pickled, copy.copy(error)):
        assert type(again) is kind
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_an_error_comes_out_of_a_process_pool() -> None:
    """What a task raises its caller gets: it neither breaks the pool nor is lost on the way."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
        with pytest.raises(Overloaded) as raised:
            pool.submit(refuse).result(60)
        assert (raised.value.retry_after_s, raised.value.own) == (3.0, True)
        assert pool.submit(len, "abc").result(60) == 3
