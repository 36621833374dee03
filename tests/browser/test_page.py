"""The page of `lookalike serve` in a real browser: what mouse, keyboard and files do, and what is then seen."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from lookalike.config import ServeSettings
from lookalike.store.embedded import open_store
from tests.browser.conftest import HOSTILE, NewPage
from tests.catalogued import EMBEDDER, Catalogue, catalogue, collection
from tests.pictures import picture
from tests.serving import InlineService, Running, serving

KEY = "the-key-of-a-shop"
MANY = 100_000


@pytest.fixture(autouse=True)
def expect(browser: Any) -> Iterator[Any]:
    """Playwright's assertions, which wait."""
    from playwright.sync_api import expect as expecting

    yield expecting


def names(page: Any) -> list[str]:
    """The pictures on the page in their order, without what is said of them."""
    labels = page.locator(".tile .picture").evaluate_all("nodes => nodes.map((node) => node.ariaLabel)")
    return [label.split(", confidence")[0].removesuffix(".png") for label in labels]


def drop(page: Any, data: bytes, name: str = "photo.png") -> None:
    """Drop a file onto the page."""
    transfer = page.evaluate_handle(
        """([bytes, name]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(bytes)], name));
          return transfer;
        }""",
        [list(data), name],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def test_pictures_are_there_before_anything_is_searched_for(new_page: NewPage, service: Running, expect: Any) -> None:
    """The first view has the pictures of the index, those that a filter lets through, and no confidence yet."""
    page = new_page()
    expect(page.locator("#count")).to_have_text("8 pictures")
    expect(page.locator(".tile img.ready")).to_have_count(8)
    expect(page.locator(".score")).to_have_count(0)
    page.goto("about:blank")
    page.goto(f"{service.url}/#where=colour:blue")
    expect(page.locator("#count")).to_have_text("2 pictures")


def test_words_find_as_they_are_typed(new_page: NewPage, expect: Any) -> None:
    """No Enter is needed, what is found is what is related, and the address says what was looked for."""
    page = new_page()
    page.locator("#box").press_sequentially("a red dress")
    expect(page.locator("#count")).to_have_text("1 of 8 pictures")
    expect(page.locator(".tile")).to_have_count(1)
    assert names(page) == ["red"]
    assert page.evaluate("location.hash") == "#q=a+red+dress"


def test_a_late_answer_to_earlier_words_is_not_shown(new_page: NewPage, expect: Any) -> None:
    """Words that were typed over are given up: their request is cancelled."""
    page = new_page()
    cancelled: list[str] = []
    held: list[Any] = []
    # Thumbnails of what is no longer shown are given up too.
    page.on("requestfailed", lambda request: cancelled.extend(filter(None, [request.post_data])))
    page.route(
        "**/search/images", lambda route: held.append(route) if "red" in route.request.post_data else route.continue_()
    )
    with page.expect_request("**/search/images"):
        page.fill("#box", "red")
    page.fill("#box", "green")
    expect(page.locator(".tile")).to_have_count(1)
    assert names(page) == ["green"]
    assert len(held) == len(cancelled) == 1
    assert "red" in cancelled[0]


def test_a_dropped_picture_is_searched_by_and_is_in_the_link(new_page: NewPage, expect: Any) -> None:
    """It finds what looks like it; the address, opened by somebody else, finds the same."""
    page = new_page("#least=0")
    expect(page.locator(".tile img.ready")).to_have_count(8)
    drop(page, picture((220, 30, 30), size=(900, 700)))
    expect(page.locator("#parts img")).to_be_visible()
    expect(page.locator(".score")).to_have_count(8)
    assert names(page)[0] == "red"
    other = new_page(page.evaluate("location.hash"))
    expect(other.locator(".score")).to_have_count(8)
    assert names(other)[0] == "red"  # by the small copy that is in the address


def test_a_search_is_composed(new_page: NewPage, expect: Any) -> None:
    """Words become parts, plus and minus, with weights; each can be turned around, weighed and removed."""
    page = new_page("#least=0")
    page.fill("#box", "yellow")
    page.press("#box", "Shift+Enter")
    page.fill("#box", "green")
    page.press("#box", "Alt+Enter")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator(".chip.away .words")).to_have_text("green")
    wanted = [{"text": "yellow", "weight": 1}, {"text": "green", "weight": -2.5}]
    with page.expect_request(lambda sent: sent.post_data and sent.post_data_json["query"] == wanted):
        page.locator(".chip.away input").fill("2.5")
        page.locator(".chip.away input").press("Tab")
    expect(page.locator(".tile").first.locator(".picture")).to_have_attribute("aria-label", re.compile(HOSTILE))
    page.get_by_label("Remove green").click()
    expect(page.locator(".tile").first.locator(".picture")).to_have_attribute("aria-label", re.compile("yellow"))
    page.go_back()
    expect(page.locator(".chip")).to_have_count(2)


