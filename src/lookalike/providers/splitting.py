"""Inputs to requests: checked and prepared in their order, and put together as far as a provider's limits go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lookalike.calls import Inputs, Payload, failure_of
from lookalike.errors import InputError, TooLarge
from lookalike.files import picture_bytes
from lookalike.policy import ImagePolicy
from lookalike.providers.adapter import Limits, Prepared, Upload
from lookalike.providers.uploads import upload
from lookalike.spaces import Modality
from lookalike.types import Failure

BYTES_PER_TOKEN = 3
"""Bytes of UTF-8 to a token, where the provider's tokenizer is not at hand: English has 4 or more, Hebrew and Chinese
2 to 3. An estimate that is too low costs a refused request, which is split; one that is too high a further request."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One input, ready to be sent.

    Attributes:
        position: Its place in the caller's sequence.
        name: What it is called there.
        prepared: What is sent.
        tokens: Tokens of text, estimated; 0 for a picture.
    """

    position: int
    name: str
    prepared: Prepared = field(repr=False)
    tokens: int

    @property
    def n_bytes(self) -> int:
        """Bytes of a picture; 0 for a text."""
        return len(self.prepared.data) if isinstance(self.prepared, Upload) else 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request asks about, and what failed on the way to it."""

    modality: Modality
    entries: Sequence[Entry] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of its texts, estimated."""
        return sum(entry.tokens for entry in self.entries)

    def halves(self) -> tuple[Batch, Batch]:
        """The same inputs as two batches."""
        middle = len(self.entries) // 2
        return Batch(self.modality, self.entries[:middle]), Batch(self.modality, self.entries[middle:])


def batches(inputs: Inputs, limits: Limits, policy: ImagePolicy) -> Iterator[Batch]:
    """The inputs in their order, as many to a batch as the limits let; each is read when its turn comes.

    The last batch may have failures only.
    """
    entries: list[Entry] = []
    failures: list[Failure] = []
    load = _Load()
    for position, (payload, name) in enumerate(zip(inputs.payloads, inputs.names, strict=True)):
        try:
            prepared = _prepared(payload, inputs.modality, limits, policy, name)
        except InputError as error:
            failures.append(failure_of(position, name, error))
            continue
        entry = Entry(position, name, prepared, estimated_tokens(prepared))
        if entries and not load.plus(entry).is_within(limits, inputs.modality):
            yield Batch(inputs.modality, entries, tuple(failures))
            entries, failures, load = [], [], _Load()
        entries.append(entry)
        load = load.plus(entry)
    if entries or failures:
        yield Batch(inputs.modality, entries, tuple(failures))


@dataclass(frozen=True, slots=True)
class _Load:
    """What a request holds."""

    entries: int = 0
    tokens: int = 0
    n_bytes: int = 0

    def plus(self, entry: Entry) -> _Load:
        return _Load(self.entries + 1, self.tokens + entry.tokens, self.n_bytes + entry.n_bytes)

    def is_within(self, limits: Limits, modality: Modality) -> bool:
        most = limits.texts if modality == "text" else limits.images
        sums = ((self.entries, most), (self.tokens, limits.request_tokens), (self.n_bytes, limits.request_bytes))
        return all(not limit or total <= limit for total, limit in sums)


def estimated_tokens(prepared: Prepared) -> int:
    """Tokens of a text, as far as its bytes tell; 0 for a picture."""
    return 1 + len(prepared.encode()) // BYTES_PER_TOKEN if isinstance(prepared, str) else 0


def _prepared(payload: Payload, modality: Modality, limits: Limits, policy: ImagePolicy, name: str) -> Prepared:
    if modality == "image":
        return upload(picture_bytes(payload, policy), policy, limits, item=name)
    if not isinstance(payload, str):
        raise InputError(f"is a {type(payload).__name__}, not a text.", item=name)
    if not payload and not limits.allows_empty:
        raise InputError("is empty, and the provider embeds no empty text.", item=name)
    if limits.input_chars and len(payload) > limits.input_chars:
        raise TooLarge(
            f"has {len(payload):,} characters; the provider takes {limits.input_chars:,}.",
            item=name,
            actual=len(payload),
            limit=limits.input_chars,
        )
    try:
        payload.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"holds half a character at {error.start}, which no text can.", item=name) from error
    return payload
