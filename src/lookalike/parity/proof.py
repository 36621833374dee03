"""A proof of parity: that one model's vectors may be written into the space of another, as far as was measured."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.calls import Inputs, Payload
from lookalike.errors import InputError
from lookalike.files import picture_bytes
from lookalike.parity.compare import ParityReport
from lookalike.policy import ImagePolicy
from lookalike.spaces import REQUIRED_COSINE, Modality, Space, Tower

MIN_INPUTS = 10
"""So many pictures, or texts, at least must agree: fewer may have missed what the two models do differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How far two models agreed about one modality.

    Attributes:
        modality: Of what.
        n: How many pictures or texts both embedded.
        max_difference: The largest |a - b| among all numbers of unit vectors.
        cosine: The least cosine between two vectors of one input.
    """

    modality: Modality
    n: int
    max_difference: float
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a proof comes from.

    Attributes:
        corpus: Digest of what was embedded; see `corpus_digest`.
        version: Of lookalike.
        date: When it was measured, "2026-03-01".
    """

    corpus: str
    version: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That a tower's vectors may be written into a space that is not its own.

    Attributes:
        space: Which it may write into.
        reference: Fingerprint of the tower of that space that it was compared with.
        fingerprint: That of the tower which may. One that changes in anything has another, and needs another proof.
        model: Whose tower it is, for people.
        cosine: The least cosine to the reference of the space that its vectors can have, by what was measured.
        measured: One for each modality that it may write; no other is proven.
        provenance: What it was measured with.
    """

    space: Space
    reference: str
    fingerprint: str
    model: str
    cosine: float
    measured: tuple[Measured, ...]
    provenance: Provenance

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What may be written, sorted."""
        return tuple(sorted(found.modality for found in self.measured))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Proof:
        """The proof that `dataclasses.asdict` took apart, through JSON or not."""
        space = {**fields["space"], "modalities": tuple(fields["space"]["modalities"])}
        return cls(
            **{
                **fields,
                "space": Space(**space),
                "measured": tuple(Measured(**found) for found in fields["measured"]),
                "provenance": Provenance(**fields["provenance"]),
            }
        )


def prove(report: ParityReport, a: Tower, b: Tower, provenance: Provenance) -> Proof | None:
    """The proof that lets `b` write into the space of `a`, for each modality that agrees; None if none does.

    Args:
        report: What came of comparing the two.
        a: A tower of the space.
        b: The tower that may write into it.
        provenance: What was measured with.
    """
    found = [_measured(report, modality) for modality in sorted({part.modality for part in report.agreements})]
    good = tuple(part for part in found if part.n >= MIN_INPUTS and _summed(a.cosine, part.cosine) >= REQUIRED_COSINE)
    if not good or a.approximation or b.approximation:
        return None
    return Proof(
        space=a.space,
        reference=a.fingerprint,
        fingerprint=b.fingerprint,
        model=b.space.model,
        cosine=_summed(a.cosine, min(part.cosine for part in good)),
        measured=good,
        provenance=provenance,
    )


def corpus_digest(corpus: Sequence[Inputs]) -> str:
    """sha256 (hex) of what was embedded: of every picture's bytes and every text, in order."""
    digest = hashlib.sha256()
    for inputs in corpus:
        for payload in inputs.payloads:
            content = _content(payload, inputs.modality)
            digest.update(f"{inputs.modality} {len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _content(payload: Payload, modality: Modality) -> bytes:
    if modality == "text":
        return str(payload).encode("utf-8", "surrogatepass")
    try:
        return picture_bytes(payload, ImagePolicy())
    except InputError:  # it was left out of the comparison, too
        return str(Path(str(payload)).name).encode("utf-8", "surrogateescape")


def _measured(report: ParityReport, modality: Modality) -> Measured:
    parts = [part for part in report.agreements if part.modality == modality and part.n]
    return Measured(
        modality=modality,
        n=sum(part.n for part in parts),
        max_difference=max((part.max_difference for part in parts), default=0.0),
        cosine=min((part.cosine_min for part in parts), default=0.0),
    )


def _summed(a: float, b: float) -> float:
    """The least cosine between two vectors whose cosines to a third are these: angles add up at most."""
    angle = sum(math.acos(max(-1.0, min(1.0, cosine))) for cosine in (a, b))
    return math.cos(min(math.pi, angle))
