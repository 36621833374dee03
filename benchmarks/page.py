"""The web page in a browser: how soon pictures are there, results while words are typed, what is sent, what moves.

    python benchmarks/page.py --work-dir scratch [--rows 100000] [--out results/page.json]

`lookalike serve` with the built-in model and one worker, and Debian's Chromium without a screen, share the machine. The
small collection is the demo's; the large one has its pictures over and over, each file another by a few bytes behind
its end, with vectors moved a little. Times are the browser's own: from the start of the navigation, or from the last
keystroke, to the frame that shows it. Every visit has a window of its own, with nothing cached.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from store import Row, machine, row

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from examples.demo import N_PICTURES, SEED  # noqa: E402
from examples.screenshots import served, started  # noqa: E402
from lookalike import Config, Embedder, app  # noqa: E402
from lookalike.types import Item  # noqa: E402
from lookalike.vectors import normalise  # noqa: E402
from training.catalogue import write_catalogue  # noqa: E402

VISITS = 20
BATCH = 10_000
MOVED = 0.3
"""By how much a vector of the large collection is moved from that of its picture, of its length."""

KEY_MS = 90
"""Between two keystrokes: a good typist, 130 words a minute."""

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "brown", "black", "white")
THINGS = ("shoes", "dress with dots", "lamp", "striped shirt", "chair", "flowers", "hat", "mug", "bottle", "bag")
QUERIES = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]

WATCH = """
const seen = (window.seen = { shift: 0, typed: 0, shown: 0, words: "" });
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });

const inWindow = (node) => node.getBoundingClientRect().top < innerHeight && node.getBoundingClientRect().bottom > 0;
function look() {
  const tiles = [...document.querySelectorAll("#grid .tile")];
  if (tiles.length) seen.results ??= performance.now();
  const images = tiles.filter(inWindow).map((tile) => tile.querySelector("img"));
  if (images.length && images.every((image) => image?.classList.contains("ready"))) seen.pictures ??= performance.now();
  if (!seen.pictures) requestAnimationFrame(look);
}
requestAnimationFrame(look);

addEventListener("input", (event) => {
  if (event.target.id === "box") Object.assign(seen, { typed: event.timeStamp, shown: 0, words: event.target.value });
}, true);
const ask = window.fetch;
window.fetch = async (path, options) => {
  const response = await ask(path, options);
  if (path === "search/images" && JSON.parse(options.body).query.at(-1).text === seen.words && !seen.shown) {
    const drawn = new MutationObserver(() => {
      drawn.disconnect();
      requestAnimationFrame(() => setTimeout(() => (seen.shown ||= performance.now())));
    });
    drawn.observe(document.getElementById("count"), { childList: true });
  }
  return response;
};
"""

SCROLL = """async () => {
  const times = [];
  let last = performance.now();
  while (scrollY + innerHeight < document.documentElement.scrollHeight - 1) {
    scrollBy(0, 40);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True, help="scratch; 2 GB at the default size")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "page.json")
    options = parser.parse_args()
    rows: list[Row] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"))
        with served() as url:
            rows += visits(browser, url, f"{N_PICTURES} pictures")
        with served_many(options.work_dir, options.rows) as url:
            name = f"{options.rows:,} pictures"
            rows += visits(browser, url, name) + typing(browser, url, name) + scrolling(browser, url, name)
        browser.close()
    document = {"name": "Web page", "machine": machine(), "rows": rows}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    for entry in rows:
        print(json.dumps(entry))


def visits(browser: Browser, url: str, name: str) -> list[Row]:
    """What a first visit sees when, with words in the address; and what comes over the line."""
    seen, sent = [], {}
    for query in QUERIES[: VISITS + 1]:  # the first makes the thumbnails, mostly
        page = opened(browser)
        page.goto(f"{url}/#q={query.replace(' ', '+')}&least=0")
        until(page, "pictures")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        seen.append({**page.evaluate("seen"), "paint": paint})
        page.wait_for_load_state("networkidle")
        sent = transfers(page)
        page.context.close()
    figures = {key: [visit[key] for visit in seen[1:]] for key in ("paint", "results", "pictures", "shift")}
    return [
        row(f"{name}: first paint, p50", middle(figures["paint"]), "ms", note=f"p95 {most(figures['paint']):.0f} ms"),
        row(
            f"{name}: first paint with results, p50",
            middle(figures["results"]),
            "ms",
            target="<= 300 ms",
            note=f"p95 {most(figures['results']):.0f} ms; {VISITS} visits with words in the address",
        ),
        row(
            f"{name}: every thumbnail in the window is painted, p50",
            middle(figures["pictures"]),
            "ms",
            note=f"p95 {most(figures['pictures']):.0f} ms",
        ),
        row(f"{name}: layout shift, the most of all visits", max(figures["shift"]), "", target="<= 0"),
        row(f"{name}: script and style of a search", sent["code"], "bytes", target="<= 61,440 bytes"),
        row(f"{name}: all that a first visit loads", sent["all"], "bytes", note=f"{sent['n']} requests"),
    ]


