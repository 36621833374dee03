"""The other views of the page in a real browser: browsing, adding pictures, and how the service is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from lookalike import app
from lookalike.config import ServeSettings
from lookalike.http.feeding import Feeding
from lookalike.http.intake import Intake
from lookalike.http.opening import open_queue
from lookalike.metrics import Metrics
from lookalike.sources.uploads import FolderKeeper
from lookalike.store.embedded import open_store
from lookalike.working import Lending
from tests.browser.conftest import HOSTILE, NewPage
from tests.browser.test_page import drop, names
from tests.catalogued import EMBEDDER, Catalogue, catalogue, collection, shown
from tests.pictures import noise, picture
from tests.serving import InlineService, Running, serving

MANY = 700
KEYS = (
    "looks search key-that-only-looks-here;adds write key-that-only-adds;warm search,write key-of-the-warm-project warm"
)
VIEWS = ("browse", "browse&at=projects", "browse&at=duplicates", "add", "status")


@pytest.fixture(autouse=True)
def expect(browser: Any) -> Iterator[Any]:
    """Playwright's assertions, which wait."""
    from playwright.sync_api import expect as expecting

    yield expecting


@contextmanager
def open_shop(of: Catalogue, *, working: bool = True, port: int = 0, **settings: Any) -> Iterator[Running]:
    """A service that takes pictures in, and does what is ordered if it is to."""
    behind, metrics, stopping = InlineService(EMBEDDER), Metrics(), Event()
    folder = Path(str(of.config.index))
    lending = Lending(partial(app.open_store, of.config.index, write=True), stopping)
    feeding = Feeding(folder, of.config, lending=lending, recorder=metrics, stopping=stopping) if working else None
    wake = feeding.wake if feeding else lambda: None
    intake = Intake(partial(open_queue, of.config.index), FolderKeeper(folder / "uploads"), lending, wake)
    chosen = ServeSettings(**settings)
    with (
        collection(of, behind) as index,
        serving(
            behind, index=index, settings=chosen, intake=intake, feeding=feeding, metrics=metrics, port=port
        ) as running,
    ):
        yield running
    if feeding:
        feeding.close()
    intake.close()
    behind.close(drain_s=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A picture of each colour, blue twice, red saved again, one with an attack for a name, and many of black."""
    made = catalogue(tmp_path_factory.mktemp("shop"))
    with open_store(made.config.index, write=True) as store:
        (black,) = store.get([("default", made.path("black"))])
        assert black is not None
        many = [replace(black, id=f"black {n}", project="many") for n in range(MANY)]
        store.add(many, [], np.empty((0, store.space.dim), np.float32))
    made.add("blue again", picture((30, 30, 220)), metadata={"colour": "blue"})
    made.add("red again", picture((220, 30, 30), size=(50, 60)), project="warm")
    made.add(HOSTILE, picture("magenta"), caption=HOSTILE, metadata={"kind": HOSTILE})
    return made


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    with open_shop(shop) as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Catalogue:
    """An index that a test changes."""
    return catalogue(tmp_path)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder: two good pictures, one that the index has, one cut off, one damaged, one that is none, and notes."""
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / "noise.png").write_bytes(noise(1, kind="PNG"))
    (folder / "pink.png").write_bytes(picture((255, 0, 128)))
    (folder / "red.png").write_bytes(picture((220, 30, 30)))
    (folder / "cut.png").write_bytes(noise(2, kind="PNG")[:-20])
    whole = noise(3, kind="PNG")
    (folder / "damaged.png").write_bytes(whole[:500] + bytes(500) + whole[1000:])
    (folder / "words.png").write_bytes(b"These are words.")
    (folder / "notes.txt").write_bytes(b"These are notes.")
    return folder


def states(page: Any) -> dict[str, str]:
    """What is said of each file."""
    rows = page.locator(".file").evaluate_all(
        "rows => rows.map((row) => [row.querySelector('.name').textContent, row.querySelector('.state').textContent])"
    )
    return {name.rpartition("/")[2]: state for name, state in rows}


def test_a_view_is_loaded_when_it_is_first_shown(new_page: NewPage, expect: Any) -> None:
    """A link leads to it, Back leads back, and words typed anywhere lead to the search."""
    page = new_page()
    expect(page.locator(".tile img.ready").first).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="Status").click()
    expect(page.locator("#view-status .light.on")).to_be_visible()
    expect(page.locator("#views [aria-current=page]")).to_have_text("Status")
    expect(page.locator("#finder")).to_be_hidden()
    assert any(url.endswith("/views/status.js") for url in asked)
    page.go_back()
    expect(page.locator("#finder")).to_be_visible()
    expect(page.locator("#view-status")).to_be_hidden()
    page.go_forward()
    page.fill("#box", "red")
    expect(page.locator("#finder .score").first).to_be_visible()
    assert page.evaluate("location.hash") == "#q=red"


