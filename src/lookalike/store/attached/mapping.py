"""What the columns of an attached table are for, as its owner said it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

DEFAULT_PROJECT = "default"
"""Of every item of a table that does not say whose its items are."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""What a whole address begins with; two letters at least, since "C:" is a drive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Which table, and which of its columns is for what. Names are as the database keeps them, without quotes.

    Attributes:
        table: A table or view: "customer_photos", or "shop.customer_photos" with its schema.
        id: The column of the items' ids.
        vector: The column of the vectors, of pgvector's type vector or halfvec.
        vector_table: The table that the vectors are in, if it is another one.
        vector_key: Its column that holds the id of the item.
        uri: The column that says where the picture is; empty for none, as below.
        caption: The column of the owner's words.
        project: The column that says whose an item is; without one all are of project "default".
        content: The column of the sha256 of the picture's bytes, 64 hexadecimal digits or 32 bytes.
        metadata: Columns of further facts; one of them may be of type jsonb, whose keys are facts.
        root: What the paths of pictures start with, in full: "s3://photos/", "/srv/photos/"; empty if they are whole.
        may_delete: Whether a row is deleted when its item is; else it only loses its vector.
        is_checked: Whether a sample of the vectors was compared with the model's.
        has_unit_vectors: Whether every vector had length 1 when the table was attached.
    """

    table: str
    id: str
    vector: str
    vector_table: str = ""
    vector_key: str = ""
    uri: str = ""
    caption: str = ""
    project: str = ""
    content: str = ""
    metadata: tuple[str, ...] = ()
    root: str = ""
    may_delete: bool = False
    is_checked: bool = False
    has_unit_vectors: bool = False

    @property
    def is_joined(self) -> bool:
        """Whether items and vectors are in two tables."""
        return bool(self.vector_table)

    @property
    def unsaid_project(self) -> str:
        """The project of a row that says none."""
        return "" if self.project else DEFAULT_PROJECT

    @property
    def of_items(self) -> tuple[str, ...]:
        """Every column of the items' table that is named."""
        own = () if self.is_joined else (self.vector,)
        return tuple(filter(None, (self.id, self.project, self.uri, self.caption, self.content, *self.metadata, *own)))

    @property
    def of_vectors(self) -> tuple[str, ...]:
        """Every column of the vectors' table that is named."""
        return (self.vector_key, self.vector) if self.is_joined else self.of_items

    def in_full(self, path: str) -> str:
        """Where the picture of a row is."""
        if "://" in self.root:
            return path if not path or _SCHEME.match(path) else f"{self.root}{path.lstrip('/')}"
        return path if not path or path.startswith("/") or _SCHEME.match(path) else f"{self.root}{path}"

    def below_root(self, uri: str) -> str:
        """What a row says of where its picture is."""
        return uri.removeprefix(self.root)

    def to_json(self) -> str:
        """Text that `from_json` reads back."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Mapping:
        """The mapping that `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "metadata": tuple(fields["metadata"])})
