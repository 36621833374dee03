"""The embedded store and its in-memory twin agree after any sequence of operations."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lookalike.spaces import Space
from lookalike.store.embedded import create, open_store
from lookalike.store.memory import MemoryStore
from lookalike.types import Filter, Item, Rows
from lookalike.vectors import normalise

DIM = 4
SPACE = Space(model="toy", weights="0" * 64, preprocessing="", pooling="mean", dim=DIM, modalities=("image",))

# Few values, so that they meet often: shared pictures, replaced items, tied vectors.
names = st.sampled_from(["a", "b", "é\U0001f642", "z\0"])
pictures = st.integers(0, 7)
metadata = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["1", "2"]))
filters = st.builds(lambda project, metadata: Filter(project=project, metadata=metadata), st.none() | names, metadata)
keys = st.tuples(names, names)


def content(picture: int) -> str:
    """The digest of a picture."""
    return hashlib.sha256(b"%d" % picture).hexdigest()


def vectors(pictures_: list[int]) -> Rows:
    """A picture's vector; pairs of pictures share one."""
    directions = np.random.default_rng(0).standard_normal((4, DIM))
    return normalise(directions[[picture // 2 for picture in pictures_]].reshape(-1, DIM))


class Twins(RuleBasedStateMachine):
    """Does the same to both stores."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name) / "s"
        self.memory = MemoryStore(SPACE)
        self.embedded = create(self.folder, SPACE)
        self.reader = open_store(self.folder)

    def teardown(self) -> None:
        self.reader.close()
        self.embedded.close()
        self.scratch.cleanup()

    @rule(rows=st.lists(st.tuples(keys, pictures, metadata), max_size=5), spare=st.sets(pictures, max_size=2))
    def add(self, rows: list[tuple[tuple[str, str], int, dict[str, str]]], spare: set[int]) -> None:
        """Items with their pictures, and pictures without items."""
        items = [Item(project=key[0], id=key[1], content=content(n), metadata=facts) for key, n, facts in rows]
        shown = sorted({n for _, n, _ in rows} | spare)
        for store in (self.memory, self.embedded):
            store.add(items, [content(n) for n in shown], vectors(shown))

    @rule(doomed=st.lists(keys, max_size=4))
    def delete(self, doomed: list[tuple[str, str]]) -> None:
        """Both delete as many."""
        assert self.embedded.delete(doomed) == self.memory.delete(doomed)

    @rule()
    def compact(self) -> None:
        """Both free as many."""
        assert self.embedded.compact() == self.memory.compact()

    @rule()
    def reopen(self) -> None:
        """A closed store is the same when it is opened again."""
        self.embedded.close()
        self.embedded = open_store(self.folder, write=True)

    @rule(picture=pictures, limit=st.integers(1, 20), where=filters)
    def search(self, picture: int, limit: int, where: Filter) -> None:
        """Same answers, same order, same count, from the writer and from a reader that was open all along."""
        query = vectors([picture])[0]
        expected, considered = self.memory.search(query, limit=limit, where=where)
        for store in (self.embedded, self.reader):
            answers, passed = store.search(query, limit=limit, where=where)
            assert passed == considered
            assert [answer.item for answer in answers] == [answer.item for answer in expected]
            assert [answer.similarity for answer in answers] == pytest.approx(
                [a.similarity for a in expected], abs=1e-6
            )

    @rule(where=filters)
    def walk(self, where: Filter) -> None:
        """Same items in the same order."""
        assert list(self.reader.items(where)) == list(self.memory.items(where))

    @invariant()
    def counts_agree(self) -> None:
        """Same statistics, same vectors."""
        mine, theirs = self.reader.stats(), self.memory.stats()
        assert (mine.items, mine.contents, mine.dead_slots) == (theirs.items, theirs.contents, theirs.dead_slots)
        assert dict(mine.projects) == dict(theirs.projects)
        everything = [content(n) for n in range(8)]
        np.testing.assert_allclose(self.reader.vectors(everything)[0], self.memory.vectors(everything)[0])


TestTwins = pytest.mark.filterwarnings("error")(Twins.TestCase)
TestTwins.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
