"""What comes from elsewhere, opened: tables of vectors of every kind, pictures by uri; and where new ones are kept.

Beside `app`, this is the only module that knows these adapters; each is imported where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lookalike.config import Config
from lookalike.environment import expanded
from lookalike.errors import InputError
from lookalike.ports import PictureKeeper
from lookalike.secret import Secret
from lookalike.tables import Pictures, VectorTable

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


def open_pictures(config: Config, root: str | Path = ".") -> Pictures:
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
