"""A real browser over a real service: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.catalogued import Catalogue, catalogue, shown
from tests.pictures import picture
from tests.serving import Running

WAIT_MS = 10_000
"""How long a test waits for what the page should show."""

HOSTILE = "<img src=x onerror=window.hacked=1>"
"""A file's name, a caption, a project and metadata that would be a script if the page took them for HTML."""

NewPage = Callable[..., Any]
"""Opens an address in a window of its own: `new_page("#q=red", width=390, locale="he-IL")`."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser; skips, saying so, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    playwright.expect.set_options(timeout=WAIT_MS)
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium)
        yield started
        started.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Six pictures of one colour each, one of them twice, and one whose every fact is an attack."""
    made = catalogue(tmp_path_factory.mktemp("shop"))
    made.add("blue again", picture((30, 30, 220)), metadata={"colour": "blue"})
    made.add(HOSTILE, picture("magenta"), caption=HOSTILE, project=HOSTILE, metadata={"kind": HOSTILE})
    return made


@pytest.fixture(scope="module")
def service(shop: Catalogue) -> Iterator[Running]:
    """The service over these pictures, with a model that knows colours."""
    with shown(shop) as running:
        yield running


@pytest.fixture
def new_page(browser: Any, service: Running) -> Iterator[NewPage]:
    """Pages that must not fail, and must ask nobody but the service."""
    wrong: list[str] = []

    def note(message: Any) -> None:
        # What the service refuses, the browser notes as well.
        if message.type == "error" and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    with ExitStack() as stack:

        def open_page(address: str = "", *, at: str = "", width: int = 1280, height: int = 800, **settings: Any) -> Any:
            home = at or service.url
            context = browser.new_context(viewport={"width": width, "height": height}, **settings)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            page.on("console", note)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda sent: sent.url.startswith((home, "blob:")) or wrong.append(sent.url))
            page.goto(f"{home}/{address}")
            return page

        yield open_page
    assert wrong == []
