"""The contact sheet: self-contained, safe whatever the names say, complete whatever is broken."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookalike.cli.sheet as sheet_module
from lookalike.cli.sheet import THUMBNAIL_PX, Section, write_sheet
from lookalike.errors import InputError
from lookalike.spaces import Space
from lookalike.types import Hit, Hits, Item
from tests.pictures import noise, picture, write

SPACE = Space(model="m", weights="0" * 64, preprocessing="p", pooling="projection", dim=4, modalities=("image", "text"))
EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"
VOID = {"meta", "img", "rect", "path"}


class Page(HTMLParser):
    """A page as its elements: (tag, attributes, text directly or deeper inside)."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        texts: list[str] = []
        self.elements.append((tag, {name: value or "" for name, value in attrs}, texts))
        if tag not in VOID:
            self._open.append((tag, texts))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            opened, _ = self._open.pop()
            assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for _, texts in self._open:
            texts.append(data)

    def all(self, tag: str, cls: str = "") -> list[tuple[dict[str, str], str]]:
        """Attributes and text of every such element."""
        return [
            (attributes, "".join(texts))
            for name, attributes, texts in self.elements
            if name == tag and (not cls or cls in attributes.get("class", "").split())
        ]

    def texts(self, tag: str, cls: str = "") -> list[str]:
        return [text for _, text in self.all(tag, cls)]


def hit(uri: str | Path, *, confidence: float = 0.9, caption: str = "", item_id: str = "") -> Hit:
    item = Item(id=item_id or str(uri), content="0" * 64, uri=str(uri), caption=caption)
    return Hit(item=item, similarity=0.3, confidence=confidence)


def section(
    *hits: Hit, title: str = "a red dress", query: Path | None = None, warnings: tuple[str, ...] = ()
) -> Section:
    answer = Hits(hits=hits, space=SPACE, considered=1234, warnings=warnings)
    return Section(title=title, query_image=query, hits=answer)


def page_of(folder: Path, *sections: Section, title: str = "lookalike", subtitle: str = "") -> Page:
    path = folder / "page.html"
    write_sheet(path, title=title, sections=sections, subtitle=subtitle)
    return Page(path.read_text(encoding="utf-8"))


def test_thumbnails_are_inside_the_page(tmp_path: Path) -> None:
    """Every picture is a data URI with its middle square, small, and never larger than the original."""
    red = Image.new("RGB", (900, 300), "green")
    red.paste((255, 0, 0), (300, 0, 600, 300))
    red.save(tmp_path / "wide.png")
    write(tmp_path, {"small.png": picture("blue", size=(40, 30))})
    page = page_of(tmp_path, section(hit(tmp_path / "wide.png"), hit(tmp_path / "small.png")))
    sources = [attributes["src"] for attributes, _ in page.all("img")]
    shown = [Image.open(BytesIO(base64.b64decode(s.removeprefix("data:image/webp;base64,")))) for s in sources]
    assert [image.size for image in shown] == [(THUMBNAIL_PX, THUMBNAIL_PX), (30, 30)]
    for image, colour in zip(shown, ((255, 0, 0), (0, 0, 255)), strict=True):
        for place in ((3, 3), (image.width - 3, image.height - 3)):
            pixel = np.asarray(image.convert("RGB")).astype(int)[place]
            assert abs(pixel - colour).max() < 25


