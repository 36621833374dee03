"""The seams: what the pipeline asks of the adapters. At most four methods each; tests/contract proves them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

from lookalike.cached import CacheEntry, CacheStats, Pruning, TowerName
from lookalike.calls import Inputs
from lookalike.health import ServiceStatus
from lookalike.policy import ImagePolicy
from lookalike.spaces import Modality, Space, Tower
from lookalike.types import (
    Embedded,
    Filter,
    Item,
    Job,
    LedgerEntry,
    Pixels,
    Rows,
    Scored,
    SourceObject,
    StoreStats,
    Tokens,
    Vectors,
)
from lookalike.usage import Usage

if TYPE_CHECKING:
    from PIL.Image import Image


class Encoder(Protocol):
    """A model: prepared pictures and texts in, unit vectors out.

    Every method may be called from several threads at once. A method that the tower's space has no modality for
    raises UnsupportedModel.
    """

    @property
    def tower(self) -> Tower:
        """The recipe; its fingerprint covers everything below."""
        ...

    def prepare_image(self, image: Image) -> Pixels:
        """An upright RGB picture of any size -> (3, height, width) float32."""
        ...

    def prepare_text(self, text: str) -> Tokens:
        """A text of any length -> its token ids, cut to what the model reads."""
        ...

    def encode_images(self, pixels: Pixels) -> Rows:
        """(n, 3, height, width) -> (n, dim) unit rows."""
        ...

    def encode_texts(self, tokens: Sequence[Tokens]) -> Rows:
        """n tokenised texts of any lengths -> (n, dim) unit rows, in the same order."""
        ...


class Vectorizer(Protocol):
    """Pictures and texts as they came in, unit vectors out: a model in this process, a provider, or several of them.

    Every method may be called from several threads at once.
    """

    @property
    def tower(self) -> Tower:
        """The recipe of the vectors; its fingerprint covers everything that can change a bit."""
        ...

    @property
    def policy(self) -> ImagePolicy:
        """What the image door lets through."""
        ...

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        """Vectors in parts, each as soon as it is there; together they say of every input what became of it.

        Args:
            inputs: n pictures or texts.
            until: When an answer is worth nothing any more, on time.monotonic(); a model in this process may ignore it.

        Yields:
            Some inputs' unit rows, with the failures among them; `positions` count in `inputs`. An input that cannot
            be used is a failure of its own, and the others go on.

        Raises:
            UnsupportedModel: The tower's space has no such modality.
            ProviderError: The provider did not do its part; the parts yielded before are good.
            BudgetExceeded: The next request would cost more than is allowed.
            DeadlineExceeded: The time was up.
        """
        ...


class VectorCache(Protocol):
    """Vectors by what they were made of; losing one costs time or money, never an answer.

    Keys are sha256 digests (32 bytes) of a tower's fingerprint, a modality and a content; see `caching.key_of`. Every
    method may be called from several threads at once. One that keeps its vectors outside of this process raises
    CacheError where it cannot be reached; behind `cache.layers.LayeredCache`, which only says so, none does.
    """

    def get(self, keys: Sequence[bytes]) -> list[CacheEntry | None]:
        """For each key in order what is kept under it, or None; a damaged entry is None too."""
        ...

    def put(self, tower: TowerName, entries: Mapping[bytes, CacheEntry]) -> None:
        """Keep vectors of this tower. Under a key that is there already, what is there stays, unless it is damaged."""
        ...

    def count(self, *, hits: int = 0, misses: int = 0, saved_usd: float = 0.0) -> None:
        """Add to the figures that it tells; they may be written later, with something else."""
        ...


class CacheKeeper(Protocol):
    """The housekeeping of a cache that outlives the process. Every method may raise CacheError."""

    def stats(self) -> CacheStats:
        """What it holds, and what it was good for."""
        ...

    def prune(self, what: Pruning) -> int:
        """Remove entries and give their room back; how many went."""
        ...

    def clear(self) -> int:
        """Remove everything, a damaged file too; how many entries went, as far as they could be counted."""
        ...

    def walk(self) -> Iterator[tuple[TowerName, dict[bytes, CacheEntry]]]:
        """Every whole entry, a few hundred at a time."""
        ...


class Meter(Protocol):
    """Counts what is used, and says when it is enough. Called from several threads, for each request from one."""

    def require(self, cost_usd: float) -> None:
        """Before a request: raise BudgetExceeded if it would cost more than is left.

        Raise ConfigError if there is a limit and the cost is infinite, which stands for one that is not known.
        """
        ...

    def record(self, usage: Usage) -> None:
        """After a request, also one that failed: what it used."""
        ...


class VectorReader(Protocol):
    """The searching half of a store."""

    @property
    def space(self) -> Space:
        """The space of every vector in it."""
        ...

    @property
    def n_items(self) -> int:
        """How many items it holds; cheap, whatever their number."""
        ...

    def search(self, query: Rows, *, limit: int, where: Filter) -> tuple[list[Scored], int]:
        """The items nearest to one query vector.

        Args:
            query: (dim,) float32 of unit length, of the store's space.
            limit: At most so many items.
            where: Which items count.

        Returns:
            Items by falling similarity, ties by (project, id); and how many items passed the filter.
        """
        ...

    def get(self, keys: Sequence[tuple[str, str]]) -> list[Item | None]:
        """The items of these (project, id) pairs, in order; None where there is none."""
        ...

    def vectors(self, contents: Sequence[str]) -> tuple[Rows, list[str]]:
        """The stored vectors of these contents: (m, dim) unit rows and the m contents that were found, in order."""
        ...

    def stats(self) -> StoreStats:
        """What the store holds."""
        ...


class VectorWriter(Protocol):
    """The writing half of a store. One writer at a time."""

    def add(self, items: Sequence[Item], contents: Sequence[str], vectors: Rows) -> None:
        """Store items, and the vectors of contents that are new. Durable, all or nothing, when it returns.

        Args:
            items: Items to insert or, where (project, id) exists, to replace. Every item's content must be stored
                already or be among `contents`, or it is VectorMissing: others may `compact` at any time.
            contents: m distinct sha256 digests; one that is stored already keeps its vector.
            vectors: (m, dim) float32 unit rows, of the store's space.
        """
        ...

    def delete(self, keys: Sequence[tuple[str, str]]) -> int:
        """Delete these (project, id) pairs; the number that existed. Vectors stay until `compact`."""
        ...

    def compact(self) -> int:
        """Give back the space of vectors that no item uses; the number freed."""
        ...


class Catalogue(Protocol):
    """A walk over everything in a store, for duplicates, statistics and backgrounds."""

    def items(self, where: Filter, *, after: tuple[str, str] | None = None) -> Iterator[Item]:
        """Every item that passes, by (project, id); those behind `after`, if that is given."""
        ...

    def newest(self, where: Filter, *, limit: int, after: str = "") -> tuple[list[Item], str]:
        """Items that pass, what came last first; a store that does not know when they came has an order of its own.

        Args:
            where: Which items count.
            limit: At most so many.
            after: What an answer before gave, for those that follow.

        Returns:
            Some items, and what to ask with for those that follow; empty if none do.

        Raises:
            InputError: `after` is not what an answer gave.
        """
        ...

    def sample(self, n: int, *, seed: int, project: str | None = None) -> tuple[list[str], Rows]:
        """At most n contents in use, drawn evenly, and their vectors; the same for the same seed and store.

        With a project only contents of its items, whatever there is beside them.
        """
        ...


class Ledger(Protocol):
    """What became of each source object, so that the next run goes on instead of starting over."""

    def known(self, project: str, uris: Sequence[str]) -> Mapping[str, LedgerEntry]:
        """The entries of these objects, by uri."""
        ...

    def under(self, project: str | None, prefix: str) -> Iterator[LedgerEntry]:
        """Every entry whose uri starts with `prefix`, by uri; of all projects if `project` is None."""
        ...

    def record(self, entries: Iterable[LedgerEntry]) -> None:
        """Insert or replace entries by (project, uri). Durable when it returns."""
        ...

    def forget(self, project: str, uris: Sequence[str]) -> None:
        """Drop these entries."""
        ...


class Source(Protocol):
    """A place that pictures come from."""

    @property
    def prefix(self) -> str:
        """What the uri of every object of this source starts with, and of no other's."""
        ...

    @property
    def names_projects(self) -> bool:
        """Whether its objects say what project they belong to; they belong to that of the run otherwise."""
        ...

    @property
    def names_items(self) -> bool:
        """Whether its objects say what items they are, and where those lie; they lie at the object's uri otherwise."""
        ...

    def objects(self) -> Iterator[SourceObject]:
        """Everything in it that may be a picture, in a stable order."""
        ...

    def unsure(self) -> Sequence[str]:
        """Prefixes that the last listing cannot vouch for: what could not be listed, or looks like a missing drive."""
        ...

    def has(self, entry: LedgerEntry) -> bool:
        """Whether the object of an entry is there now, listed or not; True if unsure. Errors are those of listing."""
        ...

    def read(self, obj: SourceObject, *, max_bytes: int) -> bytes:
        """Its bytes. InputError if it cannot be read, TooLarge if it is over `max_bytes`.

        ProviderError ends the run: whoever holds the objects does not do its part at all.
        """
        ...


