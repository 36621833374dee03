"""What providers do in ways of their own when something is wrong: it is waited for, or told at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from lookalike.calls import Inputs, joined
from lookalike.errors import Refused, UnsupportedModel
from lookalike.providers.reference import ProviderSettings
from lookalike.providers.remote import RemoteVectorizer
from lookalike.secret import Secret
from lookalike.types import Vectors
from lookalike.wire import Wire
from tests.adapters import opened
from tests.doubles import bedrock, gemini, jina, voyage
from tests.doubles.double import Double, Fault, broken, limited, poison
from tests.doubles.gemini import used_up
from tests.doubles.simple import Clock, texts

MINUTE, DAY = "EmbedContentRequestsPerMinutePerProject", "EmbedContentRequestsPerDayPerProject"
GEMINI = "gemini:gemini-embedding-2?dimensions=128&base_url={url}/v1"
TITAN = f"bedrock:{bedrock.TITAN}?dimensions=256&base_url={{url}}"
JINA = "jina:jina-clip-v2?dimensions=64&base_url={url}/v1"
VOYAGE = "voyage:voyage-3.5?dimensions=256&base_url={url}/v1"
DOUBLES: dict[str, tuple[type[Double], str]] = {
    GEMINI: (gemini.GeminiDouble, gemini.KEY),
    TITAN: (bedrock.BedrockDouble, bedrock.KEY),
    JINA: (jina.JinaDouble, jina.KEY),
    VOYAGE: (voyage.VoyageDouble, voyage.KEY),
}


@contextmanager
def running(name: str, clock: Clock, *, key: str = "") -> Iterator[tuple[Double, RemoteVectorizer]]:
    """A provider's double and the model at it, with pauses that take no time."""
    kind, right_key = DOUBLES[name]
    with kind() as double:
        settings = ProviderSettings(keys={name.partition(":")[0]: Secret(key or right_key)}, region="us-east-1")
        adapter = opened(name.format(url=double.url), settings)
        wire = Wire(adapter.base_url, host=adapter.name, headers={})
        vectorizer = RemoteVectorizer(adapter, wire=wire, patience=clock.patience())
        try:
            yield double, vectorizer
        finally:
            vectorizer.close()


def embedded(vectorizer: RemoteVectorizer, inputs: Inputs) -> Vectors:
    return joined(vectorizer.embed(inputs), vectorizer.tower)


@pytest.mark.parametrize(
    ("name", "fault", "least_s"),
    [
        (GEMINI, used_up(MINUTE, retry="17s"), 17.0),
        (GEMINI, broken(503, "The model is overloaded."), 0.0),
        (TITAN, bedrock.typed(429, "ThrottlingException", "Too many requests"), 0.0),
        (TITAN, bedrock.typed(429, "ModelNotReadyException"), 0.0),
        (JINA, broken(429, code="RATE_TOKEN_LIMIT_EXCEEDED"), 15.0),
        (VOYAGE, limited(), 0.0),
    ],
)
def test_what_passes_is_waited_for(name: str, fault: Fault, least_s: float) -> None:
    """The request is sent again, not earlier than asked for, and answered."""
    clock = Clock()
    with running(name, clock) as (double, vectorizer):
        double.faults = [fault]
        assert len(embedded(vectorizer, texts("a"))) == 1
        assert len(double.seen) == 2
    assert sum(clock.pauses) >= least_s
    assert clock.pauses


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (GEMINI, used_up(MINUTE, DAY, retry="17s")),
        (TITAN, bedrock.typed(403, "AccessDeniedException", "You don't have access")),
        (TITAN, bedrock.typed(400, "ServiceQuotaExceededException")),
        (JINA, broken(403, code="AUTHZ_INSUFFICIENT_BALANCE")),
    ],
)
def test_what_lasts_is_told_at_once(name: str, fault: Fault) -> None:
    """One request is sent, none again; the error is of the call, not of an input."""
    clock = Clock()
    with running(name, clock) as (double, vectorizer):
        double.faults = [fault]
        with pytest.raises(Refused) as caught:
            embedded(vectorizer, texts("a"))
        assert len(double.seen) == 1
    assert not caught.value.retryable
    assert clock.pauses == []


@pytest.mark.parametrize("name", list(DOUBLES))
def test_a_wrong_key_costs_one_request(name: str) -> None:
    """However a provider says that a key is wrong, the inputs are not searched for who is to blame."""
    with running(name, Clock(), key="wrong-key") as (double, vectorizer):
        with pytest.raises(Refused) as caught:
            embedded(vectorizer, texts("a", "b") if name != TITAN else texts("a"))
        assert caught.value.status == 401
        assert "wrong-key" not in str(caught.value)
        assert len(double.seen) == 1


@pytest.mark.parametrize("name", list(DOUBLES))
def test_one_bad_text_among_many(name: str) -> None:
    """The input that is refused has a failure with the provider's words; all others have their own vectors."""
    with running(name, Clock()) as (double, vectorizer):
        alone = embedded(vectorizer, texts("after"))
        sent = double.inputs(double.seen[-1])[0]
        assert isinstance(sent, str)
        double.rule = poison(sent.replace("after", "bad"))
        found = embedded(vectorizer, texts("before", "bad", "after"))
    assert [failure.item for failure in found.failures] == ["bad"]
    assert "cannot be embedded" in str(found.failures[0])
    assert found.positions.tolist() == [0, 2]
    assert np.allclose(found.values[1], alone.values[0])


def test_a_picture_for_a_model_of_texts_sends_nothing() -> None:
    """The error names a model that can, before a file is read."""
    with running(VOYAGE, Clock()) as (double, vectorizer):
        with pytest.raises(UnsupportedModel, match="voyage-multimodal"):
            embedded(vectorizer, Inputs(modality="image", payloads=[b""], names=["a"]))
        assert double.seen == []