def test_more_like_this_needs_no_words(new_page: NewPage, expect: Any) -> None:
    """Every picture can be searched by, of whatever project it is; it is itself not among the answers."""
    page = new_page("#q=red&least=0")
    page.locator(".tile").first.hover()
    page.locator(".tile").first.get_by_label("More like this").click()
    expect(page.locator("#parts img[alt='red.png']")).to_be_visible()
    expect(page.locator("#count")).to_have_text("7 of 8 pictures")
    assert "red" not in names(page)


def test_the_threshold_shows_what_is_sure_enough(new_page: NewPage, expect: Any) -> None:
    """The slider counts while it moves; above what the best reaches nothing matches, and the page says so."""
    page = new_page("#q=red&least=0")
    expect(page.locator("#count")).to_have_text("8 of 8 pictures")
    page.locator("#least").fill("10")
    expect(page.locator("#count")).to_have_text(re.compile(r"^[2-4] of 8 pictures$"))
    page.locator("#least").fill("90")
    expect(page.locator("#empty h2")).to_have_text("Nothing here matches")
    expect(page.locator("#empty p")).to_have_text(re.compile(r"The nearest picture reaches 5\d%"))
    page.get_by_role("button", name="Show what is less sure").click()
    expect(page.locator("#count")).to_have_text("8 of 8 pictures")


def test_the_keyboard_does_everything(new_page: NewPage, expect: Any) -> None:
    """Search, walk, look, turn, select, search on: without a mouse, and the focus is never lost."""
    page = new_page("#least=0")
    expect(page.locator(".tile img.ready")).to_have_count(8)
    page.keyboard.press("/")
    page.keyboard.type("red")
    expect(page.locator(".score")).to_have_count(8)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".picture").nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".picture").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_have_text(names(page)[1] + ".png")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).to_have_text(names(page)[2] + ".png")
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    expect(page.locator("#lightbox")).to_be_hidden()
    expect(page.locator(".picture").nth(2)).to_be_focused()
    expect(page.locator("#selected")).to_have_text("1 selected")
    page.keyboard.press("Escape")
    expect(page.locator("#selection")).to_be_hidden()
    page.keyboard.press("m")
    expect(page.locator("#parts img")).to_have_count(1)


def test_a_link_shows_the_same(new_page: NewPage, shop: Catalogue, expect: Any) -> None:
    """Words, filters, threshold and the picture that is open come out of the address; Back closes the picture."""
    page = new_page("#q=blue&least=0&where=colour:blue")
    expect(page.locator(".tile")).to_have_count(2)
    page.locator(".picture").first.click()
    expect(page.locator("#large")).to_be_visible()
    other = new_page(page.evaluate("location.hash"))
    expect(other.locator("#name")).to_have_text(page.locator("#name").inner_text())
    expect(other.locator("#box")).to_have_value("blue")
    expect(other.locator("#filters .words")).to_have_text("colour: blue")
    expect(other.locator("#facts")).to_contain_text(shop.path("blue again"))  # the same picture, twice
    page.go_back()
    expect(page.locator("#lightbox")).to_be_hidden()


