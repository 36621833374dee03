"""Every error that lookalike raises on purpose.

    LookalikeError
    ├── InputError                  what was handed in cannot be used (also a ValueError)
    │   ├── ImageError              not a whole, readable picture
    │   ├── UnsupportedMedia        a kind of file that is not on the allow-list
    │   ├── TooLarge                over a byte, pixel or length budget
    │   ├── HarmfulInput            it ended, or held up, the process that worked on it
    │   └── OutOfMemory             there was too little memory for it; nothing else is wrong with it
    ├── SpaceMismatch               two vector spaces would have been mixed
    ├── ModelError                  a model cannot be used
    │   ├── ModelNotFound           neither on this machine nor allowed to be fetched
    │   ├── UnsupportedModel        an architecture or option that is not built in
    │   └── CorruptModel            a file is damaged or is not the pinned one
    ├── ProviderError               a remote service did not do its part
    │   ├── RateLimited             it asked us to wait
    │   ├── Refused                 it will not serve this request, however often it is asked
    │   └── Unavailable             it could not be reached, or failed
    ├── BudgetExceeded              going on would cost more than is allowed
    ├── StoreError                  the index cannot do what was asked
    │   ├── StoreNotFound           there is no index at that place
    │   ├── StoreLocked             another process is writing
    │   ├── StoreUnavailable        its database cannot be reached now
    │   ├── StoreReadOnly           the folder cannot be written
    │   ├── StoreFull               the disk is full
    │   ├── StoreTooNew             written by a newer version
    │   ├── StoreSwitched           another of its spaces is searched by now
    │   ├── StoreCorrupt            a file of it is damaged
    │   ├── VectorMissing           the picture of an item has no vector in it
    │   ├── ItemNotFound            no such item
    │   ├── JobNotFound             no such order to index a picture
    │   └── PictureGone             its file is not what was indexed any more
    ├── CacheError                  the cache of vectors cannot do what was asked
    │   └── CacheDamaged            its file is damaged
    ├── ServiceError                the service cannot answer this now
    │   ├── NotReady                its model is not loaded, or does not answer as it should
    │   ├── Overloaded              more is waiting than can be done in time
    │   └── DeadlineExceeded        the answer would have come too late
    ├── AccessDenied                the API key is missing, unknown or not allowed to do this
    └── ConfigError                 a setting is missing or wrong
        ├── FeatureOff              what is switched off here, or not on for this project
        └── MissingDependency       an optional library is not installed

A message is a sentence that says what happened and what to do. The facts are attributes; ``retryable`` tells
whether the same call may succeed later without anybody changing anything.
"""

from __future__ import annotations

from typing import ClassVar