def typing(browser: Browser, url: str, name: str) -> list[Row]:
    """From the last keystroke to its results."""
    page = opened(browser)
    page.goto(f"{url}/#least=0")
    until(page, "pictures")
    times = []
    for query in QUERIES:
        page.locator("#box").fill("")
        page.wait_for_load_state("networkidle")
        page.locator("#box").press_sequentially(query, delay=KEY_MS)
        until(page, "shown")
        found = page.evaluate("seen")
        times.append(found["shown"] - found["typed"])
    page.context.close()
    note = f"{len(times)} queries, {KEY_MS} ms between keystrokes, of which each is searched for"
    return [
        row(f"{name}: last keystroke to results, p50", middle(times), "ms", note=note),
        row(f"{name}: last keystroke to results, p95", most(times), "ms", target="<= 150 ms"),
    ]


def scrolling(browser: Browser, url: str, name: str) -> list[Row]:
    """Time between two frames while a thousand results go by."""
    page = opened(browser)
    page.goto(f"{url}/#q=red+shoes&least=0")
    until(page, "pictures")
    page.wait_for_load_state("networkidle")
    times = page.evaluate(SCROLL)
    page.context.close()
    note = f"{len(times)} frames, p95 {most(times):.0f} ms, {np.mean(np.array(times) > 50):.1%} over 50 ms; no GPU"
    return [row(f"{name}: a frame while scrolling, p50", middle(times), "ms", note=note)]


def opened(browser: Browser) -> Page:
    """A window of a visitor who has never been here, which is watched."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(WATCH)
    return page


def until(page: Page, name: str) -> None:
    """Return when this was seen. (Playwright's own waiting evaluates strings, which the page's policy forbids.)"""
    page.evaluate(
        "name => new Promise((done) => (function look() { seen[name] ? done() : setTimeout(look, 5) })())", name
    )


def transfers(page: Page) -> Mapping[str, int]:
    """Bytes of what was loaded, before compression: of script and style, of all; and how many requests."""
    found = page.evaluate(
        """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
          .map((entry) => [entry.name.split("?")[0].split(".").at(-1), entry.decodedBodySize])"""
    )
    code = sum(n_bytes for kind, n_bytes in found if kind in ("js", "css"))
    return {"code": code, "all": sum(n_bytes for _, n_bytes in found), "n": len(found)}


@contextmanager
def served_many(folder: Path, n: int) -> Iterator[str]:
    """The address of a service over the large collection, which is made once and kept."""
    home = folder / f"page-{n}"
    if not home.exists():
        unfinished = home.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make_many(unfinished, n, home.resolve())
        unfinished.rename(home)
    command = [sys.executable, "-m", "lookalike", "serve", "--port", "0", "--workers", "1", "--log-level", "error"]
    command += ["--model", "tiny", "--index", str(home / "index.lookalike")]
    own = {**os.environ, "LOOKALIKE_CACHE_DIR": str(home / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own) as service:
        try:
            yield started(service)
        finally:
            service.terminate()


def make_many(folder: Path, n: int, home: Path) -> None:
    """Files, and an index of them as they will lie in `home`."""
    paths = write_catalogue(folder / "demo", count=N_PICTURES, seed=SEED, size_px=320)
    embedder = Embedder.open("tiny", config=Config.from_environ())
    vectors, data = embedder.embed_images(paths).values, [path.read_bytes() for path in paths]
    chance = np.random.default_rng(SEED)
    with app.create_store(folder / "index.lookalike", embedder.space) as store:
        for first in range(0, n, BATCH):
            numbers = np.arange(first, min(first + BATCH, n))
            moves = chance.standard_normal((len(numbers), embedder.space.dim)) / np.sqrt(embedder.space.dim)
            moved = normalise((vectors[numbers % len(paths)] + MOVED * moves).astype(np.float32))
            items = [write_item(folder, number, data[number % len(paths)], home) for number in numbers.tolist()]
            store.add(items, [item.content for item in items], moved)


def write_item(folder: Path, number: int, data: bytes, home: Path) -> Item:
    """A file of its own, and what the index says of it."""
    name = Path("photos", f"{number // 1000:03}", f"{number:06}.jpg")
    content = data + b"%d" % number
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return Item(id=str(name), content=hashlib.sha256(content).hexdigest(), uri=str(home / name))


def middle(values: Sequence[float]) -> float:
    return float(np.percentile(values, 50))


def most(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95))


if __name__ == "__main__":
    main()
