"""Every provider's own shapes under every fault: right vectors or an error of lookalike, and never a key in it."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from lookalike.calls import Inputs, joined
from lookalike.errors import LookalikeError, ProviderError, RateLimited, Refused, SpaceMismatch, Unavailable
from lookalike.providers.adapter import Adapter
from lookalike.providers.remote import RemoteVectorizer
from lookalike.spaces import Modality
from lookalike.types import Vectors
from lookalike.wire import Wire
from tests.doubles.double import (
    Double,
    Exchange,
    Fault,
    broken,
    half,
    infinite,
    limited,
    long_vectors,
    not_a_number,
    null_number,
    page,
    per_token,
    ragged,
    reset,
    says,
    shorter,
    string_number,
    too_few,
    too_many,
    zeros,
)
from tests.doubles.hosted import HOSTED, doubled
from tests.doubles.simple import Clock

PASSING: dict[str, Fault] = {
    "429 with seconds": limited(retry_after="3"),
    "429 without": limited(),
    "500": broken(500),
    "502": page(502),
    "503": broken(503),
    "half": half,
    "reset": reset,
}

WRONG: dict[str, Fault] = {
    "too few": too_few,
    "too many": too_many,
    "ragged": ragged,
    "shorter": shorter,
    "null": null_number,
    "text": string_number,
    "per token": per_token,
    "zeros": zeros,
    "no JSON": says(b"<html>Welcome to the hotel</html>"),
    "a list": says([]),
    "an object": says({}),
    "a number": says(7),
    "deep": says(b"[" * 100_000),
}


TEXTS = ("a", "b", "c")

A_DAY_S = 86_400.0

CALL = "x-call"
"""The header that says which call a request is part of."""


class Opened:
    """A model at its double, in time that passes only by waiting."""

    def __init__(self, double: Double, adapter: Adapter, key: str) -> None:
        self.double, self.adapter, self.key = double, adapter, key
        self.faultless = double.rule
        self._calls = itertools.count()

    def embedded(
        self, *faults: Fault, always: Fault | None = None, modality: Modality = "text", of: Sequence[Any] = TEXTS
    ) -> Vectors:
        """Inputs embedded under these faults by a vectorizer that knows the length of its vectors."""
        mine, left = str(next(self._calls)), iter(faults)
        wire = Wire(self.adapter.base_url, host=self.adapter.name, headers={CALL: mine})
        remote = RemoteVectorizer(self.adapter, wire=wire, patience=Clock().patience())
        tower = remote.tower

        def answer(exchange: Exchange) -> None:
            # A request of an earlier call that was given up may come late: it must not use up a fault of this one.
            fault = next(left, always) if exchange.seen.headers.get(CALL) == mine else None
            (fault or self.faultless or Exchange.succeed)(exchange)

        self.double.rule = answer
        try:
            names = [f"the {place}th" for place in range(len(of))]
            # Threads that wait at the same time each move the clock: there must be time for all of their pauses.
            inputs = Inputs(modality=modality, payloads=of, names=names)
            return joined(remote.embed(inputs, until=A_DAY_S), tower)
        finally:
            self.double.rule = self.faultless
            remote.close()


@pytest.fixture(scope="module", params=HOSTED)
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Every provider, opened once."""
    with doubled(request.param) as (double, ref, settings):
        adapter = import_module(f"lookalike.providers.{ref.provider}").open_adapter(ref, settings)
        key = settings.keys.get(ref.provider)
        yield Opened(double, adapter, key.reveal() if key else "no key at all")


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(fault: Fault, opened: Opened) -> None:
    """After a fault that may pass, the answer is right."""
    assert np.array_equal(opened.embedded(fault, fault).values, opened.embedded().values)


@pytest.mark.parametrize("fault", WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_never_believed(fault: Fault, opened: Opened) -> None:
    """No wrong row comes of an answer that is not as many rows of numbers as were asked for."""
    try:
        found = opened.embedded(always=fault)
    except (ProviderError, SpaceMismatch) as error:
        assert opened.key not in "".join(traceback.format_exception(error))
    else:  # where a request has one input, the fault may be that input's alone, or none at all
        assert opened.adapter.limits.texts == 1
        assert len(found.values) + len(found.failures) == len(TEXTS)
        assert np.array_equal(found.values, opened.embedded().values[found.positions])


@pytest.mark.parametrize("fault", [not_a_number, infinite], ids=["nan", "inf"])
def test_a_row_that_points_nowhere_is_its_inputs_failure(fault: Fault, opened: Opened) -> None:
    """Numbers that are not finite make no row; the other rows are good."""
    found = opened.embedded(fault)
    assert len(found.failures) == 1
    assert np.array_equal(found.values, opened.embedded().values[found.positions])


def test_vectors_are_made_unit_here(opened: Opened) -> None:
    """What a provider says of lengths is not relied on."""
    assert np.allclose(opened.embedded(always=long_vectors).values, opened.embedded().values, atol=1e-6)


def test_three_of_a_thousand_that_the_provider_refuses(opened: Opened) -> None:
    """The inputs that a provider refuses a whole request for are found, and 997 of a thousand have their vectors."""
    bad = (1, 500, 999)
    of = [f"text number {place}" for place in range(1000)]
    found = opened.embedded(always=refusing([of[place] for place in bad], usual=opened.faultless), of=of)
    assert [(f.position, f.item, f.kind) for f in found.failures] == [
        (place, f"the {place}th", "InputError") for place in bad
    ]
    assert found.positions.tolist() == [place for place in range(1000) if place not in bad]
    assert np.array_equal(found.values[:1], opened.embedded(of=of[:1]).values)


def refusing(bad: Sequence[str], *, usual: Fault | None) -> Fault:
    """A refusal of every request with one of these in it: 422, as no provider's own failure is told."""

    def fault(exchange: Exchange) -> None:
        sent = exchange.double.inputs(exchange.seen)
        if any(text.endswith(refused) for text in sent if isinstance(text, str) for refused in bad):
            exchange.fail(422)
        else:
            (usual or Exchange.succeed)(exchange)

    return fault


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 413, 422, 429, 500, 503])
def test_a_failure_that_lasts_is_told(status: int, opened: Opened) -> None:
    """Whatever is refused for good, or does not end, is a typed error that says who, and shows no key."""
    with pytest.raises(LookalikeError) as caught:
        opened.embedded(always=broken(status))
    assert isinstance(caught.value, RateLimited | Refused | Unavailable)
    assert opened.adapter.name in str(caught.value)
    assert opened.key not in "".join(traceback.format_exception(caught.value))
