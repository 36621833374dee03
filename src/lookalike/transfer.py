"""What comes from elsewhere, opened: tables of vectors of every kind, pictures by uri; and where new ones are kept.

Beside `app`, this is the only module that knows these adapters; each is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.config import Config
from lookalike.environment import expanded
from lookalike.errors import ConfigError, InputError
from lookalike.orders import PictureKeeper
from lookalike.places import Address
from lookalike.ports import Source
from lookalike.secret import Secret
from lookalike.tables import VectorTable

if TYPE_CHECKING:
    from lookalike.sources.pictures import PictureFinder

DATABASES = ("postgresql://", "postgres://")
PARQUET = (".parquet", ".pq")


def open_table(
    place: str | Path,
    *,
    items: str | Path | None = None,
    table: str = "",
    columns: Mapping[str, Sequence[str]] | None = None,
) -> VectorTable:
    """The vectors at a place.

    Args:
        place: An array (.npy), a Parquet file or a folder of such, an output folder of clip-retrieval, or the
            address of a PostgreSQL database ("postgresql://user@host/database").
        items: Of an array: the file that says what its rows are of (.jsonl, .csv, .txt or .npy).
        table: Of a database: its table.
        columns: Which columns have which role; see `lookalike.sources.columns.resolve`.

    Raises:
        InputError: There is no such table, or it cannot be used.
        StoreError: The database cannot be read.
        MissingDependency: What reads it is not installed.
    """
    columns = columns or {}
    if str(place).startswith(DATABASES):
        from lookalike.sources.pgvector import PgvectorTable

        if not table:
            raise InputError("name the table of the database: --table NAME.")
        return PgvectorTable(Secret(str(place)), table, columns)
    path = expanded(Path(place), "the table of vectors")
    if path.suffix.lower() == ".npy":
        return _open_array(path, None if items is None else Path(items), columns)
    if (path / "img_emb").is_dir():
        from lookalike.sources.clip_retrieval import ClipRetrievalTable

        return ClipRetrievalTable(path, columns)
    return _open_parquet(path, columns)


def open_sources(places: Sequence[str | Path | Source], config: Config) -> list[Source]:
    """A source for each place: a folder or file by its path, a bucket by its uri, or a source as it is.

    Raises:
        InputError: There is nothing at a place.
        ProviderError: A bucket cannot be reached, or refuses.
    """
    if isinstance(places, str | Path):
        raise InputError(f"places is one path, {str(places)!r}: hand in a list of them.")
    return [_open_source(place, config) if isinstance(place, str | Path) else place for place in places]


def _open_source(place: str | Path, config: Config) -> Source:
    from lookalike.sources.folder import FolderSource
    from lookalike.sources.objects import ObjectName

    if ObjectName.of(str(place)) is None:
        return FolderSource(Path(place))
    from lookalike.sources.bucket import BucketClient
    from lookalike.sources.prefix import BucketSource

    return BucketSource(str(place), BucketClient(config.bucket_access))


def open_rows(config: Config, table: str, columns: Mapping[str, Sequence[str]], root: str | Path) -> Source:
    """The pictures that the rows of a table name.

    Args:
        config: Says where the database is, and how buckets and URLs are read.
        table: Its name, as one would write it in SQL. If it is the attached one of the configuration, its columns are
            known.
        columns: Which columns have which role; see `lookalike.sources.rows.RowSource`.
        root: The folder or bucket that relative paths start from; see `open_pictures`.

    Raises:
        ConfigError: Nothing says where the database is.
        InputError: There is no such table, or it has no such columns.
        StoreError: The database cannot be read.
    """
    from lookalike.sources.rows import RowSource

    address = config.database or (config.index if isinstance(config.index, Address) else None)
    if address is None:
        raise ConfigError(f"Set DATABASE_URL to the database with the table {table}: postgresql://user@host/database.")
    if own := own_address(config, table):
        address = own
        columns, root = _as_attached(own, columns, root)
    return RowSource(address, table, columns, open_pictures(config, root))


def own_address(config: Config, table: str) -> Address | None:
    """The configuration's index, if it is this very table, attached: its own rows are to be embedded; else None."""
    return config.index if isinstance(config.index, Address) and config.index.table == table else None


def _as_attached(
    address: Address, columns: Mapping[str, Sequence[str]], root: str | Path
) -> tuple[Mapping[str, Sequence[str]], str | Path]:
    """Columns and root of an attached table whose own rows are to be embedded: as they were said when it was attached.

    Raises:
        InputError: Its rows would go with a picture that cannot be read.
    """
    from lookalike.store.attached.store import open_store

    with open_store(address) as store:
        mapping = store.attached.mapping
    if mapping.may_delete:
        raise InputError(
            "it is attached with --may-delete, so a picture that cannot be read would take its row with it: attach it "
            "again without.",
            item=mapping.table,
        )
    own = {"id": mapping.id, "uri": mapping.uri, "project": mapping.project, "caption": "", "metadata": ""}
    return {**{role: [name] if name else [] for role, name in own.items()}, **columns}, mapping.root or root


def open_pictures(config: Config, root: str | Path = ".") -> PictureFinder:
    """Pictures by uri: files, objects of buckets, and what is named by URL if the configuration allows that.

    Args:
        config: Says how buckets are reached, whether URLs may be fetched, and from where.
        root: The folder that relative paths start from; or the bucket or part of one ("s3://photos/"), below which
            alone is read then.
    """
    from lookalike.sources.bucket import BucketClient
    from lookalike.sources.objects import ObjectName
    from lookalike.sources.pictures import PictureFinder

    urls = None
    if config.serve.allow_urls:
        from lookalike.sources.url import UrlPolicy, UrlReader

        urls = UrlReader(UrlPolicy(allowed_hosts=config.serve.url_hosts))
    start = ObjectName.of(f"{str(root).rstrip('/')}/") or expanded(Path(root), "the folder of pictures")
    return PictureFinder(start, urls, BucketClient(config.bucket_access))


def open_keeper(config: Config) -> PictureKeeper | None:
    """Where pictures are kept that are handed in as bytes; None if nothing says where: the index is a database."""
    from lookalike.sources.bucket import BucketClient
    from lookalike.sources.objects import ObjectName
    from lookalike.sources.uploads import BucketKeeper, FolderKeeper

    if ObjectName.of(config.uploads):
        return BucketKeeper(config.uploads, BucketClient(config.bucket_access))
    if config.uploads:
        return FolderKeeper(expanded(Path(config.uploads), "LOOKALIKE_UPLOADS"))
    return FolderKeeper(expanded(config.index, "index") / "uploads") if isinstance(config.index, Path) else None


def _open_array(path: Path, items: Path | None, columns: Mapping[str, Sequence[str]]) -> VectorTable:
    from lookalike.sources.arrays import NpyTable
    from lookalike.sources.sidecar import Sidecar

    if items is None:
        raise InputError(
            "an array does not say what its rows are of: name the file that does with --items (.jsonl, .csv, .txt "
            "or .npy).",
            item=str(path),
        )
    return NpyTable(path, Sidecar(expanded(items, "--items"), columns))


def _open_parquet(path: Path, columns: Mapping[str, Sequence[str]]) -> VectorTable:
    from lookalike.sources.parquet import ParquetTable

    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.suffix.lower() in PARQUET else []
    if not path.exists():
        raise InputError("there is no such file or folder.", item=str(path))
    if not found:
        raise InputError(
            "is no table of vectors that is known by its name: an array (.npy), a Parquet file (.parquet) or a folder "
            "of such, an output folder of clip-retrieval, or postgresql://...",
            item=str(path),
        )
    return ParquetTable(found, columns)
