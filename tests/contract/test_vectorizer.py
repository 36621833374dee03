"""What everything that makes vectors keeps to: a model here, every provider, a cache around one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.cache.memory import MemoryCache
from lookalike.caching import CachedVectorizer
from lookalike.calls import Inputs, joined
from lookalike.canary import References
from lookalike.embed import LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import UnsupportedModel
from lookalike.fallback import Chain, Checked
from lookalike.ports import Vectorizer
from lookalike.spaces import Modality
from lookalike.types import Vectors
from tests.doubles.hosted import HOSTED, hosted
from tests.doubles.simple import SimpleDouble, remote
from tests.pictures import noise

PATIENCE_S = 20.0


@pytest.fixture(scope="module", params=["local", "simple", "cached", "checked", "chain", *HOSTED])
def vectorizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vectorizer]:
    """What is under test."""
    with ExitStack() as stack:
        if request.param in HOSTED:
            yield stack.enter_context(hosted(request.param))
        elif request.param == "local":
            yield LocalVectorizer(FakeEncoder(), batch_size=8)
        else:
            simple = remote(stack.enter_context(SimpleDouble()))
            stack.callback(simple.close)
            cached, chain = CachedVectorizer(simple, MemoryCache()), Chain([simple])
            references = References(tmp_path_factory.mktemp("canaries"))
            checked = Checked(simple, references, name="simple", defines=True)
            choices: dict[str, Vectorizer] = {"simple": simple, "cached": cached, "checked": checked, "chain": chain}
            yield choices[request.param]


@pytest.fixture(params=["text", "image"])
def modality(request: pytest.FixtureRequest, vectorizer: Vectorizer) -> Modality:
    """What the vectorizer under test embeds."""
    if request.param not in vectorizer.tower.space.modalities:
        pytest.skip(f"the model embeds no {request.param}s")
    return request.param


def inputs_of(modality: Modality, n: int, *, bad: Sequence[int] = ()) -> Inputs:
    """n different inputs, of which those at `bad` cannot be used."""
    payloads: list[Any] = [f"text number {i}" if modality == "text" else _picture(i) for i in range(n)]
    for position in bad:
        payloads[position] = 7 if modality == "text" else b"no picture"
    return Inputs(modality=modality, payloads=payloads, names=[f"the {i}th" for i in range(n)])


@cache
def _picture(seed: int) -> bytes:
    return noise(seed, size=(24, 24))


def embedded(vectorizer: Vectorizer, inputs: Inputs) -> Vectors:
    """All parts together; a call has no reason to take long here."""
    return joined(vectorizer.embed(inputs, until=time.monotonic() + PATIENCE_S), vectorizer.tower)


def test_every_input_is_accounted_for_once(vectorizer: Vectorizer, modality: Modality) -> None:
    """An input is a row or a failure, in exactly one part; a part's failures have the inputs' names and places."""
    bad = (0, 9, 29)
    parts = list(vectorizer.embed(inputs_of(modality, 30, bad=bad)))
    failures = [failure for part in parts for failure in part.failures]
    positions = [int(position) for part in parts for position in part.positions]
    assert sorted(positions + [failure.position for failure in failures]) == list(range(30))
    assert sorted((f.position, f.item) for f in failures) == [(position, f"the {position}th") for position in bad]
    assert all(len(part.values) == len(part.positions) == len(part.n_tokens) for part in parts)


def test_rows_are_in_the_order_of_the_inputs(vectorizer: Vectorizer, modality: Modality) -> None:
    """Row i is the vector of input i, as if it had been embedded alone."""
    inputs = inputs_of(modality, 30)
    together = embedded(vectorizer, inputs)
    for position in (0, 7, 8, 29):
        alone = embedded(vectorizer, inputs.at([position]))
        assert np.allclose(together.values[position], alone.values[0], atol=1e-5)
    assert len(np.unique(together.values.round(4), axis=0)) == 30


def test_rows_are_unit_float32(vectorizer: Vectorizer, modality: Modality) -> None:
    """Rows are float32 of length 1, and as long as the space says."""
    found = embedded(vectorizer, inputs_of(modality, 5))
    assert found.values.dtype == np.float32
    assert found.values.shape == (5, vectorizer.tower.space.dim)
    assert np.allclose(np.linalg.norm(found.values, axis=1), 1, atol=1e-5)
    assert found.space.key == vectorizer.tower.space.key


def test_the_same_again_is_the_same(vectorizer: Vectorizer, modality: Modality) -> None:
    """The same inputs give the same bits."""
    first, second = (embedded(vectorizer, inputs_of(modality, 5)) for _ in range(2))
    assert np.array_equal(first.values, second.values)


def test_a_thousand_with_three_bad_ones(vectorizer: Vectorizer, modality: Modality) -> None:
    """Of a thousand inputs of which three cannot be used, 997 have vectors and three say why, in their places."""
    found = embedded(vectorizer, inputs_of(modality, 1000, bad=(1, 500, 999)))
    assert len(found) == 997
    kind = "InputError" if modality == "text" else "UnsupportedMedia"
    assert [(f.position, f.item, f.kind) for f in found.failures] == [
        (position, f"the {position}th", kind) for position in (1, 500, 999)
    ]
    assert found.positions.tolist() == [i for i in range(1000) if i not in (1, 500, 999)]


def test_nothing_but_bad_ones(vectorizer: Vectorizer, modality: Modality) -> None:
    """Where no input can be used, there are failures and no error."""
    found = embedded(vectorizer, inputs_of(modality, 2, bad=(0, 1)))
    assert (len(found), [failure.position for failure in found.failures]) == (0, [0, 1])


def test_nothing_at_all(vectorizer: Vectorizer, modality: Modality) -> None:
    """No inputs are no vectors."""
    assert len(embedded(vectorizer, inputs_of(modality, 0))) == 0


def test_paths_and_bytes_are_the_same_picture(vectorizer: Vectorizer, tmp_path: Path) -> None:
    """A picture may be handed in as its bytes or as its path; a path that leads nowhere is a failure of its own."""
    if "image" not in vectorizer.tower.space.modalities:
        pytest.skip("the model embeds no pictures")
    (tmp_path / "a.png").write_bytes(noise(1))
    payloads = [noise(1), tmp_path / "a.png", tmp_path / "none.png"]
    found = embedded(vectorizer, Inputs(modality="image", payloads=payloads, names=["bytes", "path", "nowhere"]))
    assert np.allclose(found.values[0], found.values[1])
    assert [failure.item for failure in found.failures] == ["nowhere"]


def test_threads_do_not_disturb_each_other(vectorizer: Vectorizer, modality: Modality) -> None:
    """Several threads at once get what each would have got alone."""
    inputs = inputs_of(modality, 24)
    shares = [range(start, start + 6) for start in range(0, 24, 6)]
    alone = embedded(vectorizer, inputs).values
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda share: embedded(vectorizer, inputs.at(share)), shares))
    assert np.allclose(np.concatenate([vectors.values for vectors in found]), alone, atol=1e-5)


def test_a_modality_that_is_not_there(vectorizer: Vectorizer) -> None:
    """Pictures for a model of texts are an error that names the model."""
    if "image" in vectorizer.tower.space.modalities:
        pytest.skip("the model embeds both")
    with pytest.raises(UnsupportedModel) as caught:
        embedded(vectorizer, inputs_of("image", 1))
    assert caught.value.model