def test_the_newest_come_first_and_all_are_reached(new_page: NewPage, expect: Any) -> None:
    """What came last stands first; by scrolling one comes to the very first picture."""
    page = new_page("#view=browse")
    expect(page.locator("#view-browse .count")).to_have_text(f"{MANY + 9} pictures")
    assert names(page)[:3] == [HOSTILE, "red again", "blue again"]
    page.locator("#view-browse .picture").first.focus()
    for so_many in (300, 600, MANY + 9):
        expect(page.locator("#view-browse .tile").last).to_have_attribute("aria-setsize", str(so_many))
        page.keyboard.press("End")
    expect(page.locator("#view-browse .picture:focus")).to_have_attribute("aria-label", "red.png")
    assert page.locator("#view-browse .tile").count() < 200


def test_facts_and_projects_filter(new_page: NewPage, expect: Any) -> None:
    """A choice for each fact that the pictures have; it is in the address, and Back takes it away."""
    page = new_page("#view=browse&project=default")
    page.get_by_label("colour").select_option("blue")
    expect(page.locator("#view-browse .tile")).to_have_count(2)
    assert "where=colour%3Ablue" in page.evaluate("location.hash")
    page.locator("#view-browse .picture").first.click()
    expect(page.locator("#name")).to_have_text("blue again.png")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).to_have_text("blue.png")
    page.keyboard.press("Escape")
    expect(page.locator("#view-browse .picture").nth(1)).to_be_focused()
    page.locator("#view-browse .tools > select").select_option("warm")
    expect(page.locator("#view-browse .empty")).to_be_visible()
    page.go_back()
    expect(page.locator("#view-browse .tile")).to_have_count(2)


def test_projects_show_their_newest_pictures(new_page: NewPage, expect: Any) -> None:
    """Each with its number; a click opens it."""
    page = new_page("#view=browse&at=projects")
    expect(page.locator(".card strong")).to_have_text(["default", "many", "warm"])
    expect(page.locator(".card", has_text="warm").locator("img.ready")).to_have_count(3)
    page.locator(".card a", has_text="warm").click()
    expect(page.locator("#view-browse .tile")).to_have_count(3)
    expect(page.locator("#view-browse .tools > select")).to_have_value("warm")


def test_duplicates_stand_side_by_side_with_the_reason(new_page: NewPage, expect: Any) -> None:
    """Equal bytes first, then what looks the same and how much; each opens, and the focus comes back to it."""
    page = new_page("#view=browse&at=duplicates&project=warm")
    near = page.locator(".group")
    expect(near).to_have_count(1)
    expect(near.locator(".reason")).to_have_text("Looks the same")
    expect(near.locator("p")).to_contain_text("0.98")
    expect(near.locator("img.ready")).to_have_count(2)
    near.locator(".picture").nth(1).click()
    expect(page.locator("#name")).to_have_text("red.png")
    page.keyboard.press("Escape")
    expect(near.locator(".picture").nth(1)).to_be_focused()
    page.locator("#view-browse .tools > select").select_option("")
    expect(page.locator(".group").first).to_contain_text(f"{MANY + 1} times")
    expect(page.locator(".group", has_text="blue again").locator(".reason")).to_have_text("Same file")