class EmbeddingService(Protocol):
    """Vectors for many callers at once, each within its deadline, whatever the others hand in."""

    def submit(self, jobs: Sequence[Job]) -> list[Future[Embedded]]:
        """Queue jobs; one future for each, in order. Returns at once.

        A future ends by the job's deadline plus a second, with a vector or with an error of lookalike. Cancelling it
        takes the job out of the queue, unless somebody else waits for the same input.

        Raises:
            NotReady: No worker has a model.
            Overloaded: The queue has no room for all of them; none was queued.
        """
        ...

    def status(self) -> ServiceStatus:
        """Whether it can answer, and how its workers are; cheap."""
        ...

    def close(self, *, drain_s: float) -> None:
        """Take no more jobs, finish what was accepted for at most so many seconds, then end the workers."""
        ...


class Recorder(Protocol):
    """Where the service's figures go. Called from several threads."""

    def observe(self, stage: str, seconds: float, *, modality: Modality | None = None) -> None:
        """A stage took so long: "queue" for one job, "decode" and "inference" for one batch, all of this modality.

        "search" has none: a search is by a vector, whatever that was made of.
        """
        ...

    def count(self, event: str, n: int = 1) -> None:
        """Something happened n times.

        Of workers: "restart", and why: "crash", "stall" or "canary"; "recycled" for too much memory. Of inputs:
        "harmful", "batch_image" and "batch_text", "item_image" and "item_text" (the jobs in those batches). Of a chain:
        "failover" when a member stops answering, "failback" when it answers again, "mismatch" when one is taken out
        because its vectors are of another space; "standby", a job that was done in the workers' place.
        """
        ...