class LookalikeError(Exception):
    """Something in lookalike failed."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's calls the class with the message alone, which most classes here cannot be made from.
        return type(self).__new__, (type(self), *self.args), self.__dict__


class InputError(LookalikeError, ValueError):
    """The input cannot be used.

    Attributes:
        item: The name of the offending item (a path, an id, ``"images[3]"``); empty if there is only one.
        reason: The sentence without the item's name.
    """

    def __init__(self, reason: str, *, item: str = "") -> None:
        super().__init__(f"{item}: {reason}" if item else reason)
        self.item = item
        self.reason = reason


class ImageError(InputError):
    """The bytes are not a whole, readable picture."""


class UnsupportedMedia(InputError):
    """The bytes are of a kind that is not on the allow-list."""


class TooLarge(InputError):
    """The input is over a budget.

    Attributes:
        actual: What the input has, in the unit that the message names.
        limit: What is allowed, in the same unit.
    """

    def __init__(self, reason: str, *, actual: int, limit: int, item: str = "") -> None:
        super().__init__(reason, item=item)
        self.actual = actual
        self.limit = limit


class HarmfulInput(InputError):
    """The input ended, or held up, the process that worked on it."""


class OutOfMemory(InputError):
    """There was too little memory for the input; nothing else is wrong with it."""

    retryable = True


class SpaceMismatch(LookalikeError):
    """Two vector spaces would have been mixed.

    Attributes:
        expected: The id of the space that is in use.
        actual: The id of the space that was offered.
    """

    def __init__(self, message: str, *, expected: str, actual: str) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class ModelError(LookalikeError):
    """A model cannot be used.

    Attributes:
        model: Its name, as asked for.
        file: The file that is to blame; empty if none is.
    """

    def __init__(self, message: str, *, model: str = "", file: str = "") -> None:
        super().__init__(message)
        self.model = model
        self.file = file


class ModelNotFound(ModelError):
    """The model is neither on this machine nor allowed to be fetched."""


class UnsupportedModel(ModelError):
    """The model has an architecture or an option that is not built in."""


class CorruptModel(ModelError):
    """A file of the model is damaged, or is not the pinned one."""


class ProviderError(LookalikeError):
    """A remote service did not do its part.

    Attributes:
        provider: Who: a host or a provider's name.
        status: The HTTP status, or None if there was no answer.
    """

    def __init__(self, message: str, *, provider: str, status: int | None = None) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status


class RateLimited(ProviderError):
    """The service asked us to wait.

    Attributes:
        retry_after_s: How long it asked for, in seconds; None if it did not say.
    """

    retryable = True

    def __init__(
        self, message: str, *, provider: str, status: int | None = 429, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, provider=provider, status=status)
        self.retry_after_s = retry_after_s


class Refused(ProviderError):
    """The service will not serve this request, however often it is asked."""


class Unavailable(ProviderError):
    """The service could not be reached, or failed."""

    retryable = True


class BudgetExceeded(LookalikeError):
    """Going on would cost more than is allowed.

    Attributes:
        limit_usd: What may be spent, in US dollars.
        spent_usd: What has been spent so far.
    """

    def __init__(self, message: str, *, limit_usd: float, spent_usd: float) -> None:
        super().__init__(message)
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd


class StoreError(LookalikeError):
    """The index, which is at `store`, cannot do what was asked."""

    def __init__(self, message: str, *, store: str = "") -> None:
        super().__init__(message)
        self.store = store


class StoreNotFound(StoreError):
    """There is no index at that place."""


class StoreLocked(StoreError):
    """Another process is writing to this index."""

    retryable = True


class StoreUnavailable(StoreError):
    """The database of the index cannot be reached now, or has no room for another connection."""

    retryable = True


class StoreReadOnly(StoreError):
    """The index cannot be written: its folder is read-only for this user."""


class StoreFull(StoreError):
    """The disk is full."""


class StoreTooNew(StoreError):
    """The index was written by a newer version of lookalike."""


class StoreSwitched(StoreError):
    """Another space of the index is searched by now than when it was opened."""

    retryable = True


class StoreCorrupt(StoreError):
    """A file of the index is damaged."""


class VectorMissing(StoreError):
    """The picture of an item has no vector in this index; one that no item used may have been given back meanwhile."""

    retryable = True


class ItemNotFound(StoreError, KeyError):
    """There is no such item in this index."""

    __str__ = Exception.__str__  # KeyError's would print the repr of the sentence


class JobNotFound(StoreError):
    """There is no such order to index a picture, or it was done long ago."""


class PictureGone(StoreError):
    """The picture of an item is not at its place, or is another one by now."""


class CacheError(LookalikeError):
    """The cache of vectors, at `cache` (an address without user and password), cannot do what was asked."""

    def __init__(self, message: str, *, cache: str = "") -> None:
        super().__init__(message)
        self.cache = cache


class CacheDamaged(CacheError):
    """The file of the cache is damaged."""


class ServiceError(LookalikeError):
    """The service cannot answer this now.

    Attributes:
        retry_after_s: When it may be asked again, in seconds; None if that is not known.
    """

    retryable = True

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(ServiceError):
    """The service's model is not loaded, or does not answer as it should."""


class Overloaded(ServiceError):
    """More is waiting than the service can do in time.

    Attributes:
        retry_after_s: When there should be room again, in seconds.
        own: True if it is the caller's own share or rate that is used up; False if the service is full.
    """

    def __init__(self, message: str, *, retry_after_s: float, own: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s: float = retry_after_s
        self.own = own


class DeadlineExceeded(ServiceError):
    """The answer would have come too late."""


class AccessDenied(LookalikeError):
    """The API key is missing, unknown or, if it is `known`, not allowed to do this."""

    def __init__(self, message: str, *, known: bool) -> None:
        super().__init__(message)
        self.known = known


class ConfigError(LookalikeError):
    """A setting is missing or wrong."""


class FeatureOff(ConfigError):
    """A feature is switched off, or not on for this project."""


class MissingDependency(ConfigError):
    """An optional library is not installed.

    Attributes:
        library: The import that failed.
        extra: The extra of lookalike that brings it.
    """

    def __init__(self, library: str, *, extra: str) -> None:
        super().__init__(
            f"The library {library!r} is needed for this and is not installed: pip install 'lookalike[{extra}]'."
        )
        self.library = library
        self.extra = extra