@pytest.mark.parametrize("half", ["A", "AAAAA", "AAA==", "AAA"])
def test_half_a_picture_in_a_link_is_left_out(new_page: NewPage, half: str, expect: Any) -> None:
    """A link that was cut off shows the rest of its search."""
    page = new_page(f"#part=1,picture,{half}&q=red&least=0")
    expect(page.locator(".score")).to_have_count(8)
    expect(page.locator(".chip")).to_have_count(0)


def test_hebrew_runs_from_right_to_left(new_page: NewPage, expect: Any) -> None:
    """Where the browser speaks Hebrew, so does the page: the first picture is on the right, the next to its left."""
    page = new_page("#q=red&least=0", locale="he-IL")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.locator("#count")).to_contain_text("תמונות")
    first, second = (page.locator(".tile").nth(n).bounding_box() for n in (0, 1))
    assert first["x"] > second["x"]
    page.locator("#box").press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".picture").nth(1)).to_be_focused()
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("dir", "ltr")
    expect(page.locator("#count")).to_have_text("8 of 8 pictures")


@pytest.mark.parametrize("locale", ["en-US", "he-IL"])
def test_what_closes_a_picture_covers_no_name(new_page: NewPage, locale: str, expect: Any) -> None:
    """Whatever the direction of the page and that of the name."""
    page = new_page("#q=red", width=360, locale=locale)
    page.locator(".picture").click()
    expect(page.locator("#name")).to_have_text("red.png")
    name = page.evaluate(
        """() => {
          const range = document.createRange();
          range.selectNodeContents(document.getElementById("name"));
          return range.getBoundingClientRect().toJSON();
        }"""
    )
    close = page.locator("#close").bounding_box()
    assert name["right"] <= close["x"] or close["x"] + close["width"] <= name["left"]


def test_names_are_never_more_than_text(new_page: NewPage, expect: Any) -> None:
    """A file name, a caption, a project, metadata, an address: none of them becomes an element or runs."""
    page = new_page(f"#q={HOSTILE}&least=0&part=1,text,{HOSTILE}")
    expect(page.locator("#parts .words")).to_have_text(HOSTILE)
    page.locator("#grid").get_by_role("button", name=HOSTILE).click()
    expect(page.locator("#caption")).to_have_text(HOSTILE)
    expect(page.locator("#name")).to_have_text(HOSTILE + ".png")
    page.locator("#facts").get_by_role("button", name=HOSTILE).last.click()
    expect(page.locator("#filters .words")).to_have_text(f"kind: {HOSTILE}")
    expect(page.locator(".tile")).to_have_count(1)
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("window.hacked") is None


def test_the_page_survives_a_restart(new_page: NewPage, shop: Catalogue, expect: Any) -> None:
    """While the service is away the page says so and tries again; once it is back the search is answered."""
    behind = InlineService(EMBEDDER)
    with collection(shop, behind) as index, serving(behind, index=index) as first:
        page = new_page("#least=0", at=first.url)
        expect(page.locator(".tile")).to_have_count(8)
    page.fill("#box", "red")
    expect(page.locator("#notice")).to_contain_text("does not answer")
    port = int(first.url.rpartition(":")[2])
    with collection(shop, behind) as index, serving(behind, index=index, port=port):
        expect(page.locator(".score")).to_have_count(8)
        expect(page.locator("#notice")).to_be_hidden()
        page.goto("about:blank")
    behind.close(drain_s=0)


def test_with_keys_nothing_is_shown_without_one(new_page: NewPage, shop: Catalogue, expect: Any) -> None:
    """The page asks for a key, says what is wrong with another one, and shows pictures, which no img could ask for."""
    behind = InlineService(EMBEDDER)
    settings = ServeSettings(api_keys=f"shop search {KEY};vectors embed another-key-of-a-shop")
    with collection(shop, behind) as index, serving(behind, index=index, settings=settings) as running:
        page = new_page("#q=red", at=running.url)
        expect(page.locator("#ask")).to_be_visible()
        assert page.locator(".tile").count() == 0
        page.fill("#key", "not-the-key-of-a-shop")
        page.keyboard.press("Enter")
        expect(page.locator("#ask-why")).to_contain_text("no such API key")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        expect(page.locator(".tile img.ready")).to_have_count(1)
        assert page.locator(".tile img").get_attribute("src").startswith("blob:")
        page.locator(".picture").click()
        expect(page.locator("#large")).to_have_js_property("naturalWidth", 40)
        page.reload()
        expect(page.locator("#large")).to_be_visible()
        assert KEY not in page.url
        page.goto("about:blank")
    behind.close(drain_s=0)


