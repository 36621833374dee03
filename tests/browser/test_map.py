"""The map, the clusters and why a picture matched, in a real browser."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic_core import to_json

from lookalike.bank import LOOKS
from lookalike.confidence import CAPTION_BANK
from lookalike.http.landscapes import name_of
from lookalike.landscape import Landscape, Points, points_of, survey
from lookalike.store.embedded import open_store
from lookalike.types import Filter, Rows
from tests.browser.conftest import NewPage
from tests.catalogued import EMBEDDER, Catalogue, catalogue, shown
from tests.pictures import picture
from tests.serving import Running

MANY = 100_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Seven pictures, and a map of them that is there already: to look at one needs no library."""
    made = catalogue(tmp_path_factory.mktemp("mapped"))
    made.add("half", _half_red())
    with open_store(made.config.index) as store:
        points = points_of(store, Filter(), n_items=store.n_items)
        bank = EMBEDDER.embed_texts((*CAPTION_BANK, *LOOKS)).values
        keep(made, survey(store, points, bank, _in_a_row))
    return made


def keep(shop: Catalogue, landscape: Landscape, project: str | None = None) -> None:
    """Put a map where the service looks for it."""
    folder = shop.config.cache_dir / "maps"
    folder.mkdir(parents=True, exist_ok=True)
    name = name_of(str(shop.config.index), EMBEDDER.space.id, project)
    (folder / f"{name}.npz").write_bytes(landscape.to_bytes())


def _in_a_row(rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    places = np.stack([np.arange(len(rows)), np.arange(len(rows)) % 2], axis=1).astype(np.float32)
    return places, (np.arange(len(rows)) % 2).astype(np.uint8)


def _half_red() -> bytes:
    image = Image.open(BytesIO(picture((30, 30, 220), size=(420, 280)))).convert("RGB")
    image.paste((220, 30, 30), (210, 0, 420, 280))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    """The service over them."""
    with shown(shop) as running:
        yield running


@pytest.fixture(autouse=True)
def expect(browser: Any) -> Iterator[Any]:
    """Playwright's assertions, which wait."""
    from playwright.sync_api import expect as expecting

    yield expecting


def test_the_map_is_moved_and_opened_by_keyboard(new_page: NewPage, expect: Any) -> None:
    """Arrows move, plus zooms, what is in the middle is said, Enter opens it, Escape comes back to the map."""
    page = new_page("#view=map")
    expect(page.locator(".map-tabs + .count")).to_have_text("7 pictures · 2 clusters")
    canvas = page.locator(".atlas canvas")
    canvas.focus()
    page.keyboard.press("+")
    expect(page.locator(".atlas .said")).to_have_text(re.compile("In the middle: "))
    before = page.locator(".atlas .said").inner_text()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".atlas .said")).not_to_have_text(before)
    name = page.locator(".atlas .said").inner_text().removeprefix("In the middle: ")
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_have_text(name)
    page.keyboard.press("Escape")
    expect(page.locator("#lightbox")).to_be_hidden()
    expect(canvas).to_be_focused()


def test_a_click_opens_what_lies_there(new_page: NewPage, expect: Any) -> None:
    """The wheel zooms where the mouse is, a drag opens nothing, a click on a point opens its picture."""
    page = new_page("#view=map")
    expect(page.locator(".atlas canvas")).to_be_visible()
    box = page.locator(".atlas canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -200)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1], steps=3)
    page.mouse.up()
    expect(page.locator("#lightbox")).to_be_hidden()
    page.get_by_label("Show everything").click()
    # The fourth of seven points in a row is in the middle of the width, and at the lower edge of the row.
    side = min(box["width"], box["height"]) - 72
    page.mouse.click(middle[0], middle[1] + side / 12)
    expect(page.locator("#large")).to_be_visible()


def test_clusters_are_listed_with_pictures(new_page: NewPage, expect: Any) -> None:
    """Each with its number of pictures and some of them; a picture opens, a name leads to its place on the map."""
    page = new_page("#view=map&at=clusters")
    expect(page.locator(".kind")).to_have_count(2)
    expect(page.locator(".kind .quiet").first).to_have_text("4 pictures")
    expect(page.locator(".kind img.ready").first).to_be_visible()
    page.locator(".kind .picture").first.click()
    expect(page.locator("#large")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".kind .picture").first).to_be_focused()
    page.locator(".kind h2 a").first.click()
    expect(page.locator(".atlas canvas")).to_be_visible()


