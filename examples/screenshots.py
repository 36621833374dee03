"""Photograph the web page: render the demo's catalogue, index and serve it, and open it in Chromium.

    make screenshots        # or: python -m examples.screenshots [FOLDER]

Works offline. Writes `web-VIEW-WIDTH-SCHEME.webp` into `docs/images`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from examples.demo import N_PICTURES, SEED
from lookalike import Config, Index
from training.catalogue import write_catalogue

SIZES = {390: 844, 1280: 800, 2560: 1440}
SCHEMES = ("light", "dark")
PHONE = 390
QUALITY = 78

VIEWS = {
    "search": "#q=red+shoes&least=0.2",
    "composed": "#part=1,text,a+dress&part=1,text,flowers&part=-1,text,red&least=0.2",
    "picture": "#q=a+green+lamp&least=0.2",
}
"""What is shown, as the page's address has it; of "picture" the first one is opened."""


def main(folder: Path) -> None:
    """Every view in every size, light and dark."""
    with served() as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"))
        for view in VIEWS:
            for width in SIZES:
                for scheme in SCHEMES:
                    shoot(browser, url, folder, (view, width, scheme))
        shoot(browser, url, folder, ("search", 1280, "light"), locale="he-IL")
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """The address of a service over the catalogue."""
    home = Path(tempfile.gettempdir()) / "catalogue"  # its name is in the pictures
    home.mkdir()
    try:
        write_catalogue(home, count=N_PICTURES, seed=SEED, size_px=320)
        config = replace(Config.from_environ(), model="tiny", index=home / "index.lookalike")
        with Index.create(config=config) as index:
            index.ingest([home])
        command = [sys.executable, "-m", "lookalike", "serve", "--port", "0", "--workers", "1", "--log-level", "error"]
        with subprocess.Popen([*command, "--index", str(config.index)], stdout=subprocess.PIPE, text=True) as service:
            try:
                yield started(service)
            finally:
                service.terminate()
    finally:
        shutil.rmtree(home)


def started(service: subprocess.Popen[str]) -> str:
    """The address that a service says it listens on, once it is ready."""
    url = ""
    for line in service.stdout or ():
        if " listens on " in line:
            url = line.split()[-1]
        if line.startswith("Ready"):
            return url
    raise SystemExit("The service did not start.")


def shoot(browser: Any, url: str, folder: Path, shot: tuple[str, int, str], *, locale: str = "en-US") -> None:
    """Photograph one view: (view, width, scheme)."""
    view, width, scheme = shot
    is_phone = width == PHONE
    context = browser.new_context(
        viewport={"width": width, "height": SIZES[width]},
        color_scheme=scheme,
        locale=locale,
        is_mobile=is_phone,
        has_touch=is_phone,
        device_scale_factor=2 if is_phone else 1,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"{url}/{VIEWS[view]}")
    page.wait_for_selector("img.ready")
    if view == "picture":
        page.locator(".picture").first.click()
        page.wait_for_selector("#large")
        page.wait_for_timeout(1000)  # the original takes the place of the thumbnail
    expect(page.locator(".tile img:not(.ready)")).to_have_count(0, timeout=60_000)
    language = "" if locale == "en-US" else f"-{locale[:2]}"
    target = folder / f"web-{view}-{width}-{scheme}{language}.webp"
    Image.open(BytesIO(page.screenshot())).convert("RGB").save(target, quality=QUALITY, method=6)
    print(f"{target} ({target.stat().st_size / 1024:.0f} KiB)", flush=True)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images"))
