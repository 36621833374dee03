"""The web page: its files, from the package, under an address that changes with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).resolve().parents[1] / "web"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # with an API key pictures are fetched, since an img element sends no header
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No string becomes HTML or a script, by mistake either: the browser itself refuses it.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class PageFiles:
    """The files of the page.

    Attributes:
        version: Names this state of all of them together; part of their address, so that they may be kept for ever.
        files: Name to content, the document itself not among them; those in a folder as "views/browse.js".
        document: index.html, with the version in its links.
    """

    version: str
    files: Mapping[str, bytes]
    document: bytes

    @classmethod
    def read(cls, folder: Path = FOLDER) -> PageFiles:
        """What is in a folder, read once: a request opens no file, so no name in it can lead elsewhere."""
        paths = sorted(path for path in folder.rglob("*") if path.suffix in KINDS)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        digest = hashlib.sha256()
        for name, data in files.items():
            digest.update(b"%s %d " % (name.encode(), len(data)) + data)
        version = digest.hexdigest()[:12]
        document = files.pop("index.html").replace(b"{version}", version.encode())
        return cls(version, files, document)


def page_router(page: PageFiles) -> APIRouter:
    """The routes of the page. They need no key: there is nothing in it but the page itself."""
    router = APIRouter(include_in_schema=False)

    @router.head("/")  # what some balancers send
    @router.get("/")
    async def document(request: Request) -> Response:
        tag = f'"{page.version}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(page.document, media_type=KINDS[".html"], headers=headers)

    @router.get("/web/{version}/{name:path}")
    async def file(version: str, name: str) -> Response:
        data = page.files.get(name)
        if data is None or version != page.version:
            raise HTTPException(404)
        return Response(data, media_type=KINDS[Path(name).suffix], headers={"Cache-Control": FOR_EVER})

    return router