def test_a_folder_is_added_the_broken_among_the_good(
    new_page: NewPage, own: Catalogue, album: Path, expect: Any
) -> None:
    """Each file says what has become of it: added, a duplicate of what, failed and why; and it is found at once."""
    with open_shop(own) as running:
        page = new_page("#view=add", at=running.url)
        page.locator("input[webkitdirectory]").set_input_files(album)
        expect(page.locator("#view-add .count")).to_have_text("Failed: 3 · Duplicate: 1 · Added: 2")
        assert states(page) == {
            "noise.png": "Added",
            "pink.png": "Added",
            "red.png": "Duplicate",
            "cut.png": "Failed",
            "damaged.png": "Failed",
            "words.png": "Failed",
        }
        expect(page.locator(".file", has_text="words.png").locator(".why")).to_contain_text("not a picture of a kind")
        expect(page.locator(".file", has_text="cut.png").locator(".why")).to_contain_text("cut off")
        expect(page.locator(".file", has_text="red.png").locator(".why")).to_contain_text(own.path("red"))
        sent: list[str] = []
        page.on(
            "request", lambda made: sent.append(made.url) if made.method == "POST" and "/items?" in made.url else None
        )
        page.locator("input[webkitdirectory]").set_input_files(album)  # once more: what is there is not sent again
        expect(page.locator("#view-add .count")).to_have_text("Failed: 3 · Duplicate: 1 · Added: 2")
        assert all("damaged.png" in url for url in sent), sent
        page.get_by_label("To project").fill("another")  # which has none of them
        page.locator("input[webkitdirectory]").set_input_files(album)
        until = time.monotonic() + 20  # the count says the same before and after: what is there tells that it is done
        while len(running.client.get("/items", params={"project": "another"}).json()["items"]) < 3:
            assert time.monotonic() < until
        expect(page.locator("#view-add .count")).to_have_text("Failed: 3 · Duplicate: 1 · Added: 2")
        page.reload()
        expect(page.locator("#view-add .count")).to_have_text("Failed: 3 · Duplicate: 1 · Added: 2")
        page.get_by_role("link", name="Browse").click()
        expect(page.locator("#view-browse .count")).to_have_text("12 pictures")
        assert set(names(page)[:3]) == {"noise", "pink", "red"}
        page.get_by_role("link", name="Add").click()
        page.get_by_role("button", name="Clear the list").click()
        expect(page.locator(".file")).to_have_count(0)
        page.goto("about:blank")


def test_adding_goes_on_after_the_service_was_restarted(new_page: NewPage, own: Catalogue, expect: Any) -> None:
    """What was taken is done by the next process; what was not yet is sent to it. The page says so meanwhile."""
    with open_shop(own, working=False) as first:
        page = new_page("#view=add", at=first.url)
        expect(page.get_by_role("button", name="Choose files")).to_be_visible()
        drop(page, noise(1, kind="PNG"), "one.png")
        expect(page.locator(".file .state")).to_have_text("Waiting")
    drop(page, noise(2, kind="PNG"), "two.png")
    expect(page.locator("#notice")).to_contain_text("does not answer")
    port = int(first.url.rpartition(":")[2])
    with open_shop(own, port=port):
        expect(page.locator("#view-add .count")).to_have_text("Added: 2")
        expect(page.locator("#notice")).to_be_hidden()
        page.goto("about:blank")


def test_who_may_not_add_is_told(new_page: NewPage, own: Catalogue, expect: Any) -> None:
    """A key without the scope sees the service's sentence; one for a project adds to that, and sees nothing else."""
    with open_shop(own, api_keys=KEYS) as running:
        page = new_page("#view=add", at=running.url)
        page.fill("#key", "key-that-only-looks-here")
        page.keyboard.press("Enter")
        expect(page.locator("#view-add .empty")).to_contain_text("does not have the scope 'write'")
        expect(page.get_by_role("button", name="Choose files")).to_be_hidden()
        page = new_page("#view=add", at=running.url)
        page.fill("#key", "key-that-only-adds")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Choose files")).to_be_visible()
        page = new_page("#view=add", at=running.url)
        page.fill("#key", "key-of-the-warm-project")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Choose files")).to_be_visible()
        drop(page, noise(1, kind="PNG"), f"{HOSTILE}.png")
        expect(page.locator("#view-add .count")).to_have_text("Added: 1")
        expect(page.locator(".file .name")).to_have_text(f"{HOSTILE}.png")
        page.get_by_role("link", name="Browse").click()
        expect(page.locator("#view-browse .count")).to_have_text("3 pictures")
        page.get_by_role("link", name="Status").click()
        expect(page.locator(".big")).to_have_text("3 pictures")
        expect(page.locator("table")).to_have_count(0)  # what others do does not show
        page.goto("about:blank")


