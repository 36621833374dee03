"""The contact sheet: search results as one HTML page that needs nothing else, now or in ten years.

Thumbnails are part of the page, there is no script, and the Content-Security-Policy lets it load nothing: whatever a
file name or caption says, it is text.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from PIL import Image

from lookalike.errors import InputError
from lookalike.files import read_picture
from lookalike.image import decode
from lookalike.policy import ImagePolicy
from lookalike.thumbnails import square_thumbnail
from lookalike.types import Hit, Hits

THUMBNAIL_PX = 240
RELATED = 0.5
"""The confidence from which a hit counts as related; see `lookalike.types.Hit`."""

# C0 and C1 controls: HTML has no way to say them, and a parser drops or changes them.
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")

Show = Callable[[str, str], str]
"""(place of a picture, alternative text) -> HTML."""

_OURS = b'<meta name="generator" content="lookalike">'
"""Near the beginning of `sheet.html`, and of no photo or other page of somebody's."""

_BROKEN = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><rect x="3" y="4" width="18" height="16" rx="2"/>'
    '<path d="m3 16 5-5 4 4 3-3 6 5M4 3l16 18"/></svg>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One query and its answer.

    Attributes:
        title: The query in words, or what to call the example.
        query_image: The example that was searched by; None for words.
        hits: What was found; a hit's `item.uri` is the path of its picture.
        note: A sentence below the title.
    """

    title: str
    query_image: Path | None
    hits: Hits
    note: str = ""


def write_sheet(path: Path, *, title: str, sections: Sequence[Section], subtitle: str = "") -> None:
    """Write a page with the pictures of every section.

    A picture that cannot be shown has a tile with the reason. The file appears whole or not at all.

    Args:
        path: Where to; a page that this wrote before is replaced, and no other file.
        title: Heading of the page.
        sections: One after the other, each with its query.
        subtitle: A few words beside the heading.

    Raises:
        InputError: The file cannot be written, or is there and no such page.
    """
    page = _page(title, subtitle, sections)
    # A name of a file system is bytes; what is not UTF-8 in it cannot be shown.
    _replace(path, page.encode("utf-8", "replace"))


def _page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    show = cache(_picture)  # the same picture often answers several queries
    style = _resource("sheet.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return Template(_resource("sheet.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=style,
        title=_text(title),
        subtitle=f'<p class="subtitle" dir="auto">{_text(subtitle)}</p>' if subtitle else "",
        contents=_contents(sections),
        sections="".join(_section(number, section, show) for number, section in enumerate(sections, 1)),
    )


def _resource(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _text(value: str) -> str:
    """Any string as HTML text or as the value of a quoted attribute."""
    return escape(value.translate(_CONTROLS), quote=True)


def _contents(sections: Sequence[Section]) -> str:
    if len(sections) < 3:
        return ""
    links = "".join(
        f'<li><a href="#s{number}" dir="auto">{_text(section.title)}</a></li>'
        for number, section in enumerate(sections, 1)
    )
    return f'<nav aria-label="Queries"><ul>{links}</ul></nav>\n'


def _section(number: int, section: Section, show: Show) -> str:
    example = ""
    if section.query_image is not None:
        example = f"<figure>{show(str(section.query_image), f'The example: {section.query_image.name}')}</figure>"
    hits = section.hits
    found = f"{len(hits):,} of {hits.considered:,} pictures" if hits else f"None of {hits.considered:,} pictures"
    warnings = "".join(f'<p class="warn" dir="auto">{_text(warning)}</p>' for warning in hits.warnings)
    note = f'<p class="about" dir="auto">{_text(section.note)}</p>' if section.note else ""
    tiles = "".join(_tile(hit, name, show) for hit, name in zip(hits, _names(hits), strict=True))
    answer = f'<ol class="grid">\n{tiles}</ol>' if tiles else '<p class="empty">Nothing here matches</p>'
    return (
        f'<section id="s{number}" aria-labelledby="h{number}">\n<div class="query">{example}<div>'
        f'<h2 id="h{number}" dir="auto">{_text(section.title)}</h2><p class="about">{found}</p>{note}{warnings}'
        f"</div></div>\n{answer}\n</section>\n"
    )


def _tile(hit: Hit, name: str, show: Show) -> str:
    picture = show(hit.item.uri, hit.item.caption or name)
    link = _link(hit.item.uri)
    caption = f'<p class="caption" dir="auto">{_text(hit.item.caption)}</p>' if hit.item.caption else ""
    return (
        f'<li class="tile{" sure" if hit.confidence >= RELATED else ""}">'
        + (f'<a href="{_text(link)}" rel="noopener noreferrer">{picture}</a>' if link else picture)
        + '<p class="score" title="Confidence"><span class="hidden">Confidence</span>'
        f"{_bar(hit.confidence)}<strong>{hit.confidence:.2f}</strong></p>"
        f'<p class="name" dir="auto" title="{_text(hit.item.uri or hit.item.id)}">{_text(name)}</p>{caption}'
        f'<p class="facts">similarity {hit.similarity:.3f}</p></li>\n'
    )


def _bar(confidence: float) -> str:
    width = 100 * min(max(confidence, 0.0), 1.0)
    return (
        '<svg class="bar" viewBox="0 0 100 5" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="5"/><rect class="fill" width="{width:.1f}" height="5"/>'
        f'<rect class="tick" x="{100 * RELATED:g}" width="1.2" height="5"/></svg>'
    )


def _name(hit: Hit) -> str:
    uri = hit.item.uri
    return (urlsplit(uri).path.rsplit("/", 1)[-1] if _is_url(uri) else Path(uri).name) or hit.item.id


def _names(hits: Hits) -> list[str]:
    """A name for each hit: with its folder where several hits are called the same."""
    names = [_name(hit) for hit in hits]
    often = Counter(names)
    return [f"{_folder(hit)}{name}" if often[name] > 1 else name for hit, name in zip(hits, names, strict=True)]


def _folder(hit: Hit) -> str:
    uri = hit.item.uri
    name = Path(urlsplit(uri).path if _is_url(uri) else uri).parent.name
    return f"{name}/" if name else ""


def _is_url(uri: str) -> bool:
    return uri.lower().startswith(("https://", "http://"))


def _link(uri: str) -> str:
    """Where a click leads: to the file or web page; nowhere for any other scheme, `javascript:` among them."""
    if _is_url(uri):
        return uri
    try:
        return Path(uri).absolute().as_uri() if uri else ""
    except ValueError:  # no file can have such a name
        return ""


def _picture(uri: str, alt: str) -> str:
    """An `img` with the thumbnail in it, or a placeholder that says why there is none."""
    try:
        source = _thumbnail(uri)
    except InputError as error:
        reason = f'<span dir="auto">{_text(error.reason)}</span>'
        return f'<div class="missing" role="img" aria-label="{_text(f"{alt}: {error.reason}")}">{_BROKEN}{reason}</div>'
    return f'<img src="{source}" alt="{_text(alt)}" width="{THUMBNAIL_PX}" height="{THUMBNAIL_PX}" decoding="async">'


def _thumbnail(uri: str) -> str:
    """A data URI of the middle square of a picture, which is also what most models look at."""
    data = square_thumbnail(load_picture(uri), THUMBNAIL_PX)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def load_picture(uri: str) -> Image.Image:
    """The picture at a path, upright and RGB.

    Raises:
        InputError: There is none, or it cannot be read; says why.
    """
    if not uri:
        raise InputError("No file is known for this picture.")
    if _is_url(uri):
        raise InputError("This picture is on the web; follow the link to see it.", item=uri)
    try:
        is_file = Path(uri).is_file()
    except (OSError, ValueError) as error:
        raise InputError(f"The file cannot be reached ({error}).", item=uri) from error
    if not is_file:
        raise InputError("There is no such file any more.", item=uri)
    policy = ImagePolicy()
    return decode(read_picture(Path(uri), max_bytes=policy.max_bytes), policy, item=uri)


def _replace(path: Path, data: bytes) -> None:
    """Write a page whole or not at all, in the place of nothing but a page."""
    path = path.resolve()
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        if path.exists() and not _is_page(path):
            raise InputError(
                "is there already and is no page of lookalike, so it was left alone; choose another name.",
                item=str(path),
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # there may be no such folder
            part.unlink()
        raise InputError(f"The page cannot be written: {error.strerror}.", item=str(path)) from error


def _is_page(path: Path) -> bool:
    if not path.is_file():  # to read from a pipe or a device may take for ever
        return False
    with path.open("rb") as file:
        return _OURS in file.read(1000)
