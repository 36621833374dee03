"""Google's Gemini API: one vector for each input, tasks in a field or in the text, quotas that come back or do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lookalike.calls import Inputs, joined
from lookalike.errors import ProviderError, RateLimited, Refused, Unavailable
from lookalike.providers.believing import matrix
from lookalike.providers.reference import ModelRef, ProviderSettings
from lookalike.providers.table import open_vectorizer
from lookalike.secret import Secret
from tests.adapters import JPEG, KEY, PNG, PNG_BASE64, answered, asked, opened, refusal
from tests.doubles.double import Seen, vector_of
from tests.doubles.gemini import KEY as DOUBLES_KEY
from tests.doubles.gemini import UNNORMALISED, GeminiDouble, exhausted, said

OLD, NEW = "gemini:gemini-embedding-001", "gemini:gemini-embedding-2"
URL = "https://generativelanguage.googleapis.com/v1/models"

# What google-genai 3.4.0 sent to the double for `embed_content(model="gemini-embedding-2", contents=["a", "b"])`; it
# took the answer for the vectors of both.
TRAP = {
    "requests": [{"content": {"parts": [{"text": "a"}, {"text": "b"}], "role": "user"}, "model": f"models/{NEW[7:]}"}]
}
# The same for contents=[Content(parts=[Part(text="a")]), Content(parts=[Part.from_bytes(b"png", "image/png")])].
RIGHT = {
    "requests": [
        {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 768, "model": f"models/{NEW[7:]}"},
        {
            "content": {"parts": [{"inline_data": {"data": "cG5n", "mime_type": "image/png"}}]},
            "outputDimensionality": 768,
            "model": f"models/{NEW[7:]}",
        },
    ]
}


def test_each_text_is_an_entry_of_its_own() -> None:
    """Every input has its own content with one part; the older model gets its task in a field."""
    address, body = asked(f"{OLD}?dimensions=256", "a", "b")
    assert address == f"{URL}/gemini-embedding-001:batchEmbedContents"
    assert body == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "taskType": "RETRIEVAL_QUERY",
                "outputDimensionality": 256,
            }
            for text in ("a", "b")
        ]
    }
    assert asked(f"{OLD}?role=document", "a")[1]["requests"][0]["taskType"] == "RETRIEVAL_DOCUMENT"


def test_the_newer_model_is_told_its_task_in_the_text() -> None:
    """Texts have a prefix by their role, pictures have none, and there is no field for a task."""
    for role, text in (("query", "task: search result | query: a"), ("document", "title: none | text: a")):
        [entry] = asked(f"{NEW}?role={role}", "a")[1]["requests"]
        assert entry == {"model": "models/gemini-embedding-2", "content": {"parts": [{"text": text}]}}
    parts = [entry["content"]["parts"] for entry in asked(NEW, PNG, JPEG, modality="image")[1]["requests"]]
    assert parts[0] == [{"inline_data": {"mime_type": "image/png", "data": PNG_BASE64}}]
    assert [part["inline_data"]["mime_type"] for [part] in parts] == ["image/png", "image/jpeg"]


def test_the_two_models_are_two_spaces() -> None:
    """Vectors of the one are never compared with those of the other, whatever their length."""
    old, new = (opened(f"{name}?dimensions=768").tower_of(768).space for name in (OLD, NEW))
    assert old.key != new.key


def test_the_key_is_in_its_header_alone() -> None:
    """Addresses end up in logs: the key is in x-goog-api-key."""
    assert opened(NEW).request("text", ["a"]).headers == {"x-goog-api-key": KEY}
    assert "key=" not in asked(NEW, "a")[0]


def test_tokens_are_counted_by_kind() -> None:
    """What an answer says of tokens is of texts or of pictures, as its request was; it may say nothing."""
    answer = answered({"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": 258}})
    assert opened(NEW).read(answer, "text", 1).tokens == 258
    reading = opened(NEW).read(answer, "image", 1)
    assert (reading.tokens, reading.image_tokens) == (0, 258)
    assert opened(NEW).read(answered({"embeddings": [{"values": [1.0]}]}), "text", 1).tokens == 0


def test_several_parts_of_a_content_are_one_vector() -> None:
    """The trap of Google's own library: two texts as two parts come back as one vector, which is not believed."""
    double = GeminiDouble()
    path = "/v1/models/gemini-embedding-2:batchEmbedContents"
    trapped, right = (Seen("POST", path, {}, body, json.dumps(body).encode()) for body in (TRAP, RIGHT))
    answer = answered(double.success(trapped, double.vectors(trapped)))
    with pytest.raises(ProviderError, match="1 vectors for 2 inputs"):
        matrix(opened(NEW).read(answer, "text", 2), 2, provider="gemini")
    assert double.vectors(right) == [vector_of("a", 768), vector_of(b"png", 768)]