def test_a_wrong_kind_of_key_is_replaced(new_page: NewPage, shop: Catalogue, expect: Any) -> None:
    """What no header carries is refused where it is typed; for a key that may not search the page asks for another."""
    behind = InlineService(EMBEDDER)
    settings = ServeSettings(api_keys=f"shop search {KEY};vectors embed another-key-of-a-shop")
    with collection(shop, behind) as index, serving(behind, index=index, settings=settings) as running:
        page = new_page("#q=red", at=running.url)
        page.fill("#key", "המפתח של החנות")
        page.keyboard.press("Enter")
        expect(page.locator("#ask-why")).to_have_text("A key has Latin letters, digits and signs alone.")
        page.fill("#key", "another-key-of-a-shop")
        page.keyboard.press("Enter")
        expect(page.locator("#ask-why")).to_contain_text("does not have the scope 'search'")
        page.fill("#key", f" {KEY} ")
        page.keyboard.press("Enter")
        expect(page.locator(".tile img.ready")).to_have_count(1)
        page.goto("about:blank")
    behind.close(drain_s=0)


def test_a_key_for_some_projects_opens_these(new_page: NewPage, shop: Catalogue, expect: Any) -> None:
    """With one the page is as if there were no other; with several it shows the first, and the choice has no "all"."""
    behind = InlineService(EMBEDDER)
    keys = f"one search {KEY} warm;two search {KEY}-two warm,default"
    with (
        collection(shop, behind) as index,
        serving(behind, index=index, settings=ServeSettings(api_keys=keys)) as running,
    ):
        for key, n_pictures, options in ((KEY, 2, []), (f"{KEY}-two", 5, ["default", "warm"])):
            page = new_page("", at=running.url)
            page.fill("#key", key)
            page.keyboard.press("Enter")
            expect(page.locator(".tile img.ready")).to_have_count(n_pictures)
            if options:
                expect(page.locator("#project")).to_have_value("default")
                assert page.locator("#project option").all_inner_texts() == options
                page.select_option("#project", "warm")
                expect(page.locator(".tile img.ready")).to_have_count(2)
            else:
                expect(page.locator("#project")).to_be_hidden()
            page.fill("#box", "blue")
            expect(page.locator("#grid")).not_to_contain_text("blue.png")
            page.goto("about:blank")
    behind.close(drain_s=0)


