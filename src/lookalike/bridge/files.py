"""A bridge as a file: one `.npz`, whole or not there at all, that knows when it was damaged."""

from __future__ import annotations

import hashlib
import json
import uuid
import zipfile
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.bridge.agreement import Agreement
from lookalike.bridge.bridge import Bridge
from lookalike.bridge.mapping import Mapping, Method
from lookalike.errors import CorruptModel, ModelError, ModelNotFound, UnsupportedModel
from lookalike.spaces import Space

VERSION = 1

_ARRAYS = ("anchors", "weights", "spelling", "mean")
_REMEDY = "Fit it again with `lookalike bridge fit`."


def arrays_digest(mapping: Mapping) -> str:
    """sha256 (hex) of a map's numbers."""
    digest = hashlib.sha256(json.dumps([mapping.kernel, mapping.falloff]).encode())
    for name in _ARRAYS:
        array = np.ascontiguousarray(getattr(mapping, name))
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def save(bridge: Bridge, path: Path) -> None:
    """Write a bridge; an older file at that place is replaced when the new one is whole.

    Raises:
        SpaceMismatch: It does too badly to be searched through.
        ModelError: The file cannot be written.
    """
    bridge.require_agreement()
    header = {
        "version": VERSION,
        "digest": bridge.digest,
        "source": bridge.source.to_json(),
        "source_fingerprint": bridge.source_fingerprint,
        "target": bridge.target.to_json(),
        "texts_digest": bridge.texts_digest,
        "method": asdict(bridge.method),
        "agreement": asdict(bridge.agreement),
        "falloff": bridge.mapping.falloff,
    }
    buffer = BytesIO()
    arrays = {name: getattr(bridge.mapping, name) for name in _ARRAYS}
    np.savez_compressed(buffer, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(buffer.getvalue())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ModelError(f"The bridge {path} cannot be written: {error.strerror or error}.", file=str(path)) from error


def load(path: Path) -> Bridge:
    """Read a bridge. One that does too badly is read, so that it can be looked at; nothing is searched through it.

    Raises:
        ModelNotFound: There is no such file.
        CorruptModel: It is no bridge, or damaged.
        UnsupportedModel: A newer version wrote it.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("header", *_ARRAYS)}
        bridge = _bridge(json.loads(arrays["header"].tobytes()), arrays, path)
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"There is no bridge {path}: fit one with `lookalike bridge fit`, or correct the path.", file=str(path)
        ) from error
    except OSError as error:
        raise CorruptModel(f"{path} cannot be read: {error.strerror or error}. {_REMEDY}", file=str(path)) from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptModel(f"{path} is no bridge, or damaged. {_REMEDY}", file=str(path)) from error
    return bridge


def _bridge(header: dict[str, Any], arrays: dict[str, NDArray[Any]], path: Path) -> Bridge:
    if header["version"] != VERSION:
        raise UnsupportedModel(
            f"{path} is a bridge of version {header['version']}, and this lookalike reads version {VERSION}. {_REMEDY}",
            file=str(path),
        )
    method = Method(**header["method"])
    mapping = Mapping(method.kernel, header["falloff"], *(arrays[name] for name in _ARRAYS))
    bridge = Bridge(
        source=Space.from_json(header["source"]),
        source_fingerprint=header["source_fingerprint"],
        target=Space.from_json(header["target"]),
        texts_digest=header["texts_digest"],
        method=method,
        agreement=Agreement(**header["agreement"]),
        arrays_digest=arrays_digest(mapping),
        mapping=mapping,
    )
    if bridge.digest != header["digest"]:
        raise CorruptModel(f"{path} is damaged: it is not what was written. {_REMEDY}", file=str(path))
    return bridge
