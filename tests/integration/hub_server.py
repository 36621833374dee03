"""A Hugging Face hub on loopback, with real sockets, that can be told to misbehave."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from tests.loopback import LoopbackHandler, LoopbackServer

COMMIT = "c" * 40
LFS_BYTES = 10_000
"""Files from this size on are kept apart, on another host, as the hub keeps its LFS files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How one request for a file goes wrong; the next request takes the next fault, or none.

    Attributes:
        kind: "truncate" closes the connection early, "reset" does so rudely, "stall" falls silent and closes,
            "pause" falls silent until released and goes on, "corrupt" flips bits, "status" answers with an error,
            "whole" ignores Range, "page" sends a small page instead, "endless" never stops and says no length.
        at: Byte of the body where it happens.
        status: For "status".
        headers: Further headers.
        body: For "page".
    """

    kind: Literal["truncate", "reset", "stall", "pause", "corrupt", "status", "whole", "page", "endless"]
    at: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"<html>Please log in</html>"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived: on which host, for what, with which headers (lower-case names)."""

    host: str
    path: str
    headers: Mapping[str, str]


class Hub(LoopbackServer):
    """Serves repositories; `with Hub(...) as hub:`.

    Attributes:
        repositories: name -> file name -> content.
        faults: file name (or "listing") -> what the next requests for it suffer.
        seen: Every request.
        released: Set it to end a stall.
        states_digests: If False, it is a plain mirror: ETags say nothing about the content, LFS files are not apart.
    """

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]], *, states_digests: bool = True) -> None:
        super().__init__(_Handler)
        self.repositories = repositories
        self.states_digests = states_digests
        self.faults: dict[str, list[Fault]] = {}
        self.seen: list[Seen] = []

    @property
    def endpoint(self) -> str:
        return self.url

    @property
    def storage(self) -> str:
        """The same server under a name that makes it another host."""
        return f"http://localhost:{self.port}"

    def requests_for(self, file: str) -> list[Seen]:
        """The requests that were meant to deliver this file's content."""
        content = next(files[file] for files in self.repositories.values() if file in files)
        if not self.states_digests:
            wanted = f"/{file}"
        elif len(content) >= LFS_BYTES:
            wanted = f"/storage/{hashlib.sha256(content).hexdigest()}"
        else:
            wanted = f"/cached/[^/]+/[^/]+/{file}"
        return [seen for seen in self.seen if re.search(f"{wanted}$", seen.path)]


class _Handler(LoopbackHandler):
    @property
    def hub(self) -> Hub:
        return self.owner

    def respond(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = self.named_headers
        self.hub.seen.append(Seen(headers.get("host", "").partition(":")[0], path, headers))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            self._listing(match[1], match[2])
        elif match := re.fullmatch(r"/storage/(\w+)", path):
            self._stored(match[1])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(match[1], match[2], match[3])
        elif match := re.fullmatch(r"/cached/([^/]+/[^/]+)/(.+)", path):
            self._small(match[2], self.hub.repositories[match[1]][match[2]])
        else:
            self._answer(404, b"")

    def _listing(self, repository: str, revision: str) -> None:
        if self._suffers("listing", b"") is not None:
            return
        files = self.hub.repositories.get(repository)
        if files is None:
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", "refs/pr/1", COMMIT):
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [self._sibling(name, content) for name, content in files.items()]
            self._answer(200, json.dumps({"sha": COMMIT, "siblings": siblings}).encode())

    def _sibling(self, name: str, content: bytes) -> dict[str, object]:
        if not self.hub.states_digests:
            return {"rfilename": name}
        entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
        if len(content) >= LFS_BYTES:
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        return entry

    def _file(self, repository: str, revision: str, name: str) -> None:
        content = self.hub.repositories.get(repository, {}).get(name)
        if content is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif not self.hub.states_digests:
            self._small(name, content)
        elif len(content) < LFS_BYTES:
            self._answer(
                307, b"", {"Location": f"/cached/{repository}/{name}", "X-Linked-Etag": f'"{git_sha1(content)}"'}
            )
        else:
            digest = hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            self._answer(302, b"", {"Location": f"{self.hub.storage}/storage/{digest}", **linked})

    def _stored(self, digest: str) -> None:
        for files in self.hub.repositories.values():
            for name, content in files.items():
                if hashlib.sha256(content).hexdigest() == digest:
                    self._content(name, content, etag=f'"{hashlib.md5(content).hexdigest()}"')  # noqa: S324
                    return
        self._answer(404, b"")

    def _small(self, name: str, content: bytes) -> None:
        etag = git_sha1(content) if self.hub.states_digests else f"v-{len(content)}-{content[:4].hex()}"
        self._content(name, content, etag=f'"{etag}"')

    def _content(self, name: str, content: bytes, *, etag: str) -> None:
        fault = self._suffers(name, content)
        if fault is not None and fault.kind in ("status", "page", "endless"):
            return
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match and self.headers.get("If-Range", etag) == etag and not (fault and fault.kind == "whole"):
            start = int(match[1])
        if start and start >= len(content):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command != "HEAD":
            self._body(content, start, fault)

    def _body(self, content: bytes, start: int, fault: Fault | None) -> None:
        try:
            if fault is None or fault.kind == "whole":
                self.wfile.write(content[start:])
            elif fault.kind == "corrupt":
                damaged = bytearray(content)
                damaged[fault.at] ^= 0xFF
                self.wfile.write(damaged[start:])
            else:
                self.wfile.write(content[start : fault.at])
                self.wfile.flush()
                if fault.kind in ("stall", "pause"):
                    self.hub.released.wait(timeout=20)
                if fault.kind == "pause":
                    self.wfile.write(content[fault.at :])
                    return
                if fault.kind == "reset":  # no lingering: unsent data is dropped and the peer gets an RST
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed: what some tests are about

    def _suffers(self, name: str, content: bytes) -> Fault | None:
        queue = self.hub.faults.get(name, [])
        fault = queue.pop(0) if queue else None
        if fault is not None and fault.kind == "status":
            self._answer(fault.status, b"no", fault.headers)
        elif fault is not None and fault.kind == "page":
            self._answer(200, fault.body, fault.headers)
        elif fault is not None and fault.kind == "endless":
            self._pour()
        return fault

    def _pour(self) -> None:
        """Send bytes for as long as somebody reads."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        while not self.hub.released.is_set():
            self.wfile.write(bytes(2**16))

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def git_sha1(content: bytes) -> str:
    """The id of a blob in git, which is the hub's ETag of a file outside LFS."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
