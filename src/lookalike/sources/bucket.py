"""Objects of buckets: Amazon S3 and what speaks as it does (Supabase Storage, MinIO, R2), Google Cloud, Azure."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from lookalike.errors import ImageError, InputError, MissingDependency, TooLarge, Unavailable
from lookalike.sources.bucket_faults import UNASKABLE, translated
from lookalike.sources.objects import SCHEMES, BucketSettings, ObjectName
from lookalike.types import SourceObject

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

CONNECT_TIMEOUT_S = 5.0
BACKOFF_S = 0.2
"""Before a request is sent again, the first time; later twice as long each time, with jitter."""

CHUNK_BYTES = 1 << 20
PAGE_OBJECTS = 1000
"""What S3 tells at a time."""


class BucketClient:
    """Reads, lists and writes objects by uri. Threads may share one; nothing is opened before it is needed.

    What every method may raise:
        InputError: It is no uri of a bucket, or a name that cannot be asked for; as ImageError, it is not there.
        ProviderError: The bucket does not exist, refused, failed, or was too slow.
        ConfigError: There are no credentials for it.
        MissingDependency: obstore is not installed.
    """

    def __init__(self, settings: BucketSettings) -> None:
        self._settings = settings
        self._stores: dict[tuple[str, str], ObjectStore] = {}
        self._lock = threading.Lock()

    def read(self, uri: str, *, max_bytes: int) -> bytes:
        """The whole object. TooLarge, before it is read, if that has more bytes."""
        name = _named(uri)
        with self._opened(name, "read") as store:
            found = store.get(name.key)
            n_bytes = found.meta["size"]
            if n_bytes > max_bytes:
                raise TooLarge(
                    f"has {n_bytes:,} bytes; {max_bytes:,} are allowed.", item=uri, actual=n_bytes, limit=max_bytes
                )
            data = b"".join(found.stream(CHUNK_BYTES))
        if len(data) != n_bytes:
            raise Unavailable(f"{name} cannot be read: its bucket broke off: try again later.", provider=name.place)
        return data

    def write(self, uri: str, data: bytes, *, media_type: str) -> None:
        """Put an object in place, whole or not at all; one of that name is replaced."""
        name = _named(uri)
        with self._opened(name, "written") as store:
            store.put(name.key, data, attributes={"Content-Type": media_type}, use_multipart=False)

    def look(self, uri: str) -> SourceObject | None:
        """What a listing would say of one object; None if it is not there."""
        name = _named(uri)
        try:
            with self._opened(name, "read") as store:
                return _listed(name, store.head(name.key))
        except ImageError:
            return None

    def under(self, uri: str) -> Iterator[Sequence[SourceObject]]:
        """The objects below a prefix that ends in a slash, or of a whole bucket, by key, a page at a time."""
        name = _named(uri)
        with self._opened(name, "listed") as store:
            for page in store.list(name.key or None, chunk_size=PAGE_OBJECTS):
                yield [_listed(name, found) for found in page]

    @contextmanager
    def _opened(self, name: ObjectName, doing: str) -> Iterator[ObjectStore]:
        store = self._store(name)
        from obstore.exceptions import BaseError

        try:
            yield store
        except InputError:
            raise  # ours; it is a ValueError as well
        except (BaseError, OSError, ValueError) as error:
            # Not `from error`: its text may have an address with a signature in it.
            raise translated(error, name, doing=doing) from None

    def _store(self, name: ObjectName) -> ObjectStore:
        place = (name.scheme, name.bucket)
        with self._lock:
            if place not in self._stores:
                self._stores[place] = self._open(name)
            return self._stores[place]

    def _open(self, name: ObjectName) -> ObjectStore:
        try:
            from obstore import exceptions, store
        except ImportError as error:
            raise MissingDependency("obstore", extra="buckets") from error
        kinds: dict[str, Any] = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
        told = {key: value.reveal() for key, value in self._settings.options.get(name.scheme, {}).items()}
        timeout = timedelta(seconds=self._settings.timeout_s)
        client = {
            "allow_http": any(value.startswith("http://") for value in told.values()),  # an address that somebody set
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
            "timeout": timeout,
        }
        retry = {
            "max_retries": self._settings.max_retries,
            "retry_timeout": timeout,
            "backoff": {"init_backoff": timedelta(seconds=BACKOFF_S), "max_backoff": timeout, "base": 2},
        }
        try:
            opened = kinds[name.scheme](name.bucket, config=told, client_options=client, retry_config=retry)
        except (exceptions.BaseError, ValueError) as error:
            raise translated(error, name, doing="opened") from None
        return cast("ObjectStore", opened)


def _named(uri: str) -> ObjectName:
    name = ObjectName.of(uri)
    if name is None:
        raise InputError(f"is no object of a bucket ({', '.join(f'{scheme}://' for scheme in SCHEMES)}).", item=uri)
    if name.key.startswith("/"):  # the library would leave it out, and ask for another object
        raise InputError(UNASKABLE, item=uri)
    return name


def _listed(name: ObjectName, found: ObjectMeta) -> SourceObject:
    changes = (found["e_tag"] or found["last_modified"].isoformat()).strip('"')
    return SourceObject(uri=f"{name.place}/{found['path']}", stamp=f"{found['size']}-{changes}", n_bytes=found["size"])
