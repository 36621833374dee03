"""Pictures in a bucket, or below a prefix of its keys, which is its word for a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lookalike.errors import ImageError, InputError, ProviderError, Refused
from lookalike.sources.bucket import BucketClient
from lookalike.sources.folder import PICTURE_SUFFIXES
from lookalike.sources.patience import Patience
from lookalike.types import LedgerEntry, SourceObject


class BucketSource:
    """Every picture below a prefix ("s3://photos/2026/"), or one object ("s3://photos/2026/a.jpg").

    As with folders, what is hidden is left out (a part of its key begins with a dot), and objects whose key does not
    promise a picture are only counted. An object's stamp is its size and its ETag, so a listing is all that it takes
    to see what has changed.

    Attributes:
        n_other: How many objects the last listing passed over because their key promises no picture.
    """

    def __init__(self, uri: str, buckets: BucketClient) -> None:
        """Look at one place.

        Raises:
            InputError: Nothing is there.
            ProviderError, ConfigError: The bucket is not there, cannot be reached, or refuses.
        """
        self._is_single = uri.lower().endswith(PICTURE_SUFFIXES)
        self._uri = uri if self._is_single else f"{uri.rstrip('/')}/"
        self._buckets = buckets
        self._patience = Patience()
        self._unsure: list[str] = []
        self.n_other = 0
        if self._is_single and buckets.look(uri) is None:
            raise InputError("there is no such object; check the spelling.", item=uri)
        if not self._is_single and not any(buckets.under(self._uri)):
            raise InputError("there is nothing there; check the spelling.", item=self._uri)

    @property
    def prefix(self) -> str:
        """The prefix with a closing slash, or the uri of the one object."""
        return self._uri

    @property
    def names_projects(self) -> bool:
        """Objects belong to the project of the run."""
        return False

    @property
    def names_items(self) -> bool:
        """An item lies where its object is."""
        return False

    def objects(self) -> Iterator[SourceObject]:
        """The pictures by key; where the listing breaks off, an object with that problem."""
        self.n_other = 0
        self._unsure = []
        try:
            yield from self._single() if self._is_single else self._below()
        except (InputError, ProviderError) as error:
            self._unsure.append(self._uri)
            reason = error.reason if isinstance(error, InputError) else str(error).removeprefix(f"{self._uri} ")
            yield SourceObject(uri=self._uri, stamp="", n_bytes=0, problem=reason)

    def unsure(self) -> Sequence[str]:
        """The prefix, if the last listing broke off or showed nothing at all: what a mistaken key may see."""
        return tuple(self._unsure)

    def has(self, entry: LedgerEntry) -> bool:
        """Whether there is such an object, of whatever key; True where the bucket does not say."""
        try:
            return self._buckets.look(entry.uri) is not None
        except (InputError, Refused):
            return True

    def read(self, obj: SourceObject, *, max_bytes: int) -> bytes:
        """The whole object. ProviderError where the bucket fails with many in a row."""
        with self._patience.reading(obj.uri):
            return self._buckets.read(obj.uri, max_bytes=max_bytes)

    def _single(self) -> Iterator[SourceObject]:
        found = self._buckets.look(self._uri)
        if found is None:
            raise ImageError("is not there any more.", item=self._uri)
        yield found

    def _below(self) -> Iterator[SourceObject]:
        is_empty = True
        for page in self._buckets.under(self._uri):
            is_empty = is_empty and not page
            yield from filter(self._is_picture, page)
        if is_empty:
            self._unsure.append(self._uri)

    def _is_picture(self, obj: SourceObject) -> bool:
        key = obj.uri.removeprefix(self._uri)
        if key.startswith(".") or "/." in key:
            return False
        promises = key.lower().endswith(PICTURE_SUFFIXES)
        self.n_other += not promises
        return promises