def test_shorter_vectors_are_made_unit_here() -> None:
    """What the older model cuts short it does not normalise; what comes out is unit and points the same way."""
    with GeminiDouble() as double:
        ref = ModelRef.parse(f"{OLD}?dimensions=128&base_url={double.url}/v1")
        assert ref is not None
        vectorizer = open_vectorizer(ref, ProviderSettings(keys={"gemini": Secret(DOUBLES_KEY)}))
        inputs = Inputs(modality="text", payloads=["a"], names=["a"])
        found = joined(vectorizer.embed(inputs), vectorizer.tower).values[0]
        vectorizer.close()
        sent = np.array(double.vectors(double.seen[-1])[0])
    assert np.linalg.norm(sent) == pytest.approx(UNNORMALISED)
    assert np.allclose(found, sent / UNNORMALISED, atol=1e-6)


def test_a_pause_in_the_body_is_kept() -> None:
    """RetryInfo says how long to wait; a header that says so wins; a delay that is none is none."""
    for retry, pause_s in (("17s", 17.0), ("0.5s", 0.5), ("soon", None), ("-1s", None), ("", None)):
        error = refusal(NEW, exhausted("EmbedContentRequestsPerMinutePerProjectPerModel", retry=retry), 429)
        assert isinstance(error, RateLimited)
        assert error.retry_after_s == pause_s
    error = refusal(NEW, exhausted("PerMinute", retry="17s"), 429, retry_after="3")
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 3.0


def test_a_quota_of_the_day_is_not_waited_for() -> None:
    """A quota that comes back tomorrow is Refused by its name, even if the body asks for a pause of seconds."""
    error = refusal(NEW, exhausted("PerMinute-FreeTier", "EmbedContentRequestsPerDayPerProject", retry="47s"), 429)
    assert isinstance(error, Refused)
    assert not error.retryable
    assert "EmbedContentRequestsPerDayPerProject" in str(error)


def test_a_wrong_key_blames_no_input() -> None:
    """Google says 400 of a wrong key and of a country that is not served: both are about the key, not about inputs."""
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    wrong = refusal(NEW, said(400, "API key not valid. Please pass a valid API key.", reason), 400)
    assert isinstance(wrong, Refused)
    assert wrong.status == 401
    assert "GEMINI_API_KEY" in str(wrong)
    body = {"error": {"code": 400, "message": "User location is not supported", "status": "FAILED_PRECONDITION"}}
    country = refusal(NEW, body, 400)
    assert isinstance(country, Refused)
    assert country.status == 403
    assert "User location" in str(country)


def test_other_refusals_are_what_their_status_says() -> None:
    """400 may be an input's fault, 404 is about the model, 503 may pass."""
    bad = refusal(NEW, said(400, "Unable to process input image"), 400)
    assert isinstance(bad, Refused)
    assert bad.status == 400
    assert "gemini-embedding-2" in str(refusal(NEW, said(404, "not found"), 404))
    assert isinstance(refusal(NEW, said(503, "The model is overloaded."), 503), Unavailable)


@pytest.mark.parametrize("details", [None, {}, "x", [1, None], [{"violations": 7}], [{"violations": [1, {}]}]])
def test_strange_details_are_no_details(details: object) -> None:
    """Whatever stands where details should, a 429 is a pause."""
    body = {"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": details}}
    assert isinstance(refusal(NEW, body, 429), RateLimited)
