"""A fitted bridge, and the vectorizer that searches through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from lookalike.bridge.agreement import Agreement
from lookalike.bridge.mapping import Mapping, Method
from lookalike.calls import Inputs
from lookalike.errors import SpaceMismatch, UnsupportedModel
from lookalike.policy import ImagePolicy
from lookalike.ports import Vectorizer
from lookalike.spaces import Approximation, Space, Tower, digest_of
from lookalike.types import Vectors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bridge:
    """A map from the text vectors of one model into the space of another, and what is known about it.

    Attributes:
        source: The space that it reads.
        source_fingerprint: The recipe that made the source vectors it was fitted to.
        target: The space that it comes near.
        texts_digest: sha256 (hex) of the texts that it was fitted to.
        method: How it was fitted.
        agreement: How it did on texts that it was not fitted to.
        arrays_digest: sha256 (hex) of the map's numbers.
        mapping: The map.
    """

    source: Space
    source_fingerprint: str
    target: Space
    texts_digest: str
    method: Method
    agreement: Agreement
    arrays_digest: str
    mapping: Mapping

    @property
    def digest(self) -> str:
        """sha256 (hex) of everything that decides the vectors, and of what was measured."""
        return digest_of(
            {
                "source": [self.source.to_json(), self.source_fingerprint],
                "target": self.target.to_json(),
                "texts": self.texts_digest,
                "method": asdict(self.method),
                "agreement": asdict(self.agreement),
                "arrays": self.arrays_digest,
            }
        )

    @property
    def approximation(self) -> Approximation:
        """What every answer through it says."""
        return Approximation(
            source=self.source.name,
            note=f"Words are read by {self.source.name} through a bridge to {self.target.name}, which is not exact: "
            f"{self.agreement}.",
            agreement=self.agreement.pairs,
        )

    def require_agreement(self) -> None:
        """Raise SpaceMismatch if it does too badly to be searched through."""
        if complaints := self.agreement.complaints:
            raise SpaceMismatch(
                f"A bridge from {self.source.model} to {self.target.model} does not hold: {'; '.join(complaints)}. "
                "Give it more texts of the kind that you search with, read words with the index's own text model, or "
                "embed the pictures with a model whose provider reads words too.",
                expected=self.target.id,
                actual=self.source.id,
            )


class BridgedVectorizer:
    """Words to vectors near another model's space, to search its pictures with; see `ports.Vectorizer`.

    Args:
        inner: Reads the words; of the bridge's source space.
        bridge: Where its vectors are taken.

    Raises:
        SpaceMismatch: `inner` is of another space, or the bridge does too badly.
    """

    def __init__(self, inner: Vectorizer, bridge: Bridge) -> None:
        bridge.source.require(inner.tower.space, doing="Crossing this bridge")
        inner.tower.require_parity()
        bridge.require_agreement()
        self._inner = inner
        self._bridge = bridge

    @property
    def tower(self) -> Tower:
        """A recipe near the target's space: it may ask, and never store."""
        return Tower(
            space=self._bridge.target,
            runtime="bridge",
            recipe=(("bridge", self._bridge.digest), ("source", self._inner.tower.fingerprint)),
            approximation=self._bridge.approximation,
        )

    @property
    def policy(self) -> ImagePolicy:
        """What the image door would let through; no picture crosses."""
        return self._inner.policy

    def embed(self, inputs: Inputs, *, until: float = float("inf")) -> Iterator[Vectors]:
        """The inner vectorizer's parts, each taken across.

        Raises:
            UnsupportedModel: The inputs are pictures.
        """
        if inputs.modality != "text":
            raise UnsupportedModel(
                f"A bridge reads words only: embed pictures with {self._bridge.target.model}.",
                model=self._bridge.source.model,
            )
        texts = list(inputs.payloads)  # they may be read once only, and are needed again for their spelling
        tower = self.tower
        for part in self._inner.embed(replace(inputs, payloads=texts), until=until):
            read = [str(texts[position]) for position in part.positions]
            yield replace(part, values=self._bridge.mapping(read, part.values), tower=tower)
