"""Where proofs of parity are kept: one small file for each, whole or not there at all."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from lookalike.errors import ConfigError
from lookalike.files import keep
from lookalike.parity.proof import Proof
from lookalike.spaces import Space, Tower, digest_of

VERSION = 1


class Shelf:
    """Proofs in a folder, by the space that may be written into and the tower that may.

    Args:
        folder: Made when the first one is put there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, space: Space, tower: Tower) -> Proof | None:
        """The proof that lets this very tower write into the space; a damaged file, or of another version, is none."""
        path = self._path(space.key, tower.fingerprint)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["version"] != VERSION or stored["digest"] != digest_of(stored["proof"]):
                return None
            proof = Proof.from_dict(stored["proof"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        is_its_own = (proof.space.key, proof.fingerprint) == (space.key, tower.fingerprint)
        return proof if is_its_own else None

    def put(self, proof: Proof) -> None:
        """Keep a proof; an older one of the same pair is replaced.

        Raises:
            ConfigError: It cannot be written.
        """
        fields = json.loads(json.dumps(asdict(proof)))
        document = {"version": VERSION, "digest": digest_of(fields), "proof": fields}
        path = self._path(proof.space.key, proof.fingerprint)
        data = json.dumps(document, ensure_ascii=False, indent=2).encode()
        keep(path, data)
        if not path.exists() or path.read_bytes() != data:
            raise ConfigError(f"The proof {path} cannot be written: set LOOKALIKE_CACHE_DIR to a folder that can be.")

    def remove(self, space: Space, tower: Tower) -> bool:
        """Take away the proof of this pair; whether there was one."""
        path = self._path(space.key, tower.fingerprint)
        existed = path.exists()
        path.unlink(missing_ok=True)
        return existed

    def _path(self, space_key: str, fingerprint: str) -> Path:
        return self._folder / f"{space_key}-{fingerprint}.json"