def test_without_an_index_the_page_says_what_to_do(new_page: NewPage, tmp_path: Path, expect: Any) -> None:
    """And shows the pictures once there is one, by itself."""
    made = catalogue(tmp_path / "made")
    hidden = made.config.index.rename(tmp_path / "hidden")
    behind = InlineService(EMBEDDER)
    with collection(made, behind) as index, serving(behind, index=index) as running:
        page = new_page(at=running.url)
        expect(page.locator("#empty code")).to_have_text("lookalike index ~/Pictures")
        hidden.rename(made.config.index)
        expect(page.locator(".tile")).to_have_count(6)
        page.goto("about:blank")
    behind.close(drain_s=0)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_on_a_first_visit(new_page: NewPage, service: Running, width: int, expect: Any) -> None:
    """What is painted once stays where it is, while words, projects, answers and pictures come."""
    page = new_page("#q=red&least=0", width=width)
    page.add_init_script(
        """window.moved = [];
        new PerformanceObserver((list) => {
          for (const { value, sources } of list.getEntries()) {
            moved.push([value, ...sources.map(({ node }) => node?.id || node?.className || node?.nodeName)]);
          }
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    page.goto("about:blank")
    page.goto(f"{service.url}/#q=red&least=0")
    expect(page.locator(".tile img.ready").first).to_be_visible()
    expect(page.locator("#project")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("moved") == []


def test_more_answers_follow_the_first(new_page: NewPage, tmp_path: Path, expect: Any) -> None:
    """The first hundred are shown at once, and the others come after them."""
    made = catalogue(tmp_path)
    with open_store(made.config.index, write=True) as store:
        (red,) = store.get([("warm", made.path("red"))])
        assert red is not None
        store.add([replace(red, id=f"red {n}") for n in range(150)], [], np.empty((0, store.space.dim), np.float32))
    behind = InlineService(EMBEDDER)
    with collection(made, behind) as index, serving(behind, index=index) as running:
        page = new_page("#q=red&least=0", at=running.url)
        expect(page.locator("#count")).to_have_text("156 of 156 pictures")
        expect(page.locator(".tile").first).to_have_attribute("aria-setsize", "156")
        page.goto("about:blank")
    behind.close(drain_s=0)


def test_more_answers_follow_whatever_is_done_meanwhile(new_page: NewPage, expect: Any) -> None:
    """Enter, or a look at a picture, while the rest of the answers is on its way does not cut them off."""
    page = new_page()
    page.evaluate(
        """() => {
          const none = { uri: "", content: "", caption: "", metadata: {}, picture: null, thumbnail: null };
          const hit = (_, n) => ({ item: { ...none, project: "p", id: `p${n}` }, similarity: 0.3, confidence: 0.9 });
          const released = new Promise((go) => (window.release = go));
          window.fetch = async (_, { body, signal }) => {
            const { limit } = JSON.parse(body);
            if (limit > 100) {
              await Promise.race([released, new Promise((_, stop) => (signal.onabort = () => stop(signal.reason)))]);
            }
            const hits = Array.from({ length: limit }, hit);
            return { ok: true, json: async () => ({ hits, considered: 5000, space: "" }) };
          };
        }"""
    )
    page.fill("#box", "everything")
    expect(page.locator("#count")).to_have_text("100 of 5,000 pictures")
    page.keyboard.press("Enter")
    page.evaluate("release()")
    expect(page.locator("#count")).to_have_text("1,000 of the 1,000 nearest pictures of 5,000")


def test_what_fails_hides_nothing_and_leaves_nothing(new_page: NewPage, expect: Any) -> None:
    """A refused search says why, in place of "Searching"; a large picture gives way to the message."""
    refusal = {"error": {"message": "Not today.", "type": "InputError", "item": "", "retryable": False}}
    page = new_page("#q=red&least=0")
    expect(page.locator(".score")).to_have_count(8)
    page.route("**/search/images", lambda route: route.fulfill(status=422, json=refusal))
    page.locator(".picture").first.click()
    page.locator("#similar").click()
    expect(page.locator("#notice")).to_have_text("That did not work: Not today.")
    expect(page.locator("#lightbox")).to_be_hidden()
    page.reload()
    expect(page.locator("#notice")).to_have_text("That did not work: Not today.")
    expect(page.locator("#count")).to_have_text("")
    page.unroute("**/search/images")
    page.fill("#box", "green")
    expect(page.locator(".score")).to_have_count(7)  # beside the picture that is searched by
    expect(page.locator("#notice")).to_be_hidden()


def test_an_answer_that_is_cut_off_is_asked_for_again(new_page: NewPage, expect: Any) -> None:
    """As one that does not come: the page says so meanwhile."""
    page = new_page()
    cut = [{"status": 200, "content_type": "application/json", "body": '{"hits":['}]
    page.route("**/search/images", lambda route: route.fulfill(**cut.pop()) if cut else route.continue_())
    page.fill("#box", "red")
    expect(page.locator("#notice")).to_contain_text("does not answer")
    expect(page.locator(".score")).to_have_count(1)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_key_can_be_typed_while_others_ask_for_it(new_page: NewPage, expect: Any) -> None:
    """What else is refused meanwhile does not empty the box."""
    refusal = {"error": {"message": "A key, please.", "type": "Unauthorized", "item": "", "retryable": False}}
    page = new_page()
    page.route("**/items?*", lambda route: route.fulfill(status=401, json=refusal))
    page.route("**/projects", lambda route: route.fulfill(status=401, json=refusal))
    page.reload()
    page.fill("#key", "half a k")
    with page.expect_response("**/items?*"):
        page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
    expect(page.locator("#ask")).to_be_visible()
    expect(page.locator("#key")).to_have_value("half a k")


def test_a_part_keeps_the_focus(new_page: NewPage, expect: Any) -> None:
    """By keyboard a part is turned around twice, and weighed twice, without a walk from the top."""
    page = new_page("#least=0&part=1,text,red&part=1,text,green")
    turn = page.locator(".chip").nth(1).get_by_label("Toward or away")
    turn.focus()
    for is_away in ("true", "false"):
        page.keyboard.press("Enter")
        expect(turn).to_have_attribute("aria-pressed", is_away)
        expect(turn).to_be_focused()
    page.get_by_label("Remove green").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Remove red")).to_be_focused()


def test_a_hundred_thousand_results_are_a_few_elements(new_page: NewPage, expect: Any) -> None:
    """Only what is near the window is in the document; the last picture is a key away. No service gives so many yet."""
    page = new_page()
    page.evaluate(
        """(many) => {
          const none = { uri: "", content: "", caption: "", metadata: {}, picture: null, thumbnail: null };
          const hit = (_, n) => ({ item: { ...none, project: "p", id: `p${n}` }, similarity: 0.3, confidence: 0.9 });
          const answer = { hits: Array.from({ length: many }, hit), considered: many, space: "" };
          window.fetch = async () => ({ ok: true, json: async () => answer });
        }""",
        MANY,
    )
    page.fill("#box", "everything")
    expect(page.locator(".score").first).to_be_visible()
    page.locator("#box").press("ArrowDown")
    page.keyboard.press("End")
    expect(page.locator(".picture:focus")).to_have_attribute("aria-label", re.compile(f"^p{MANY - 1},"))
    assert page.locator(".tile").count() < 120
    page.keyboard.press("Home")
    expect(page.locator(".picture:focus")).to_have_attribute("aria-label", re.compile("^p0,"))


def test_a_selection_is_saved(new_page: NewPage, expect: Any) -> None:
    """As a table, as JSON, and as the pictures themselves, which every other program can read."""
    page = new_page("#q=blue&least=0")
    expect(page.locator(".score")).to_have_count(8)
    page.locator("#box").press("ArrowDown")
    page.keyboard.press("x")
    page.get_by_role("button", name="Select all").click()
    saved = {}
    for kind in ("csv", "json", "zip"):
        with page.expect_download() as download:
            page.locator(f"#{kind}").click()
        saved[kind] = Path(download.value.path())
    rows = list(csv.DictReader(saved["csv"].read_text("utf-8-sig").splitlines()))
    hits = json.loads(saved["json"].read_text("utf-8"))
    assert [row["id"] for row in rows] == [hit["item"]["id"] for hit in hits]
    assert len(hits) == 8
    with ZipFile(saved["zip"]) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 8
        assert archive.read("blue.png") == picture((30, 30, 220))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_shuts_anybody_out(new_page: NewPage, scheme: str, expect: Any) -> None:
    """axe finds no violation in any view: of names, roles, contrast or order."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = new_page("#q=red&least=0&part=-1,text,green&where=kind:flat", color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator(".tile img.ready")).to_have_count(6)
    page.locator("#box").press("ArrowDown")
    page.keyboard.press("x")
    found = axe.run(page).response["violations"]
    page.keyboard.press("Enter")
    expect(page.locator("#large")).to_be_visible()
    found += axe.run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("width", [320, 390, 2560])
def test_every_width_holds_the_page(new_page: NewPage, width: int, expect: Any) -> None:
    """Nothing is wider than the window, and a window has as many columns as pictures of a good size fit."""
    page = new_page("#q=red&least=0&part=1,text,blue&part=-2,text,a+long+text+about+nothing+at+all", width=width)
    expect(page.locator(".tile img.ready")).to_have_count(8)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert 80 <= page.locator(".tile").first.bounding_box()["width"] <= 280