def test_why_a_picture_matched(new_page: NewPage, expect: Any) -> None:
    """Each word has its effect, concepts are named, and the picture is darkened where it does not matter."""
    page = new_page("#q=a+red+thing&least=0")
    page.locator(".tile").filter(has=page.get_by_label(re.compile("^half.png"))).locator(".picture").click()
    page.get_by_role("button", name="Why this picture?").click()
    expect(page.locator(".effects bdi")).to_have_text(["a", "red", "thing"])
    expect(page.locator(".near li")).to_have_count(6)
    page.get_by_role("button", name="Show where").click()
    expect(page.locator("canvas.heat")).to_be_visible()
    left, right = page.locator("canvas.heat").evaluate(
        """canvas => [0.1, 0.8].map((x) =>
          canvas.getContext("2d").getImageData(canvas.width * x, canvas.height / 2, 1, 1).data[3])"""
    )
    assert left > right + 50
    page.keyboard.press("ArrowRight")
    expect(page.locator("canvas.heat")).to_have_count(0)
    expect(page.locator(".near li")).to_have_count(6)  # it stays open from picture to picture


def test_both_are_accessible(new_page: NewPage, expect: Any) -> None:
    """axe finds nothing wrong in the map, in the clusters, and in an explanation, light and dark."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for address, wait in (("#view=map", ".atlas canvas"), ("#view=map&at=clusters", ".kind img.ready")):
        page = new_page(address, color_scheme="dark", reduced_motion="reduce")
        expect(page.locator(wait).first).to_be_visible()
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page = new_page("#q=red+thing&least=0", reduced_motion="reduce")
    page.locator(".picture").first.click()
    page.get_by_role("button", name="Why this picture?").click()
    expect(page.locator(".near li").first).to_be_visible()
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_hundred_thousand_points_are_drawn(new_page: NewPage, shop: Catalogue, expect: Any) -> None:
    """The answer is less than 2 MB, all points are on the map, and it is moved."""
    rng = np.random.default_rng(0)
    keys = tuple(("many", f"p{n}") for n in range(MANY))
    made = Landscape(
        points=Points(keys=keys, contents=tuple(item for _, item in keys), total=MANY),
        places=rng.integers(0, 65_536, (MANY, 2)).astype(np.uint16),
        groups=np.zeros(MANY, np.uint8),
        clusters=(),
        version="many",
    )
    page = new_page()
    sizes: list[int] = []

    def many(route: Any) -> None:
        answer = answer_of(made)
        sizes.append(len(answer))
        route.fulfill(body=answer, content_type="application/json")

    page.route("**/map?*", many)
    page.goto(page.url.split("#")[0] + "#view=map")
    expect(page.locator(".map-tabs + .count")).to_have_text("100,000 pictures · 1 cluster")
    assert sizes[0] < 2_000_000
    page.locator(".atlas canvas").focus()
    page.keyboard.press("+")
    drawn = page.locator(".atlas canvas").evaluate(
        """canvas => new Promise((done) => requestAnimationFrame(() => {
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          done(data.filter((value, n) => n % 4 === 3 && value > 0).length / (canvas.width * canvas.height));
        }))"""
    )
    assert drawn > 0.3


def answer_of(made: Landscape) -> bytes:
    """What GET /map says of a map."""
    cluster = {"names": ["everything"], "items": MANY, "x": 32_768, "y": 32_768}
    return to_json(
        {
            "state": "ready",
            "share": None,
            "error": None,
            "version": made.version,
            "items": MANY,
            "total": MANY,
            "places": b64encode(made.places.tobytes()).decode(),
            "groups": b64encode(made.groups.tobytes()).decode(),
            "clusters": [cluster],
        }
    )
