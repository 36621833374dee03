// The grid: of any number of pictures only those near the window are in the document.

import { showPicture, thumbnailPath } from "./api.js";
import { el, icon, roundButton } from "./dom.js";
import { RELATED } from "./state.js";
import { percent, t } from "./strings.js";

const BEYOND = 1.5; // windows above and below, of which tiles are made
const SCORE_PX = 28;
const FACTS = { file_type: "factType", taken_on: "factDay", taken_month: "factMonth", taken_year: "factYear" };

/** An item as what is not an answer to a search. */
export const asHit = (item) => ({ item, similarity: null, confidence: null });
export const factName = (name) => (name in FACTS ? t(FACTS[name]) : name);
export const keyOf = ({ id, project }) => `${project}\n${id}`;
export const nameOf = (item) => item.caption || (item.uri || item.id).split("/").filter(Boolean).pop() || item.id;

/** Columns, side of a tile and gap for a width: three columns on a phone, ten on a wide screen. */
function measure(width) {
  const gap = width < 600 ? 4 : width < 1400 ? 12 : 16;
  const wanted = width < 600 ? 120 : width < 1400 ? 184 : 224;
  const columns = Math.max(2, Math.round((width + gap) / (wanted + gap)));
  return { columns, gap, side: (width - gap * (columns - 1)) / columns };
}

export class Grid {
  /** `actions`: open(n), similar(item), pick(item); `isPicked(item)` says whether it is selected. */
  constructor(root, actions) {
    this.root = root;
    this.actions = actions;
    this.hits = [];
    this.current = 0;
    this.tiles = new Map();
    this.near = BEYOND;
    this.waiting = 0; // the timer of pictures that are loaded later
    new ResizeObserver(() => this.layOut()).observe(root.parentElement);
    addEventListener("scroll", () => this.#soon(), { passive: true });
    root.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /**
   * Show these hits: {item, similarity, confidence}, the last two null without a search. What is there already stays.
   * The pictures are loaded so many milliseconds later, unless others are to be shown by then.
   */
  show(hits, pause = 0) {
    const isMore = this.hits.length > 0 && this.hits.every((hit, n) => hit === hits[n]);
    this.hits = hits;
    if (!isMore) {
      this.current = 0;
      for (const [n, tile] of this.tiles) this.#remove(n, tile);
      clearTimeout(this.waiting);
      this.waiting = pause && setTimeout(() => this.#loadAll(), pause);
      this.near = 0; // what is seen comes first
      requestIdleCallback(() => this.#soon());
    }
    for (const { node } of this.tiles.values()) node.ariaSetSize = hits.length;
    this.layOut();
  }

  #loadAll() {
    this.waiting = 0;
    for (const tile of this.tiles.values()) tile.load();
  }

  layOut() {
    const width = this.root.parentElement.clientWidth;
    if (!width) return;
    const style = getComputedStyle(this.root.parentElement);
    const room = width - Number.parseFloat(style.paddingInlineStart) - Number.parseFloat(style.paddingInlineEnd);
    this.size = measure(room);
    this.score = this.hits.some((hit) => hit.confidence !== null) ? SCORE_PX : 0;
    this.step = this.size.side + this.score + this.size.gap;
    const rows = Math.ceil(this.hits.length / this.size.columns);
    this.root.style.height = `${Math.max(0, rows * this.step - this.size.gap)}px`;
    for (const [n, tile] of this.tiles) this.#place(tile.node, n);
    this.#draw();
  }

  /** Scroll to a tile and focus it. */
  focus(n) {
    if (!this.hits.length) return;
    this.current = Math.min(Math.max(n, 0), this.hits.length - 1);
    const top = this.root.getBoundingClientRect().top + Math.floor(this.current / this.size.columns) * this.step;
    const header = document.querySelector("header").offsetHeight + 12;
    if (top < header) scrollBy(0, top - header);
    else if (top + this.step > innerHeight) scrollBy(0, top + this.step - innerHeight);
    this.#draw();
    this.tiles.get(this.current)?.picture.focus({ preventScroll: true });
  }

  /** Show again which are selected. */
  mark() {
    for (const [n, tile] of this.tiles) this.#mark(tile, this.hits[n].item);
  }

  #soon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.near = BEYOND;
      this.#draw();
    });
  }

