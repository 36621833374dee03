"""The cache around whatever embeds: every vector in its place, nothing computed twice, nothing wrong kept."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.cache.memory import MemoryCache
from lookalike.cached import CacheEntry, TowerName
from lookalike.caching import CachedVectorizer, key_of
from lookalike.calls import Inputs, joined
from lookalike.embed import Embedder, LocalVectorizer
from lookalike.encoders.fake import FakeEncoder
from lookalike.errors import DeadlineExceeded, ImageError, InputError, Unavailable
from lookalike.policy import ImagePolicy
from lookalike.spaces import Tower
from lookalike.types import Vectors
from lookalike.usage import Usage
from tests.pictures import noise

PATIENCE_S = 20.0
LONG = "red " * 9


class Watched:
    """A vectorizer that remembers what it was asked for, and can be held up or made to fail; it bills a cent a text."""

    def __init__(self, *, name: str = "fake", batch_size: int = 4) -> None:
        self._inner = LocalVectorizer(FakeEncoder(name=name), batch_size=batch_size)
        self.asked: list[list[object]] = []
        self.before: Callable[[], None] = lambda: None
        self.fails_at = -1
        self.tower = self._inner.tower
        self.makes: Tower = self._inner.tower

    @property
    def policy(self) -> ImagePolicy:
        return self._inner.policy

    @property
    def n_asked(self) -> int:
        return sum(map(len, self.asked))

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        self.asked.append(list(inputs.payloads))
        self.before()
        for number, part in enumerate(self._inner.embed(inputs, until=until)):
            if number == self.fails_at:
                raise Unavailable("The provider is down.", provider="double")
            usage = Usage(requests=1, texts=len(part), cost_usd=0.01 * len(part))
            yield replace(part, tower=self.makes, usage=usage)


def texts(*payloads: str, names: Sequence[str] = ()) -> Inputs:
    """Texts as a call has them."""
    return Inputs(modality="text", payloads=payloads, names=names or [f"texts[{i}]" for i in range(len(payloads))])


def call(vectorizer: CachedVectorizer | Watched, inputs: Inputs, *, until: float = float("inf")) -> Vectors:
    """All parts of a call as one."""
    return joined(vectorizer.embed(inputs, until=until), vectorizer.tower)


def test_a_second_call_computes_nothing() -> None:
    """What was embedded once comes from the cache: same bits, nothing used, and what it would have cost is told."""
    inner = Watched()
    cached = CachedVectorizer(inner, MemoryCache())
    first = call(cached, texts("red", "green", "blue"))
    again = call(cached, texts("red", "green", "blue"))
    np.testing.assert_array_equal(again.values, first.values)
    assert again.n_tokens.tolist() == first.n_tokens.tolist()
    assert inner.asked == [["red", "green", "blue"]]
    assert (first.usage.texts, first.usage.cached) == (3, 0)
    assert (again.usage.requests, again.usage.cached) == (0, 3)
    assert again.usage.saved_usd == pytest.approx(first.usage.cost_usd)


def test_partial_hits_leave_every_vector_in_its_own_place() -> None:
    """Whatever part of a batch is known, however often an input repeats: rows are those of a call without a cache."""
    chance = random.Random(3)
    words = [f"{colour} {thing}" for colour in ("red", "blue", "black") for thing in ("hat", "bag", "cup")] + ["x", ""]
    inner, plain = Watched(), Watched()
    cached = CachedVectorizer(inner, MemoryCache(max_bytes=8000))  # entries come and go
    for _ in range(60):
        batch = texts(*chance.choices(words, k=chance.randint(1, 20)))
        mine, right = call(cached, batch), call(plain, batch)
        np.testing.assert_array_equal(mine.values, right.values)
        np.testing.assert_array_equal(mine.n_tokens, right.n_tokens)
        assert mine.positions.tolist() == list(range(len(batch)))
        assert mine.usage.cached + mine.usage.texts == len(batch)
    assert inner.n_asked < plain.n_asked
    assert all(len(set(asked)) == len(asked) for asked in inner.asked)


def test_a_text_and_a_picture_of_the_same_bytes_are_two() -> None:
    """Modality and fingerprint are in the key: nothing collides across them, and every capital letter counts."""
    keys = {
        key_of("a" * 64, "text", "red"),
        key_of("a" * 64, "image", b"red"),
        key_of("b" * 64, "text", "red"),
        key_of("a" * 64, "text", "Red"),
        key_of("a" * 64, "text", "red "),
        key_of("a" * 64, "text", "\ud800"),  # half a character, as file names may have
    }
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}


def test_two_towers_share_a_cache_and_no_vector() -> None:
    """A vector is found by the tower that made it alone."""
    cache = MemoryCache()
    one, two = Watched(name="one"), Watched(name="two")
    call(CachedVectorizer(one, cache), texts("red"))
    call(CachedVectorizer(two, cache), texts("red"))
    assert (one.n_asked, two.n_asked, len(cache)) == (1, 1, 2)


def test_vectors_of_another_tower_are_handed_on_and_not_kept() -> None:
    """If the inner one answers with another recipe than it is known by, nothing is kept under a wrong key."""
    inner, cache = Watched(), MemoryCache()
    inner.makes = FakeEncoder(name="other").tower
    vectors = call(CachedVectorizer(inner, cache), texts("red", "red"))
    assert (len(vectors), vectors.tower, len(cache)) == (2, inner.makes, 0)


def test_a_warning_comes_again() -> None:
    """That a text was cut is said with every answer, under the name that it has this time, twins included."""
    cached = CachedVectorizer(Watched(), MemoryCache())
    first = call(cached, texts("red", LONG, LONG, names=["a", "a: b", "c"]))
    again = call(cached, texts(LONG, "red", names=["title", "a"]))
    sentence = "longer than the model reads; its end was left out."
    assert first.warnings == (f"a: b: {sentence}", f"c: {sentence}")
    assert again.warnings == (f"title: {sentence}",)
    assert again.n_tokens.tolist() == [24, 3]


def test_failures_are_never_kept(tmp_path: Path) -> None:
    """A bad input fails each time, twins under their own names; what can be read then is embedded then."""
    inner, cache = Watched(), MemoryCache()
    cached = CachedVectorizer(inner, cache)
    path, gone = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(noise(1))
    payloads = [b"no picture", path, gone, b"no picture", str(path), noise(1)]
    inputs = Inputs(modality="image", payloads=payloads, names=list("abcdef"))
    for _ in range(2):
        vectors = call(cached, inputs)
        assert vectors.positions.tolist() == [1, 4, 5]
        assert [(f.position, f.item, f.kind) for f in vectors.failures] == [
            (0, "a", "UnsupportedMedia"),
            (2, "c", "ImageError"),
            (3, "d", "UnsupportedMedia"),
        ]
    assert len(cache) == 1
    gone.write_bytes(noise(2))
    assert call(cached, inputs).positions.tolist() == [1, 2, 4, 5]


def test_what_was_hashed_is_what_is_embedded(tmp_path: Path) -> None:
    """A file that changes while it waits for its turn does not get the vector of one content under another's key."""
    path = tmp_path / "a.png"
    path.write_bytes(noise(1))
    inner, cache = Watched(), MemoryCache()
    inner.before = lambda: path.write_bytes(noise(2)) and None
    cached = CachedVectorizer(inner, cache)
    call(cached, Inputs(modality="image", payloads=[path], names=["a"]))
    of_one, of_two = (Embedder(LocalVectorizer(FakeEncoder())).embed_images([noise(n)]).values for n in (1, 2))
    (kept,) = cache.get([key_of(inner.tower.fingerprint, "image", noise(1))])
    assert kept is not None
    np.testing.assert_array_equal(kept.vector, of_one[0])
    assert not np.array_equal(of_one, of_two)