def test_the_page_can_load_and_run_nothing(tmp_path: Path) -> None:
    """No script, no handler, no address outside the page; the policy lets through only its own style and data."""
    write(tmp_path, {"a.png": picture("red")})
    page = page_of(tmp_path, section(hit(tmp_path / "a.png")), section(hit("gone.png"), query=tmp_path / "a.png"))
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    style = page.texts("style")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert {tag for tag, _, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert "url(" not in style and "@import" not in style
    for _, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset")]
        assert attributes.get("src", "data:").startswith("data:image/webp;base64,") or "src" not in attributes


def test_whatever_a_name_says_is_text(tmp_path: Path) -> None:
    """Titles, names, captions and warnings come out as written, never as markup, and links lead to files or the web."""
    name = EVIL.replace("/", "_") + ".png"
    write(tmp_path, {name: picture("red")})
    hits = (
        hit(tmp_path / name, caption=EVIL),
        hit("javascript:alert(1)"),
        hit("data:text/html,<script>alert(1)</script>"),
        hit(f"https://example.org/{EVIL}.jpg?x=1"),
    )
    sections = [section(*hits, title=EVIL, warnings=(EVIL,)) for _ in range(3)]
    page = page_of(tmp_path, *sections, title=EVIL, subtitle=EVIL)
    assert page.texts("h1") == [EVIL] and page.texts("h2") == [EVIL] * 3 and page.texts("p", "subtitle") == [EVIL]
    assert page.texts("p", "warn") == [EVIL] * 3 and page.texts("p", "caption") == [EVIL] * 3
    assert page.texts("p", "name")[0] == name
    assert [attributes["alt"] for attributes, _ in page.all("img")] == [EVIL] * 3
    assert page.texts("script") == []
    targets = [attributes["href"] for attributes, _ in page.all("a")]
    assert all(target.startswith(("#s", "file:///", "https://example.org/")) for target in targets)
    assert (tmp_path / name).as_uri() in targets


def test_a_name_cannot_turn_the_text_around_it(tmp_path: Path) -> None:
    """A name in Hebrew, or with characters that reverse what follows, keeps to itself: `dir` isolates it."""
    page = page_of(tmp_path, section(hit(tmp_path / "שמלה\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe"), title="שמלה"))
    for found in (page.all("p", "name"), page.all("h2"), page.all("h1")):
        assert [attributes["dir"] for attributes, _ in found] == ["auto"]
    assert page.texts("p", "name") == ["שמלה\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe"]


def test_names_that_are_no_text_are_shown_too(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 and control characters in a file's name do not keep its picture from being shown."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x07.png"))
    path.write_bytes(picture("red"))
    page = page_of(tmp_path, section(hit(path)))
    assert page.texts("p", "name") == ["caf?\N{REPLACEMENT CHARACTER}.png"]
    assert len(page.all("img")) == 1
    assert page.all("a")[0][0]["href"].endswith("caf%E9%07.png")


def test_a_picture_that_cannot_be_shown_has_a_tile_with_the_reason(tmp_path: Path) -> None:
    """Missing, broken, not a picture, on the web, without a file, with an impossible name: a tile each, in order."""
    write(tmp_path, {"cut.png": noise(1)[:300], "text.jpg": b"hello", "empty.gif": b"", "good.png": picture("red")})
    (tmp_path / "folder.png").mkdir()
    uris = [tmp_path / name for name in ("gone.png", "cut.png", "text.jpg", "empty.gif", "folder.png", "good.png")]
    odd: list[str | Path] = ["", "https://example.org/a.jpg", "nul\0.png", "x" * 5000]
    page = page_of(tmp_path, section(*(hit(uri, item_id="id") for uri in [*uris, *odd]), query=tmp_path / "gone.png"))
    reasons = page.texts("div", "missing")
    assert len(page.all("li", "tile")) == 10
    assert len(reasons) == 10  # nine of them, and the example
    for reason, expected in zip(
        reasons[1:],
        ("no such file", "cut off", "not a picture", "empty", "no such file", "No file", "on the web", "", ""),
        strict=True,
    ):
        assert expected in reason and reason.endswith((".", "]", ")"))
    assert all(reason in a["aria-label"] for a, reason in page.all("div", "missing"))


def test_confidence_is_a_bar_and_a_number(tmp_path: Path) -> None:
    """The bar is as long as the confidence, within its bounds, and marked where a hit counts as related."""
    confidences = (1.0, 0.934, 0.5, 0.4999, 0.0, 1.7)
    page = page_of(tmp_path, section(*(hit("x.png", confidence=c) for c in confidences)))
    widths = [float(attributes["width"]) for attributes, _ in page.all("rect", "fill")]
    assert widths == pytest.approx([100, 93.4, 50, 50, 0, 100], abs=0.05)
    assert page.texts("strong") == ["1.00", "0.93", "0.50", "0.50", "0.00", "1.70"]
    assert [("sure" in a["class"].split()) for a, _ in page.all("li", "tile")] == [True, True, True, False, False, True]
    assert page.texts("p", "facts") == ["similarity 0.300"] * 6


def test_nothing_found_is_said(tmp_path: Path) -> None:
    """A section without hits says so, and how many pictures were looked at."""
    page = page_of(tmp_path, section(title="a fire engine"))
    assert page.texts("p", "empty") == ["Nothing here matches"]
    assert "1,234" in page.texts("p", "about")[0]
    assert page.all("li", "tile") == []


def test_the_page_can_be_walked(tmp_path: Path) -> None:
    """One h1, an h2 to a query, each section named by it; with three queries or more there is a list of them."""
    for count in (1, 2, 3, 5):
        page = page_of(tmp_path, *(section(title=f"query {n}") for n in range(count)))
        assert len(page.texts("h1")) == 1
        assert page.texts("h2") == [f"query {n}" for n in range(count)]
        ids = {attributes["id"] for attributes, _ in page.all("h2")}
        assert {attributes["aria-labelledby"] for attributes, _ in page.all("section")} == ids
        links = {attributes["href"] for attributes, _ in page.all("a")}
        assert links == ({f"#{a['id']}" for a, _ in page.all("section")} if count >= 3 else set())


def test_the_example_is_shown(tmp_path: Path) -> None:
    """A search by example shows the picture beside its title."""
    write(tmp_path, {"example.png": picture("red")})
    page = page_of(tmp_path, section(title="example.png", query=tmp_path / "example.png"))
    assert [attributes["alt"] for attributes, _ in page.all("img")] == ["The example: example.png"]


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    """Pictures of one name show their folders, on disk and on the web; others show their name alone."""
    page = page_of(
        tmp_path, section(hit("/a/x/1.png"), hit("/a/y/1.png"), hit("https://h/z/1.png?q=1"), hit("/a/x/2.png"))
    )
    assert page.texts("p", "name") == ["x/1.png", "y/1.png", "z/1.png", "2.png"]


def test_a_picture_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that answers several queries is decoded once."""
    write(tmp_path, {"a.png": picture("red")})
    read: list[str] = []

    def counted(uri: str) -> Image.Image:
        read.append(uri)
        return load(uri)

    load = sheet_module.load_picture
    monkeypatch.setattr(sheet_module, "load_picture", counted)
    page = page_of(tmp_path, *(section(hit(tmp_path / "a.png")) for _ in range(4)))
    assert len(page.all("img")) == 4
    assert len(read) == 1


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    """A page that is there is replaced, through a link too; folders are made; nothing is left beside it."""
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    write_sheet(real, title="old", sections=[])
    link.symlink_to(real)
    write_sheet(link, title="new", sections=[])
    write_sheet(tmp_path / "new" / "folder" / "page.html", title="new", sections=[])
    assert link.is_symlink() and "<title>new<" in real.read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["folder", "link.html", "new", "page.html", "real.html"]


def test_only_a_page_is_replaced(tmp_path: Path) -> None:
    """A photo, somebody's own page and an empty file stay as they are, through a link too; the error says so."""
    photo = picture("red")
    write(tmp_path, {"a.png": photo, "own.html": b"<!doctype html><title>lookalike</title>", "empty.html": b""})
    (tmp_path / "link.html").symlink_to("a.png")
    for name in ("a.png", "own.html", "empty.html", "link.html"):
        with pytest.raises(InputError, match=r"is no page of lookalike, so it was left alone; choose another name\."):
            write_sheet(tmp_path / name, title="t", sections=[])
    assert (tmp_path / "a.png").read_bytes() == photo
    assert len(list(tmp_path.iterdir())) == 4


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A folder, a device and a place below a file are refused with a sentence; what is there stays as it is."""
    (tmp_path / "file").write_text("keep")
    for bad in (tmp_path, Path("/dev/null"), tmp_path / "file" / "page.html", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=re.escape(bad.name)):
            write_sheet(bad, title="t", sections=[])
    assert Path("/dev/null").is_char_device()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(tmp_path: Path, theme: int) -> None:
    """Text has a contrast of 4.5 and the bars of 3 to what they stand on (WCAG AA), in the light and in the dark."""
    style = page_of(tmp_path).texts("style")[0]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style.split(":root")[1 + theme]))
    for text in ("ink", "quiet", "warn"):
        assert min(contrast(colours[text], colours[ground]) for ground in ("paper", "tile", "well")) >= 4.5, text
    assert contrast(colours["sure"], colours["track"]) >= 3