  #draw() {
    if (!this.size || !this.root.offsetParent) return; // in a view that is not shown
    const top = this.root.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((-top - this.near * innerHeight) / this.step)) * this.size.columns;
    const last = Math.min(this.hits.length, Math.ceil((-top + (1 + this.near) * innerHeight) / this.step) * this.size.columns);
    const focused = this.root.contains(document.activeElement);
    for (const [n, tile] of this.tiles) {
      if ((n < first || n >= last) && !(focused && n === this.current)) this.#remove(n, tile);
    }
    for (let n = first; n < last; n++) this.tiles.has(n) || this.#add(n);
    for (const [n, tile] of this.tiles) tile.picture.tabIndex = n === this.current ? 0 : -1;
    // What cannot be seen must not be where Tab leads to.
    if (!this.tiles.has(this.current) && this.tiles.has(first)) this.tiles.get(first).picture.tabIndex = 0;
  }

  #add(n) {
    const hit = this.hits[n];
    const tile = makeTile(hit, n, this.hits.length, {
      open: () => this.#open(n),
      similar: () => this.actions.similar(hit.item),
      pick: () => this.actions.pick(hit.item),
      focus: () => (this.current = n),
    });
    tile.load = () => (tile.end = this.#load(tile, hit.item));
    if (!this.waiting) tile.load();
    this.#mark(tile, hit.item);
    this.#place(tile.node, n);
    this.tiles.set(n, tile);
    // In the order of the pictures, in which they are read aloud.
    const after = [...this.tiles.keys()].filter((other) => other > n).sort((a, b) => a - b)[0];
    this.root.insertBefore(tile.node, after === undefined ? null : this.tiles.get(after).node);
  }

  #load(tile, item) {
    const path = thumbnailPath(item, this.size.side * devicePixelRatio > 256 ? 512 : 256);
    const gone = () => {
      tile.picture.classList.add("missing");
      tile.img.replaceWith(icon("picture"), el("span", { textContent: nameOf(item), dir: "auto" }));
    };
    if (!path) return gone();
    tile.img.onerror = gone;
    tile.img.onload = () => tile.img.classList.add("ready");
    return showPicture(tile.img, path);
  }

  #place(node, n) {
    const { columns, gap, side } = this.size;
    node.style.top = `${Math.floor(n / columns) * this.step}px`;
    node.style.insetInlineStart = `${(n % columns) * (side + gap)}px`;
    node.style.width = `${side}px`;
    node.style.height = `${side + this.score}px`;
  }

  #mark(tile, item) {
    const picked = this.actions.isPicked(item);
    tile.node.classList.toggle("picked", picked);
    tile.pick.setAttribute("aria-pressed", String(picked));
  }

  #remove(n, tile) {
    tile.img.onerror = null;
    tile.end?.();
    tile.node.remove();
    this.tiles.delete(n);
  }

  #open(n) {
    this.current = n;
    this.actions.open(n);
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.hits.length) return;
    const { columns } = this.size;
    const on = getComputedStyle(this.root).direction === "rtl" ? -1 : 1;
    const page = Math.max(1, Math.floor(innerHeight / this.step) - 1) * columns;
    const steps = { ArrowRight: on, ArrowLeft: -on, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page };
    const { item } = this.hits[this.current];
    if (event.key === "Home") this.focus(0);
    else if (event.key === "End") this.focus(this.hits.length - 1);
    else if (event.key === "ArrowUp" && this.current < columns) this.actions.leave();
    else if (event.key in steps) this.focus(this.current + steps[event.key]);
    else if (event.key === "m") this.actions.similar(item);
    else if (event.key === "x") this.actions.pick(item);
    else return;
    event.preventDefault();
  }
}

function makeTile({ item, confidence }, n, count, on) {
  const name = nameOf(item);
  const label = confidence === null ? name : t("named", { name, percent: percent(confidence) });
  const img = el("img", { alt: "", decoding: "async", draggable: false });
  const picture = el("button", { type: "button", className: "picture", "aria-label": label, onclick: on.open, onfocus: on.focus }, img);
  const pick = roundButton("check", t("select"), on.pick, { tabIndex: -1 });
  pick.classList.add("pick");
  const similar = roundButton("similar", t("similar"), on.similar, { tabIndex: -1 });
  similar.classList.add("similar");
  const node = el("li", { className: "tile", "aria-posinset": n + 1, "aria-setsize": count }, picture, pick, similar);
  if (confidence !== null) node.append(scoreOf(confidence));
  return { node, picture, img, pick };
}

function scoreOf(confidence) {
  const bar = el("span", { className: "bar" }, el("span", { className: "fill" }));
  bar.firstChild.style.width = `${100 * confidence}%`;
  const score = el("div", { className: "score", "aria-hidden": "true" }, bar, el("span", { textContent: percent(confidence) }));
  score.classList.toggle("sure", confidence >= RELATED);
  return score;
}
