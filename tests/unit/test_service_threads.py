"""What the service's event loop leaves to threads: in time, bounded, and dropped when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import DeadlineExceeded, InputError, NotReady, Overloaded
from lookalike.health import ServiceStatus
from lookalike.http.pool_embedder import PoolEmbedder
from lookalike.http.threads import Threads
from tests.pictures import picture
from tests.serving import InlineService

LATER_S = 20.0


def later() -> float:
    return time.monotonic() + LATER_S


def test_a_result_or_an_error_comes_back() -> None:
    """As the function returned or raised it."""

    async def main() -> None:
        threads = Threads("tests", n_threads=1)
        assert await threads.run(lambda: 5, until=later()) == 5
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0, until=later())
        threads.close()

    asyncio.run(main())


def test_what_hangs_costs_its_deadline_and_no_more() -> None:
    """The caller is told in time; what waits behind it and is given up is never begun."""
    release, begun = threading.Event(), threading.Event()

    async def main() -> None:
        threads = Threads("tests", n_threads=1)
        with pytest.raises(DeadlineExceeded):
            await threads.run(lambda: release.wait(LATER_S), until=time.monotonic() + 0.05)
        with pytest.raises(DeadlineExceeded):
            await threads.run(begun.set, until=time.monotonic() + 0.05)
        release.set()
        assert await threads.run(lambda: 1, until=later()) == 1
        threads.close()

    asyncio.run(main())
    assert not begun.is_set()


def test_a_result_that_comes_too_late_is_handed_over() -> None:
    """What was opened for a caller who has gone is closed; what somebody takes is theirs."""
    release, late = threading.Event(), []

    async def main() -> None:
        threads = Threads("tests", n_threads=1)
        assert await threads.run(lambda: "taken", until=later(), unheard=late.append) == "taken"
        with pytest.raises(DeadlineExceeded):
            await threads.run(
                lambda: release.wait(LATER_S) and "late", until=time.monotonic() + 0.05, unheard=late.append
            )
        release.set()
        assert await threads.run(lambda: list(late), until=later()) == ["late"]
        threads.close()

    asyncio.run(main())


def test_too_much_is_refused_at_once_and_room_comes_back() -> None:
    """Overloaded says when to come back; what was accepted is done."""
    release = threading.Event()

    async def main() -> None:
        threads = Threads("tests", n_threads=1, max_waiting=2)
        accepted = [asyncio.create_task(threads.run(lambda: release.wait(LATER_S), until=later())) for _ in range(3)]
        await asyncio.sleep(0)  # lets them begin
        with pytest.raises(Overloaded) as refused:
            await threads.run(lambda: 1, until=later())
        assert refused.value.retry_after_s > 0
        release.set()
        assert await asyncio.gather(*accepted) == [True, True, True]
        assert await threads.run(lambda: 2, until=later()) == 2
        threads.close()

    asyncio.run(main())


def test_the_service_as_an_embedder_gives_the_models_vectors() -> None:
    """Words, bytes and paths, in order; and the model's own errors."""
    model = Embedder(LocalVectorizer(FakeEncoder()))
    service = InlineService(model)
    embedder = PoolEmbedder(service)
    texts, images = ["red", "blue", "x"], [picture("red"), picture("blue")]
    np.testing.assert_array_equal(embedder.embed_texts(texts).values, model.embed_texts(texts).values)
    np.testing.assert_array_equal(embedder.embed_images(images).values, model.embed_images(images).values)
    assert embedder.tower == model.tower
    assert embedder.embed_texts(["red " * 30]).warnings
    with pytest.raises(InputError, match=r"images\[1\]"):
        embedder.embed_images([images[0], b"no picture"])
    service.close(drain_s=1)


def test_without_a_model_the_service_has_no_space() -> None:
    """The reason is the service's own."""

    class Loading(InlineService):
        def status(self) -> ServiceStatus:
            return ServiceStatus(ready=False, reason="The model is being loaded.", tower=None, waiting={}, workers=())

    service = Loading(Embedder(LocalVectorizer(FakeEncoder())))
    with pytest.raises(NotReady, match="being loaded"):
        PoolEmbedder(service).tower  # noqa: B018
    service.close(drain_s=1)