def test_what_is_no_text_is_refused_as_without_a_cache() -> None:
    """An input of a wrong type is the inner one's to refuse, by its name."""
    embedder = Embedder(CachedVectorizer(Watched(), MemoryCache()))
    with pytest.raises(InputError, match=r"texts\[1\]: is a int"):
        embedder.embed_texts(["red", 5])  # type: ignore[list-item]
    with pytest.raises(ImageError, match="gone"):
        embedder.embed_images([Path("/nowhere/gone.jpg")])


def test_parts_that_were_answered_are_kept_when_the_next_fails() -> None:
    """A provider that goes down in the middle is asked again only for what it has not answered."""
    inner = Watched(batch_size=2)
    cached = CachedVectorizer(inner, MemoryCache())
    inner.fails_at = 2
    with pytest.raises(Unavailable):
        call(cached, texts(*"abcdef"))
    inner.fails_at = -1
    assert call(cached, texts(*"abcdef")).usage.cached == 4
    assert inner.asked[1] == ["e", "f"]


def test_a_call_that_is_dropped_keeps_what_it_had_and_holds_up_nobody() -> None:
    """Closing the parts early lets go of what was claimed: the next call computes it."""
    inner = Watched(batch_size=1)
    cached = CachedVectorizer(inner, MemoryCache())
    parts = cached.embed(texts("a", "b", "c"))
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(call, cached, texts("a", "b", "c")).result(PATIENCE_S)) == 3
    assert inner.asked[1] == ["b", "c"]


