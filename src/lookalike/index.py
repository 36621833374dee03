"""Pictures that can be found: a store on disk, and the model that its vectors come from.

What a search does not need is imported by the method that does: `import lookalike` stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike import app
from lookalike.bank import caption_bank, concept_bank
from lookalike.config import Config
from lookalike.embed import ImageInput
from lookalike.errors import InputError
from lookalike.explain import Explainer, Explanation, asked_of
from lookalike.places import Place, place_of
from lookalike.ports import Source
from lookalike.query import Part, Query, QueryEmbedder, QueryMaker, require_item
from lookalike.search import Searcher
from lookalike.spaces import Space
from lookalike.types import Filter, Hits, Item, LedgerEntry, Outcome, StoreStats

if TYPE_CHECKING:
    from lookalike.duplicates import DuplicateGroup
    from lookalike.importing import ImportReport, Terms
    from lookalike.ingest import Target
    from lookalike.progress import Progress, Report
    from lookalike.store.attached.store import AttachedStore
    from lookalike.store.embedded import EmbeddedStore
    from lookalike.store.memory import MemoryStore
    from lookalike.store.postgres.store import PostgresStore
    from lookalike.survey import Survey
    from lookalike.tables import Pictures, VectorTable


class Index:
    """Pictures that can be found: a store on disk, and the model that its vectors come from.

    Open one with `Index.open` or `Index.create`; close it, or use it in a `with` statement.
    """

    def __init__(
        self,
        store: EmbeddedStore | MemoryStore | PostgresStore | AttachedStore,
        config: Config,
        embedder: QueryEmbedder | None = None,
    ) -> None:
        self._store = store
        self._config = config
        self._lent = embedder

    @classmethod
    def open(
        cls,
        path: str | Place | None = None,
        *,
        write: bool = False,
        config: Config | None = None,
        embedder: QueryEmbedder | None = None,
    ) -> Index:
        """Open an index that exists.

        Args:
            path: Its folder, or the address of its database; the configuration's if left out.
            write: Whether items will be added or removed; in a folder one process at a time can.
            config: Settings; from the environment if left out.
            embedder: What queries are embedded with, instead of a model that the index opens itself.

        Raises:
            StoreError: There is none at that place, it is damaged, newer, or being written by another process.
        """
        config = config or Config.from_environ()
        store = app.open_store(place_of(path or config.index), write=write, mirror=config.mirror and not write)
        return cls(store, config, embedder)

    @classmethod
    def create(cls, path: str | Place | None = None, *, config: Config | None = None) -> Index:
        """Make an empty index for the vectors of the configuration's model, open for writing.

        Raises:
            StoreError: There is one at that place, or the folder cannot be written.
            ModelError: The model cannot be used, or embeds no pictures.
        """
        config, embedder = app.open_for_new(config)
        return cls(app.create_store(place_of(path or config.index), embedder.space), config, embedder)

    @classmethod
    def in_memory(cls, *, config: Config | None = None) -> Index:
        """An empty index that is gone when it is closed: for trying out, and for tests."""
        config, embedder = app.open_for_new(config)
        return cls(app.memory_store(embedder.space), config, embedder)

    @property
    def space(self) -> Space:
        """The space that every vector of the index belongs to."""
        return self._store.space

    @property
    def model(self) -> str:
        """The model to open: the configuration's, or for "auto" the one that made the index."""
        return self.space.model if self._config.model == "auto" else self._config.model

    @cached_property
    def embedder(self) -> QueryEmbedder:
        """What made the index's vectors: the embedder handed in, else the model, opened when it is first needed.

        A model of another space may stand in for it by a proof of parity.

        Raises:
            SpaceMismatch: It is of another space, or the configuration asks for such a model, and there is no proof.
        """
        embedder = self._lent or app.Embedder.open(config=self.model_config, space=self.space)
        self._require(embedder.tower.space)
        return embedder

    @cached_property
    def _bulk_embedder(self) -> app.Embedder:
        """The same model with one core per call: ingest calls it from as many threads as there are cores."""
        embedder = app.Embedder.open(config=self.model_config, space=self.space, threads=1)
        embedder.tower.require_parity()
        return embedder

    @property
    def model_config(self) -> Config:
        """The configuration to open the model with: the index's own model and orientation unless others are asked for.

        What it opens may still be of another space; `embedder` is not.
        """
        asked = self._config.orientation
        orientation = asked if asked == "ignore" else self.space.orientation
        return replace(self._config, model=self.model, orientation=orientation)

    def _require(self, theirs: Space) -> None:
        if self.space.key != theirs.key:
            from lookalike.parity import mismatch

            raise mismatch(self.space, theirs)

    def search(
        self,
        *,
        text: str | None = None,
        image: ImageInput | None = None,
        item: str | None = None,
        project: str | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int = 10,
        min_confidence: float = 0.0,
    ) -> Hits:
        """Find pictures by exactly one of: words, an example, an item of the index.

        Args:
            text: Words, as a caption would say them.
            image: A picture's bytes or path.
            item: The id of an item; in `project`, or in the configuration's project.
            project: Only items of this project.
            metadata: Only items with all of these values.
            limit: At most so many hits.
            min_confidence: Leave out hits that are less sure, 0 to 1; 0.5 is where "related" begins.

        Returns:
            Hits, best first; none if nothing matches.
        """
        query = self.query([Part(text=text, image=image, item=item)], project=project)
        where = Filter(project=project, metadata=metadata or {})
        return self.find(query, limit=limit, where=where, min_confidence=min_confidence)

    def query(self, parts: Sequence[Part], *, project: str | None = None) -> Query:
        """One query of several parts: words, pictures, items and vectors, each with a weight, plus or minus.

        Args:
            parts: At least one; `[Part(image="dress.jpg"), Part(text="stripes", weight=-2)]`.
            project: The project of items; the configuration's if left out.

        Raises:
            InputError: A part cannot be used, or they cancel each other out.
            ItemNotFound: There is no such item.
        """
        return QueryMaker(self._store, lambda: self.embedder, project or self._config.project).query(parts)

    def find(self, query: Query, *, limit: int = 10, where: Filter | None = None, min_confidence: float = 0.0) -> Hits:
        """Find pictures by a query made before; see `search` for the rest. Items of the query are not in the answer.

        Raises:
            SpaceMismatch: The query is of another space.
        """
        return self._searcher.search(query, limit=limit, where=where, min_confidence=min_confidence)

    def explain(self, item_id: str, parts: Sequence[Part] = (), *, project: str | None = None) -> Explanation:
        """Why an item matches a query of these parts; with none, only what it is near to. See `lookalike.explain`."""
        maker = QueryMaker(self._store, lambda: self.embedder, project or self._config.project)
        return self.explainer.explain(self.item(item_id, project=project), asked_of(parts, maker))

    @cached_property
    def explainer(self) -> Explainer:
        """What explains, to whoever makes vectors elsewhere."""
        return Explainer(
            self._store, self._searcher, lambda: concept_bank(self.embedder, self._config.cache_dir / "banks")
        )

    def ingest(
        self,
        sources: Sequence[Source | str | Path],
        *,
        project: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Report:
        """Bring the index up to date with folders, files, buckets or other sources; safe to interrupt and run again."""
        from lookalike.ingest import Ingest, compact_if_due
        from lookalike.transfer import open_sources

        opened = open_sources(sources, self._config)
        report = Ingest(self._target(project)).run(opened, on_progress=on_progress)
        compact_if_due(self._store)
        return report

    def import_vectors(self, table: VectorTable, pictures: Pictures, terms: Terms) -> ImportReport:
        """Take in vectors that were made elsewhere; see `importing.take_in`, and `transfer` for tables and pictures."""
        from lookalike.importing import Destination, take_in

        if terms.unchecked and terms.before is None and self._config.model != "auto":
            self._require(self.embedder.tower.space)  # the model that made them is stated
        embedder = None if terms.unchecked or terms.before else self._bulk_embedder
        project = terms.project or self._config.project
        to = Destination(store=self._store, ledger=self._store.ledger, pictures=pictures, project=project)
        return take_in(table, to, embedder, terms)

    def survey(
        self,
        sources: Sequence[Source | str | Path],
        *,
        project: str | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Survey:
        """What `ingest` would do, and how long it would take, without doing it.

        A hosted model is asked for nothing, as that would cost money: how long it would take is not known then.
        """
        from lookalike.survey import survey
        from lookalike.transfer import open_sources

        is_timed, opened = not app.is_hosted(self.model), open_sources(sources, self._config)
        return survey(opened, self._target(project), is_timed=is_timed, on_progress=on_progress)

    def duplicates(
        self,
        *,
        project: str | None = None,
        min_similarity: float | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> Iterator[DuplicateGroup]:
        """Groups of items that show one picture; see `lookalike.duplicates.find_duplicates`."""
        from lookalike.duplicates import find_duplicates

        return find_duplicates(
            self._store, where=Filter(project=project), min_similarity=min_similarity, on_progress=on_progress
        )

    def failures(self) -> Iterator[LedgerEntry]:
        """Every object that could not be indexed, with the reason, by project and place."""
        return (entry for entry in self._store.ledger.under(None, "") if entry.outcome is Outcome.FAILED)

    def items(self, *, project: str | None = None, after: tuple[str, str] | None = None) -> Iterator[Item]:
        """Every item, by project and id; those behind this (project, id), if it is given."""
        return self._store.items(Filter(project=project), after=after)

    def newest(self, where: Filter, *, limit: int, after: str = "") -> tuple[list[Item], str]:
        """Items that pass, what came last first; see `ports.Catalogue.newest`."""
        return self._store.newest(where, limit=limit, after=after)

    def item(self, item_id: str, *, project: str | None = None) -> Item:
        """One item, of this project; the configuration's if left out.

        Raises:
            ItemNotFound: There is none.
        """
        return require_item(self._store, project or self._config.project, item_id)

    def delete(self, ids: Sequence[str], *, project: str | None = None) -> int:
        """Remove items; the number that there were. Where a source still has one, the next ingest brings it back."""
        _require_several(ids, "ids")
        return self._delete(project or self._config.project, ids)

    def forget(self, places: Sequence[str], *, project: str | None = None) -> int:
        """Remove the items at these places, whatever has become of their files; the number that there were.

        Args:
            places: The uri or id of an item; or, ending in "/", of a folder with everything below it.
            project: Of this project; the configuration's if left out.
        """
        _require_several(places, "places")
        project = project or self._config.project
        folders = tuple(place for place in places if place.endswith("/"))
        below = [item.id for item in self.items(project=project) if folders and item.uri.startswith(folders)]
        # What failed there is not an item, and must not be listed for ever; an item of a table lies elsewhere.
        entries = [entry for folder in folders for entry in self._store.ledger.under(project, folder)]
        ids = [*below, *(entry.item_id for entry in entries), *(place for place in places if place not in folders)]
        n_deleted = self._delete(project, list(dict.fromkeys(ids)))
        self._store.ledger.forget(project, [*(entry.uri for entry in entries), *places])
        return n_deleted

    def compact(self) -> int:
        """Give back the space of vectors that no item uses any more; the number freed."""
        return self._store.compact()

    def stats(self) -> StoreStats:
        """What the index holds."""
        return self._store.stats()

    def close(self) -> None:
        """Let go of the files; a writer makes room for the next."""
        self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _target(self, project: str | None) -> Target:
        from lookalike.ingest import Target

        return Target(
            store=self._store,
            ledger=self._store.ledger,
            embedder=self._bulk_embedder,
            project=project or self._config.project,
            threads=app.bulk_threads(self._config, self.model),
        )

    def _delete(self, project: str, ids: Sequence[str]) -> int:
        keys = [(project, item_id) for item_id in ids]
        uris = [item.uri for item in self._store.get(keys) if item is not None]
        # First the ledger: killed in between, the next ingest looks at these objects again.
        self._store.ledger.forget(project, uris)
        return self._store.delete(keys)

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher(self._store, lambda: caption_bank(self.embedder, self._config.cache_dir / "banks"))


def _require_several(values: Sequence[str], name: str) -> None:
    if isinstance(values, str):
        raise InputError(f"{name} is one text, {values!r}: hand in a list of them.")
