"""Photograph the web page: render the demo's catalogue, index and serve it, and open it in Chromium.

    make screenshots        # or: python -m examples.screenshots [FOLDER]

Works offline. Writes `web-VIEW-WIDTH-SCHEME.webp` into `docs/images`.
"""

from __future__ import annotations

import os
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
    "browse": "#view=browse",
    "projects": "#view=browse&at=projects",
    "duplicates": "#view=browse&at=duplicates",
    "map": "#view=map",
    "clusters": "#view=map&at=clusters",
    "why": "#q=a+yellow+dotted+shirt&least=0.1",
    "add": "#view=add",
    "status": "#view=status",
}
"""What is shown, as the page's address has it; "picture" and "why" open the first one, to "add" a folder is added."""

READY = {
    "map": ".atlas canvas",
    "clusters": ".kind img.ready",
    "duplicates": ".group img.ready",
    "projects": ".card img.ready",
    "add": ".well .main",
    "status": ".light.on",
}
"""What there is to see once a view is there; of all others a picture."""

PROJECTS = {"furniture": ("-lamp", "-chair", "-bottle", "-mug"), "clothes": ()}
"""The projects, with what the names of their pictures end in; all others go to the last."""

LOOKS = 30
"""How often the figures are looked at before they are photographed; the page's clock is put on between."""


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
        sort(home)
        config = replace(
            Config.from_environ({}), model="tiny", index=home / "index.lookalike", cache_dir=home / "cache"
        )
        with Index.create(config=config) as index:
            for folder in PROJECTS:
                index.ingest([home / folder], project=folder)
        command = [sys.executable, "-m", "lookalike", "serve", "--port", "0", "--workers", "1", "--log-level", "error"]
        own = {**os.environ, "LOOKALIKE_CACHE_DIR": str(config.cache_dir)}  # not what this machine did before
        command += ["--index", str(config.index)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own) as service:
            try:
                yield started(service)
            finally:
                service.terminate()
    finally:
        shutil.rmtree(home)


def sort(home: Path) -> None:
    """Furniture and clothes in folders of their own; some pictures once more: copied, and saved again, smaller."""
    for path in sorted(home.glob("*.jpg")):
        folder = home / next(name for name, kinds in PROJECTS.items() if not kinds or path.stem.endswith(kinds))
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    for n, path in enumerate(sorted(home.glob("*/*.jpg"))[::45]):
        if n % 2:
            shutil.copy(path, path.with_name(f"copy-of-{path.name}"))
            continue
        with Image.open(path) as picture:
            small = picture.resize((240, 240), Image.Resampling.LANCZOS)
            small.save(path.with_name(f"small-{path.name}"), quality=70)


def album(folder: Path, n: int) -> list[Path]:
    """The nth folder to add: new pictures, one that the index has, one that is damaged, and one that is none."""
    new = write_catalogue(folder, count=7, seed=SEED + n, size_px=320)
    (folder / f"IMG_{2040 + n}.jpg").write_bytes(new[0].read_bytes()[:-900])
    (folder / "letter.png").write_bytes(b"Dear Ada, ...")
    known = sorted((Path(tempfile.gettempdir()) / "catalogue").glob("*/*.jpg"))[n]
    shutil.copy(known, folder / "from-last-year.jpg")
    return sorted(folder.iterdir())


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
    if view == "status":
        page.clock.install()
    page.goto(f"{url}/{VIEWS[view]}")
    page.wait_for_selector(READY.get(view, "img.ready"), timeout=120_000)  # a map is made first
    if view == "add":
        add(page, list(SIZES).index(width) * len(SCHEMES) + SCHEMES.index(scheme) + 1)
    if view == "status":
        watch(page, url)
    if view == "map":
        page.wait_for_timeout(3000)  # the thumbnails are drawn on it
    if view in ("picture", "why"):
        page.locator(".picture").first.click()
        page.wait_for_selector("#large")
        page.wait_for_timeout(1000)  # the original takes the place of the thumbnail
    if view == "why":
        page.get_by_role("button", name="Why this picture?").click()
        page.get_by_role("button", name="Show where").click()
        page.wait_for_selector("canvas.heat")
    expect(page.locator(":is(.tile, .kind) img:not(.ready)")).to_have_count(0, timeout=60_000)
    language = "" if locale == "en-US" else f"-{locale[:2]}"
    target = folder / f"web-{view}-{width}-{scheme}{language}.webp"
    Image.open(BytesIO(page.screenshot())).convert("RGB").save(target, quality=QUALITY, method=6)
    print(f"{target} ({target.stat().st_size / 1024:.0f} KiB)", flush=True)
    context.close()


def add(page: Any, n: int) -> None:
    """Hand the nth folder in, and wait until each file of it has ended."""
    with tempfile.TemporaryDirectory() as folder:
        page.locator("#view-add input[type=file]").first.set_input_files(album(Path(folder), n))
        expect(page.locator("#view-add .sum progress")).to_be_hidden(timeout=60_000)


def watch(page: Any, url: str) -> None:
    """Let the charts get some way, while something is searched for."""
    for n in range(LOOKS):
        for word in ("a red dress", "flowers", "a lamp", "shoes", "a hat")[: (3 * n) % 7 % 5]:
            page.request.get(f"{url}/search/images", params={"q": f"{word} {n}"})
        with page.expect_response("**/stats"):
            page.clock.run_for(2_000)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images"))
