"""A cache around whatever embeds: what is known is not computed again, and nothing is computed twice at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lookalike.cached import CacheEntry, TowerName
from lookalike.calls import Inputs, Payload, moved
from lookalike.errors import InputError
from lookalike.files import picture_bytes
from lookalike.flights import Flight, Flights, awaited
from lookalike.policy import ImagePolicy
from lookalike.ports import Meter, VectorCache, Vectorizer
from lookalike.spaces import Modality, Tower
from lookalike.types import Vectors
from lookalike.usage import Usage

CHUNK = 4096
"""Inputs that are looked up together; more than the largest request of any provider."""

CHUNK_BYTES = 64 << 20
"""Pictures' bytes that are held at a time: what was hashed must be what is embedded, so a file is read once."""


def key_of(fingerprint: str, modality: Modality, payload: bytes | str) -> bytes:
    """What a vector is kept under: sha256 (32 bytes) of the tower's fingerprint, the modality and the content."""
    content = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(f"{fingerprint}\0{modality}\0".encode())
    digest.update(content)
    return digest.digest()


class CachedVectorizer:
    """ports.Vectorizer that looks up first, and sends only what is missing to the one that it surrounds.

    Safe to use from several threads at once. Vectors of a part are kept before the part is yielded, failures never.

    Args:
        inner: What computes. Vectors that another tower than its own made are handed on and not kept.
        cache: Where vectors are kept.
        meter: Counts what was saved; None if nobody does.
    """

    def __init__(self, inner: Vectorizer, cache: VectorCache, *, meter: Meter | None = None) -> None:
        self._inner = inner
        self._cache = cache
        self._meter = meter
        self._flights: Flights[CacheEntry] = Flights()

    @property
    def tower(self) -> Tower:
        """The recipe of the vectors."""
        return self._inner.tower

    @property
    def policy(self) -> ImagePolicy:
        """What the image door lets through."""
        return self._inner.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        """Vectors in parts: first what is known, then each part of what is computed; see ports.Vectorizer."""
        tower = self._inner.tower
        for chunk in _chunks(inputs, tower, self._inner.policy):
            yield from self._embed(chunk, until)

    def _embed(self, chunk: _Chunk, until: float) -> Iterator[Vectors]:
        landings = self._flights.landings
        found = self._look_up(chunk, chunk.places)
        yield from self._answers(chunk, chunk.everywhere(found))
        claim = self._flights.claim(key for key in chunk.places if key not in found)
        own = dict(claim.own)
        try:
            if own and claim.landings != landings:  # another thread may have kept some of them since
                late = self._look_up(chunk, own)
                for key, entry in late.items():
                    self._flights.land(key, own.pop(key), entry)
                yield from self._answers(chunk, chunk.everywhere(late))
            yield from self._compute(chunk, [*chunk.first_places(own), *chunk.unkeyed], own, until)
        finally:
            self._flights.release(own)
        # Only now: a thread that waits while others wait for it might wait for ever.
        shared = awaited(claim.others, until=until)
        yield from self._answers(chunk, chunk.everywhere(shared))
        failed = [key for key in claim.others if key not in shared]
        yield from self._compute(chunk, chunk.first_places(failed), {}, until)

    def _look_up(self, chunk: _Chunk, keys: Iterable[bytes]) -> dict[bytes, CacheEntry]:
        wanted = list(keys)
        found = zip(wanted, self._cache.get(wanted), strict=True)
        return {key: entry for key, entry in found if entry is not None and len(entry.vector) == chunk.tower_name.dim}

    def _answers(
        self, chunk: _Chunk, found: Mapping[int, CacheEntry], *, tower: Tower | None = None
    ) -> Iterator[Vectors]:
        """Known vectors, by their places in the chunk: a part, if there are any."""
        if found:
            part = _answer(chunk, found, tower or chunk.tower)
            self._cache.count(hits=part.usage.cached, saved_usd=part.usage.saved_usd)
            if self._meter is not None:
                self._meter.record(part.usage)
            yield part

    def _compute(
        self, chunk: _Chunk, places: Sequence[int], own: Mapping[bytes, Flight[CacheEntry]], until: float
    ) -> Iterator[Vectors]:
        """Send these places' inputs to the inner one; keep, land and hand on each part as it comes."""
        if not places:
            return
        places = sorted(places)
        self._cache.count(misses=sum(chunk.keys[place] is not None for place in places))
        for computed in self._inner.embed(chunk.inputs.at(places), until=until):
            part = moved(computed, places)
            entries = _entries(chunk, part)
            if part.tower.fingerprint == chunk.tower_name.fingerprint:
                self._keep(chunk, entries, own)
            yield moved(_with_failures_of_twins(chunk, part), chunk.positions)
            twins = chunk.everywhere(entries, but=part.positions.tolist())
            yield from self._answers(chunk, twins, tower=part.tower)

    def _keep(
        self, chunk: _Chunk, entries: Mapping[bytes, CacheEntry], own: Mapping[bytes, Flight[CacheEntry]]
    ) -> None:
        if entries:
            self._cache.put(chunk.tower_name, entries)
        for key, entry in entries.items():
            if key in own:
                self._flights.land(key, own[key], entry)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some of a call's inputs, read and hashed.

    Attributes:
        inputs: Pictures as bytes where they could be read, else as they came: the inner one says what is wrong.
        positions: Their places in the caller's sequence.
        keys: Of each its key; None for what cannot be hashed.
        tower: Who will compute what is missing.
        tower_name: The same by name.
        places: Where in `inputs` each key is, the first place first.
    """

    inputs: Inputs
    positions: range
    keys: Sequence[bytes | None]
    tower: Tower
    tower_name: TowerName
    places: dict[bytes, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for place, key in enumerate(self.keys):
            if key is not None:
                self.places.setdefault(key, []).append(place)

    @property
    def unkeyed(self) -> list[int]:
        """The places of what cannot be hashed."""
        return [place for place, key in enumerate(self.keys) if key is None]

    def everywhere(self, found: Mapping[bytes, CacheEntry], *, but: Sequence[int] = ()) -> dict[int, CacheEntry]:
        """Entries by all places that they belong to, but for these."""
        done = set(but)
        return {place: entry for key, entry in found.items() for place in self.places[key] if place not in done}

    def first_places(self, keys: Iterable[bytes]) -> list[int]:
        """One place for each key."""
        return [self.places[key][0] for key in keys]


def _chunks(inputs: Inputs, tower: Tower, policy: ImagePolicy) -> Iterator[_Chunk]:
    """The inputs in order, so many at a time that their bytes may be held."""
    name = TowerName.of(tower)
    payloads: list[Payload] = []
    n_bytes = first = 0
    for position, payload in enumerate(inputs.payloads):
        payloads.append(_read(payload, inputs.modality, policy))
        n_bytes += len(payloads[-1]) if isinstance(payloads[-1], bytes) else 0
        if len(payloads) == CHUNK or n_bytes >= CHUNK_BYTES or position == len(inputs) - 1:
            positions = range(first, position + 1)
            read = replace(inputs, payloads=payloads, names=[inputs.names[p] for p in positions])
            yield _Chunk(read, positions, _keys(payloads, inputs.modality, name.fingerprint), tower, name)
            payloads, n_bytes, first = [], 0, position + 1


def _read(payload: Payload, modality: Modality, policy: ImagePolicy) -> Payload:
    if modality == "text":
        return payload
    try:
        return picture_bytes(payload, policy)
    except InputError:  # the inner one will say so, in its turn
        return payload


def _keys(payloads: Sequence[Payload], modality: Modality, fingerprint: str) -> list[bytes | None]:
    kind = bytes if modality == "image" else str
    return [key_of(fingerprint, modality, payload) if isinstance(payload, kind) else None for payload in payloads]


def _answer(chunk: _Chunk, found: Mapping[int, CacheEntry], tower: Tower) -> Vectors:
    """Kept vectors as a part: by their places in the chunk, as the caller counts."""
    places = sorted(found)
    entries = [found[place] for place in places]
    names = chunk.inputs.names
    return Vectors(
        np.stack([entry.vector for entry in entries]),
        tower,
        np.array([chunk.positions[place] for place in places], np.int64),
        warnings=tuple(f"{names[place]}: {found[place].warning}" for place in places if found[place].warning),
        n_tokens=np.array([entry.n_tokens for entry in entries], np.int64),
        usage=Usage(cached=len(entries), saved_usd=sum(entry.cost_usd for entry in entries)),
    )


def _entries(chunk: _Chunk, part: Vectors) -> dict[bytes, CacheEntry]:
    """What can be kept of a computed part, whose positions are places of the chunk."""
    places: list[int] = part.positions.tolist()
    warnings = _warnings_by_name(part.warnings, [chunk.inputs.names[place] for place in places])
    # By tokens, where they are known: a page costs more than a word.
    shares = part.n_tokens / part.n_tokens.sum() if part.n_tokens.any() else np.full(len(part), 1 / max(1, len(part)))
    entries = {}
    for place, vector, n_tokens, share in zip(places, part.values, part.n_tokens, shares, strict=True):
        key = chunk.keys[place]
        if key is not None:
            entries[key] = CacheEntry(
                vector=vector,
                n_tokens=int(n_tokens),
                cost_usd=part.usage.cost_usd * float(share),
                warning=warnings.get(chunk.inputs.names[place], ""),
            )
    return entries


def _warnings_by_name(warnings: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The sentences about single inputs, without the names that they begin with."""
    found: dict[str, str] = {}
    for warning in warnings:
        name = max((name for name in names if warning.startswith(f"{name}: ")), key=len, default=None)
        if name is not None:
            found[name] = " ".join(filter(None, [found.get(name), warning[len(name) + 2 :]]))
    return found


def _with_failures_of_twins(chunk: _Chunk, part: Vectors) -> Vectors:
    """A part in which the equals of an input that failed have failed too, each under its own name."""
    keyed = [(failure, key) for failure in part.failures if (key := chunk.keys[failure.position]) is not None]
    twins = [
        replace(failure, position=place, item=chunk.inputs.names[place])
        for failure, key in keyed
        for place in chunk.places[key][1:]
    ]
    return replace(part, failures=(*part.failures, *twins))
