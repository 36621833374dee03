"""The contract of every cache: in memory, in a file, in a table, in layers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lookalike.cache.layers import LayeredCache
from lookalike.cache.memory import MemoryCache
from lookalike.cache.postgres import PostgresCache
from lookalike.cache.sqlite import SqliteCache
from lookalike.cached import CacheEntry, Pruning, TowerName
from lookalike.ports import VectorCache
from lookalike.secret import Secret
from lookalike.vectors import normalise

Keeper = SqliteCache | PostgresCache
DIM = 24
DAY_S = 86_400.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tower(name: str = "one", dim: int = DIM) -> TowerName:
    """A tower by name."""
    fingerprint = hashlib.sha256(f"{name} {dim}".encode()).hexdigest()
    return TowerName(fingerprint=fingerprint, model=f"acme/{name}", space=f"{name}-{dim}@0", dim=dim)


def key(name: object) -> bytes:
    """A key for a name."""
    return hashlib.sha256(str(name).encode()).digest()


def entries(names: Sequence[object], *, dim: int = DIM, seed: int = 0) -> dict[bytes, CacheEntry]:
    """An entry for each name; which numbers depends on the seed too."""
    rows = normalise(np.random.default_rng(seed).standard_normal((len(names), dim)))
    return {
        key(name): CacheEntry(vector=row, n_tokens=i, cost_usd=i / 1024, warning="was cut." * (i % 2))
        for i, (name, row) in enumerate(zip(names, rows, strict=True))
    }


def same(found: CacheEntry | None, expected: CacheEntry) -> bool:
    """Whether an entry came back as it was put, to the bit."""
    return (
        found is not None
        and found.vector.dtype == np.float32
        and found.vector.tobytes() == expected.vector.tobytes()
        and (found.n_tokens, found.cost_usd, found.warning) == (expected.n_tokens, expected.cost_usd, expected.warning)
    )


@pytest.fixture(params=["sqlite", "postgres", "pooled"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Keeper]:
    """A cache that outlives the process, empty."""
    if request.param == "sqlite":
        opened: Keeper = SqliteCache(tmp_path / "c.sqlite", clock=clock)
    else:
        opened = PostgresCache(Secret(request.getfixturevalue(f"{request.param}_url")), clock=clock)
        opened.clear()
    yield opened
    opened.close()


@pytest.fixture(params=["memory", "sqlite", "postgres", "pooled", "layers"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[VectorCache]:
    """Each kind of cache, empty."""
    if request.param == "memory":
        yield MemoryCache()
    elif request.param == "layers":
        behind = SqliteCache(tmp_path / "c.sqlite")
        yield LayeredCache(MemoryCache(max_bytes=4000), behind)
        behind.close()
    elif request.param == "sqlite":
        yield (opened := SqliteCache(tmp_path / "c.sqlite", clock=clock))
        opened.close()
    else:
        table = PostgresCache(Secret(request.getfixturevalue(f"{request.param}_url")), clock=clock)
        table.clear()
        yield table
        table.close()


def test_what_was_put_comes_back_to_the_bit(cache: VectorCache) -> None:
    """Each key has its own entry, in the order asked for, however often; an unknown key has None."""
    put = entries(range(100))
    cache.put(tower(), put)
    asked = [key(n) for n in (7, "unknown", 99, 7, 0)]
    found = cache.get(asked)
    assert [entry is None for entry in found] == [False, True, False, False, False]
    assert all(same(entry, put[k]) for k, entry in zip(asked, found, strict=True) if entry is not None)
    assert cache.get([]) == []


def test_what_is_there_stays(cache: VectorCache) -> None:
    """A second vector under a key changes nothing, beside new ones that are kept."""
    first, second = entries(["a"]), entries(["a", "b"], seed=1)
    cache.put(tower(), first)
    cache.put(tower(), second)
    a, b = cache.get([key("a"), key("b")])
    assert same(a, first[key("a")])
    assert same(b, second[key("b")])


def test_a_kept_vector_cannot_be_changed_from_outside(cache: VectorCache) -> None:
    """Writing into the array that was put, or into one that was got, does not reach the cache."""
    rows = np.ones((2, DIM), np.float32)
    cache.put(tower(), {key("a"): CacheEntry(vector=rows[0])})
    rows[:] = 5
    (found,) = cache.get([key("a")])
    assert found is not None
    assert found.vector.tolist() == [1.0] * DIM
    with pytest.raises(ValueError, match="read-only"):
        found.vector[0] = 2


def test_lengths_may_differ(cache: VectorCache) -> None:
    """Towers of different lengths lie side by side."""
    short, long = entries(["a"], dim=3), entries(["b"], dim=3072)
    cache.put(tower("short", 3), short)
    cache.put(tower("long", 3072), long)
    a, b = cache.get([key("a"), key("b")])
    assert same(a, short[key("a")])
    assert same(b, long[key("b")])


def test_threads_put_and_get_at_the_same_time(cache: VectorCache) -> None:
    """Six threads with overlapping entries: what one has put, it finds, and it is right."""
    put = entries(range(60))
    start = threading.Barrier(6)

    def work(number: int) -> bool:
        start.wait(20)
        right = True
        for first in range(number * 5, number * 5 + 30, 3):
            mine = {key(n): put[key(n)] for n in range(first, first + 5)}
            cache.put(tower(), mine)
            right = right and all(same(e, mine[k]) for k, e in zip(mine, cache.get(list(mine)), strict=True))
        return right

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


def test_stats_tell_what_is_held_and_what_it_was_good_for(keeper: Keeper) -> None:
    """Entries by tower, the largest first; hits, misses and savings add up."""
    assert (keeper.stats().entries, keeper.stats().holdings) == (0, ())
    keeper.put(tower("one"), entries(range(5)))
    keeper.put(tower("two", 8), entries(["x", "y"], dim=8))
    before = keeper.stats()
    keeper.count(hits=6, saved_usd=0.25)
    keeper.count(misses=2)
    held = keeper.stats()
    assert [(h.tower, h.entries, h.n_bytes) for h in held.holdings] == [
        (tower("one"), 5, 5 * DIM * 4),
        (tower("two", 8), 2, 2 * 8 * 4),
    ]
    assert held.n_bytes > 0
    gained = (held.hits - before.hits, held.misses - before.misses, held.saved_usd - before.saved_usd)
    assert gained == pytest.approx((6, 2, 0.25))


def test_pruning_removes_what_was_named(keeper: Keeper) -> None:
    """By model or by space, and nothing else; the number that went is told."""
    keeper.put(tower("one"), entries(range(5)))
    keeper.put(tower("two"), entries("xy"))
    assert keeper.prune(Pruning(model="acme/nobody")) == 0
    assert keeper.prune(Pruning(model="acme/one")) == 5
    assert keeper.get([key(0), key("x")])[1] is not None
    assert keeper.prune(Pruning(model=tower("two").space)) == 2
    assert keeper.stats().entries == 0


def test_pruning_by_age_counts_from_the_last_use(keeper: Keeper, clock: Clock) -> None:
    """What was used lately stays, however long ago it was put."""
    keeper.put(tower(), entries("ab"))
    clock.now += 30 * DAY_S
    assert keeper.get([key("a")])[0] is not None
    clock.now += 1 * DAY_S
    assert keeper.prune(Pruning(unused_s=7 * DAY_S)) == 1
    a, b = keeper.get([key("a"), key("b")])
    assert (a is None, b is None) == (False, True)


def test_pruning_by_size_takes_what_was_used_least_recently(keeper: Keeper, clock: Clock) -> None:
    """The latest stay, as many as there is room for."""
    for number in range(10):
        keeper.put(tower(), entries([number]))
        clock.now += DAY_S
    assert keeper.prune(Pruning(max_bytes=4 * (DIM * 4 + 200))) in {5, 6}
    found = keeper.get([key(n) for n in range(10)])
    gone = [entry is None for entry in found]
    assert gone == sorted(gone, reverse=True)
    assert keeper.clear() == 10 - sum(gone)


def test_a_walk_meets_every_entry_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its tower, in pages, to the bit."""
    for module in ("sqlite", "postgres"):
        monkeypatch.setattr(f"lookalike.cache.{module}.PAGE", 7)
    one, two = entries(range(20)), entries("abc", dim=5)
    keeper.put(tower("one"), one)
    keeper.put(tower("two", 5), two)
    met: list[tuple[TowerName, bytes]] = []
    for name, page in keeper.walk():
        assert all(same(entry, (one | two)[k]) for k, entry in page.items())
        met += [(name, k) for k in page]
    assert len(met) == 23
    assert {k for name, k in met if name == tower("two", 5)} == set(two)


@pytest.mark.parametrize("make", [lambda size: MemoryCache(max_bytes=size)])
def test_memory_lets_the_least_recently_used_go(make: Callable[[int], MemoryCache]) -> None:
    """Bounded by bytes; what was got lately outlives what was put later."""
    size = DIM * 4 + 500
    cache = make(3 * size)
    for name in "abc":
        cache.put(tower(), entries([name]))
    cache.get([key("a")])
    cache.put(tower(), entries("d"))
    assert [entry is None for entry in cache.get([key(n) for n in "abcd"])] == [False, True, False, False]
    cache.put(tower(), entries(range(50)))
    assert (len(cache), cache.n_bytes) == (3, 3 * size)
