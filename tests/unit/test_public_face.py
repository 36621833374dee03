"""What `import lookalike` offers, and when it is loaded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import lookalike
from lookalike.compat import EmbeddingsService, get_embeddings_service
from lookalike.config import Config
from tests.doubles.double import vector_of
from tests.doubles.openai import KEY, OpenAIDouble


def loaded_after(code: str) -> set[str]:
    """The modules of lookalike that a fresh interpreter has after this code."""
    show = "import sys; print(*(m for m in sys.modules if m.startswith('lookalike')), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_name_is_loaded_when_it_is_used() -> None:
    """`import lookalike` loads nothing more; a name brings its own module, and the client no index."""
    assert loaded_after("import lookalike") == {"lookalike"}
    assert "lookalike.index" not in loaded_after("import lookalike; lookalike.Client")


def test_every_name_is_there_however_it_is_asked_for() -> None:
    """Attribute, `from` import, star import and dir() agree; what is not there is an AttributeError."""
    everything: dict[str, object] = {}
    exec("from lookalike import *", everything)  # noqa: S102 - the statement itself is what is tested
    assert {name: everything[name] for name in lookalike.__all__} == {
        name: getattr(lookalike, name) for name in lookalike.__all__
    }
    assert set(lookalike.__all__) <= set(dir(lookalike))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = lookalike.nonsense  # type: ignore[attr-defined]


def test_the_service_for_web_applications_embeds_as_the_embedder_does() -> None:
    """One text and a batch give the embedder's vectors, in order; an empty batch is empty."""
    service = get_embeddings_service(replace(Config.from_environ({}), model="tiny"))
    texts = ["a red dress", "a blue shoe"]

    async def ask() -> tuple[list[float], list[list[float]], list[list[float]]]:
        return (
            await service.get_embedding(texts[1]),
            await service.get_embeddings_batch(texts),
            await service.get_embeddings_batch([]),
        )

    one, several, none = asyncio.run(ask())
    expected = service.embedder.embed_texts(texts).values
    assert np.allclose(several, expected, atol=1e-6)
    assert np.allclose(one, expected[1], atol=1e-6)
    assert none == []


def test_the_configured_service_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings the environment decides, and every call gets the same service."""
    monkeypatch.setenv("EMBEDDINGS_PROVIDER", "local")
    monkeypatch.setenv("EMBEDDINGS_MODEL", "tiny")
    service = get_embeddings_service()
    assert isinstance(service, EmbeddingsService)
    assert service.embedder.space.model == "tiny"
    assert get_embeddings_service() is service


def test_the_conventional_variables_choose_a_provider() -> None:
    """EMBEDDINGS_PROVIDER, EMBEDDINGS_MODEL and the provider's own variables are all that a web application sets."""
    with OpenAIDouble(dim=1536) as double:
        variables = {
            "EMBEDDINGS_PROVIDER": "openai",
            "EMBEDDINGS_MODEL": "text-embedding-3-small",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": double.base_url,
            "LOOKALIKE_CACHE": "off",
            "HOME": "/nowhere",
        }
        service = get_embeddings_service(Config.from_environ(variables))
        several = asyncio.run(service.get_embeddings_batch(["a red dress", "a blue shoe"]))
    assert np.allclose(several, [vector_of(text, 1536) for text in ("a red dress", "a blue shoe")], atol=1e-6)