def test_a_search_is_narrowed_by_what_its_pictures_differ_in(new_page: NewPage, own: Catalogue, expect: Any) -> None:
    """Their type and their year, then the month; by keyboard too. What is chosen is a chip, and in the address."""
    for n, month in enumerate(("2024-03", "2026-05", "2026-07")):
        facts = {"file_type": "png" if n else "jpeg", "taken_year": month[:4], "taken_month": month}
        own.add(f"photo {n}", noise(n), metadata=facts | {"taken_on": f"{month}-1{n}"})
    with shown(own) as running:
        page = new_page("#q=blue&least=0", at=running.url)
        expect(page.locator(".score")).to_have_count(9)
        page.get_by_role("button", name="Filter").focus()
        page.keyboard.press("Enter")
        choices = page.locator("#facets select")
        expect(page.get_by_label("Year")).to_be_visible()
        assert sorted(choices.evaluate_all("all => all.map((one) => one.ariaLabel)")) == ["Type", "Year", "colour"]
        page.keyboard.press("Escape")
        page.locator(".picture").first.focus()
        page.keyboard.press("x")
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_label("Year")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#facets")).to_be_hidden()
        expect(page.locator("#selected")).to_have_text("1 selected")  # that was not meant
        page.get_by_role("button", name="Filter").click()
        page.get_by_label("Year").select_option("2026")
        expect(page.locator("#count")).to_have_text("2 of 2 pictures")
        expect(page.locator("#filters .words")).to_have_text(["Year: 2026"])
        page.get_by_role("button", name="Filter").click()
        page.get_by_label("Month").select_option("2026-07")
        expect(page.locator("#count")).to_have_text("1 of 1 pictures")
        assert "where=taken_month%3A2026-07" in page.evaluate("location.hash")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("#facets")).to_have_text("These pictures have nothing to choose by.")
        page.keyboard.press("Escape")
        page.locator(".picture").first.click()
        expect(page.locator("#lightbox dt")).to_contain_text(["Type", "Taken on"])
        expect(page.locator("#lightbox")).not_to_contain_text("Month")
        page.goto("about:blank")


def test_the_status_shows_figures_and_failures(new_page: NewPage, own: Catalogue, album: Path, expect: Any) -> None:
    """Ready, how much, how fast, and what failed, which can be tried again; nobody is asked while nobody looks."""
    with open_shop(own) as running:
        page = new_page("#view=add", at=running.url)
        page.clock.install()
        page.reload()
        page.locator("#view-add input[type=file]").first.set_input_files(album / "damaged.png")
        expect(page.locator("#view-add .count")).to_have_text("Failed: 1")
        page.get_by_role("link", name="Status").click()
        expect(page.locator(".light.on")).to_have_text("Ready")
        expect(page.locator("#view-status")).to_contain_text(EMBEDDER.space.id)
        expect(page.locator(".chart .line").first).to_have_attribute("d", re.compile("M120"))
        expect(page.locator(".dead li")).to_contain_text("damaged")
        page.clock.pause_at(page.evaluate("Date.now() + 1000"))
        with page.expect_request_finished(lambda request: "state=waiting" in request.url):  # what is drawn anew
            page.get_by_role("button", name="Try again: ").click()
        expect(page.locator(".dead li")).to_contain_text("damaged")
        expect(page.locator("#notice")).to_have_text("1 picture is tried again.")  # and what was said stands
        page.clock.run_for(5000)
        expect(page.locator("#notice")).to_be_hidden()
        page.clock.resume()
        with page.expect_request("**/stats"):  # it is asked again by itself
            pass
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        with page.expect_request_finished(lambda request: "project=default" in request.url):
            page.evaluate("location.hash = '#view=status&project=default'")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.fast_forward(60_000)
        assert [url for url in asked if url.endswith("/stats")] == []
        page.evaluate("delete document.hidden")
        with page.expect_request("**/stats"):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.goto("about:blank")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_shuts_anybody_out(new_page: NewPage, service: Running, scheme: str, expect: Any) -> None:
    """axe finds no violation in any view, in Hebrew and English; nothing is wider than a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = new_page(
        "#view=add",
        color_scheme=scheme,
        width=390,
        reduced_motion="reduce",
        locale="he-IL" if scheme == "dark" else "en-US",
    )
    expect(page.locator(".well .main")).to_be_visible()
    drop(page, b"no picture", f"{HOSTILE} {scheme}.png")
    expect(page.locator(".file.failed")).to_be_visible()
    found = []
    for view in VIEWS:
        page.evaluate("(view) => (location.hash = `#view=${view}`)", view)
        expect(page.locator(f"#view-{view.partition('&')[0]}")).to_be_visible()
        shown = {"browse": ".tile img.ready", "add": ".file", "status": ".light"}.get(view, ".card, .group")
        expect(page.locator(shown).locator("visible=true").first).to_be_visible()
        found += [
            (view, one["id"], node["html"]) for one in axe.run(page).response["violations"] for node in one["nodes"]
        ]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    assert found == []
    assert page.evaluate("window.hacked") is None