def test_many_inputs_are_looked_up_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many inputs a call has, it holds no more than a chunk of them, and positions go on."""
    monkeypatch.setattr("lookalike.caching.CHUNK", 5)
    monkeypatch.setattr("lookalike.caching.CHUNK_BYTES", 2 * len(noise(0)))
    inner = Watched(batch_size=100)
    cached = CachedVectorizer(inner, MemoryCache())
    assert call(cached, texts(*map(str, range(13)))).positions.tolist() == list(range(13))
    pictures = Inputs(modality="image", payloads=[noise(n) for n in range(6)], names=list("abcdef"))
    assert call(cached, pictures).positions.tolist() == list(range(6))
    assert max(map(len, inner.asked)) == 5
    assert max(len(asked) for asked in inner.asked if isinstance(asked[0], bytes)) <= 3


def test_a_vector_of_another_length_is_not_used() -> None:
    """What lies under the key and cannot be this tower's vector counts as missing."""
    inner, cache = Watched(), MemoryCache()
    key = key_of(inner.tower.fingerprint, "text", "red")
    cache.put(TowerName.of(inner.tower), {key: CacheEntry(vector=np.ones(3, np.float32))})
    assert call(CachedVectorizer(inner, cache), texts("red")).values.shape == (1, inner.tower.space.dim)


def in_threads(n: int, work: Callable[[int], Vectors]) -> list[Vectors]:
    """What n threads return that begin together."""
    start = threading.Barrier(n)

    def run(number: int) -> Vectors:
        start.wait(PATIENCE_S)
        return work(number)

    with ThreadPoolExecutor(n) as pool:
        return [future.result(PATIENCE_S) for future in [pool.submit(run, number) for number in range(n)]]


def test_threads_that_ask_for_the_same_compute_it_once() -> None:
    """Eight threads with overlapping batches in different orders: each input is computed once, each row is right."""
    inner, plain = Watched(batch_size=3), Watched()
    cached = CachedVectorizer(inner, MemoryCache())
    words = [f"word {i}" for i in range(60)]

    def ask(number: int) -> Vectors:
        mine = random.Random(number).sample(words, 40)
        vectors = call(cached, texts(*mine))
        np.testing.assert_array_equal(vectors.values, call(plain, texts(*mine)).values)
        return vectors

    answers = in_threads(8, ask)
    computed = [word for asked in inner.asked for word in asked]
    assert len(computed) == len(set(computed))
    assert sum(vectors.usage.cached for vectors in answers) == 8 * 40 - len(computed)


def held_up(inner: Watched) -> tuple[threading.Event, threading.Event]:
    """Make the first computation wait: (it has begun, it may go on)."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(PATIENCE_S)

    inner.before = wait
    return begun, go_on


def test_who_waits_computes_it_when_the_other_fails() -> None:
    """The failure of a thread is its own: one that waited for it computes, and has its vectors."""
    inner = Watched()
    cached = CachedVectorizer(inner, MemoryCache())
    begun, go_on = threading.Event(), threading.Event()

    def fail_first() -> None:
        if begun.is_set():  # the second, which has claimed what the first does not do, and knows that this one does it
            go_on.set()
            return
        begun.set()
        assert go_on.wait(PATIENCE_S)
        raise Unavailable("The provider is down.", provider="double")

    inner.before = fail_first
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, cached, texts("red"))
        assert begun.wait(PATIENCE_S)
        assert call(cached, texts("red", "blue")).positions.tolist() == [0, 1]
        with pytest.raises(Unavailable):
            first.result(PATIENCE_S)
    assert inner.asked == [["red"], ["blue"], ["red"]]


def test_who_waits_gives_up_at_its_deadline() -> None:
    """A thread that waits for another's vectors gets DeadlineExceeded when its own time is up."""
    inner = Watched()
    cached = CachedVectorizer(inner, MemoryCache())
    begun, go_on = held_up(inner)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, cached, texts("red"))
        assert begun.wait(PATIENCE_S)
        with pytest.raises(DeadlineExceeded, match="Another thread"):
            call(cached, texts("red"), until=time.monotonic() + 0.05)
        go_on.set()
        assert len(first.result(PATIENCE_S)) == 1


def test_nobody_waits_for_ever_for_a_thread_that_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other makes no progress, the one that waits computes the vectors itself."""
    monkeypatch.setattr("lookalike.flights.PATIENCE_S", 0.05)
    inner = Watched()
    cached = CachedVectorizer(inner, MemoryCache())
    begun, go_on = held_up(inner)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, cached, texts("red", "blue"))
        assert begun.wait(PATIENCE_S)
        assert len(call(cached, texts("red", "blue"))) == 2
        go_on.set()
        assert len(first.result(PATIENCE_S)) == 2


def test_a_thread_does_not_wait_for_itself() -> None:
    """Two calls that one thread reads in turns do not block each other."""
    inner = Watched(batch_size=1)
    cached = CachedVectorizer(inner, MemoryCache())
    one, two = cached.embed(texts("a", "b")), cached.embed(texts("b", "a"))
    parts = [next(one), next(two), *one, *two]
    assert sorted(int(p) for part in parts for p in part.positions) == [0, 0, 1, 1]
