// The map of the collection, and its clusters as a list.

import { getJson, showPicture, thumbnailPath } from "../api.js";
import { el, icon, roundButton } from "../dom.js";
import { asHit, nameOf } from "../grid.js";
import { blank, format } from "../state.js";
import { percent, t } from "../strings.js";
import { Chart, colourOf } from "./atlas.js";

const AGAIN_MS = 1000;
const MOST_ASKED = 100;
const ZOOM_OF_CLUSTER = 5;

export function open(root, page) {
  const tabs = el("nav", { className: "map-tabs", "aria-label": t("theMap") });
  const count = el("p", { className: "count", role: "status" });
  const project = el("select", { "aria-label": t("project"), hidden: true, onchange: () => page.change({ project: project.value, at: state.at === "clusters" ? "clusters" : "" }) });
  const canvas = el("canvas", { tabIndex: 0, role: "application", "aria-label": t("mapLabel") });
  const said = el("p", { className: "said", role: "status" });
  const bar = el("progress", { max: 1, className: "making", "aria-label": t("theMap") });
  const waiting = el("div", { className: "empty", hidden: true }, el("h2"), el("p", { className: "quiet" }), bar);
  const zoom = el(
    "div",
    { className: "zoom" },
    roundButton("plus", t("zoomIn"), () => chart.zoomBy(1.6)),
    roundButton("minus", t("zoomOut"), () => chart.zoomBy(1 / 1.6)),
    roundButton("picture", t("zoomAll"), () => chart.all()),
  );
  const atlas = el("div", { className: "atlas", hidden: true }, canvas, said, zoom);
  const kinds = el("ol", { className: "kinds", role: "list", "aria-label": t("clusters"), hidden: true });
  root.append(el("div", { className: "tools" }, tabs, count, project), waiting, atlas, kinds);

  let state = { at: "" };
  let found = null; // the map that is shown, and of which project
  let hits = [];
  let buttons = [];
  let ends = []; // what ends the pictures of the list
  let thumbEnds = []; // and those on the map
  let stop = new AbortController();
  let timer = 0;
  const items = new Map(); // of this map, by number
  const asked = new Set();
  const gallery = { current: 0, focus: () => (kinds.hidden ? canvas.focus() : buttons[gallery.current]?.focus()), mark };
  const chart = new Chart(canvas, { pick, middle, thumbs });

  async function load() {
    const { signal } = stop;
    const wanted = state.project;
    const known = found?.project === wanted ? found.version : "";
    const answer = await getJson(`map?${new URLSearchParams({ known, ...(wanted && { project: wanted }) })}`, signal);
    if (signal.aborted) return;
    page.worked();
    if (answer.places) adopt(answer, wanted);
    else if (found?.project === wanted) Object.assign(found, { share: answer.share });
    describe(answer);
    clearTimeout(timer);
    if (answer.share !== null) timer = setTimeout(() => load().catch(fail), AGAIN_MS);
    if (answer.state === "ready") await draw(signal);
  }

  const fail = (problem) => stop.signal.aborted || page.failed(problem);

  function adopt(answer, wanted) {
    items.clear();
    asked.clear();
    for (const end of thumbEnds) end();
    thumbEnds = [];
    const isNew = found?.project !== wanted;
    found = { ...answer, project: wanted };
    kinds.replaceChildren();
    chart.set(new Uint16Array(bytes(answer.places).buffer), bytes(answer.groups), answer.clusters);
    if (isNew) chart.all();
    place();
  }

  function describe({ state: is, share, error, items: n, total, clusters }) {
    const isReady = is === "ready" && n > 0;
    const isList = state.at === "clusters";
    atlas.hidden = !isReady || isList;
    kinds.hidden = !isReady || !isList;
    waiting.hidden = isReady;
    const [title, why] = waiting.children;
    title.textContent = is === "ready" ? t("noMap") : is === "failed" ? t("mapFailed") : t("making", { percent: percent(share ?? 0) });
    why.textContent = is === "ready" ? t("noMapWhy") : (error?.message ?? "");
    bar.hidden = is !== "making";
    bar.value = share ?? 0;
    const parts = [t(total > n ? "mapDrawn" : "holds", { n, all: total }), t("nClusters", { n: clusters.filter((one) => one.items).length })];
    if (share) parts.push(t("renewing", { percent: percent(share) }));
    count.textContent = isReady ? parts.join(" · ") : "";
  }

  /** What the address says: a cluster's place, or nothing. */
  function place() {
    const [x, y] = state.at.split(",").map(Number);
    if (found && state.at.includes(",") && Number.isFinite(x) && Number.isFinite(y)) chart.goTo(x, y, ZOOM_OF_CLUSTER);
  }

  async function draw(signal) {
    if (state.at !== "clusters") {
      chart.soon();
      page.show(hits, gallery);
      return;
    }
    if (kinds.children.length) return page.show(hits, gallery);
    const { clusters } = await getJson(`clusters?${new URLSearchParams(state.project ? { project: state.project } : {})}`, signal);
    if (signal.aborted) return;
    free();
    hits = [];
    buttons = [];
    kinds.replaceChildren(...clusters.filter((one) => one.items).map(kind));
    page.show(hits, gallery);
    mark();
  }

  function kind({ names, items: n, x, y, examples }) {
    const group = found.clusters.findIndex((one) => one.x === x && one.y === y);
    const dot = el("span", { className: "dot" });
    dot.style.background = colourOf(group, matchMedia("(prefers-color-scheme: dark)").matches);
    const href = `#${format({ ...blank(), view: "map", project: state.project, at: `${x},${y}` })}`;
    const link = el("a", { href, textContent: names.join(" · "), title: t("onMap"), lang: "en" });
    const title = el("h2", {}, dot, link, el("span", { className: "quiet", textContent: t("holds", { n }) }));
    return el("li", { className: "kind" }, title, el("ul", { role: "list" }, ...examples.map(example)));
  }

  function example(item) {
    const n = hits.push(asHit(item)) - 1;
    const button = el("button", { type: "button", className: "picture", "aria-label": nameOf(item), onclick: () => openAt(n) });
    buttons.push(button);
    const path = thumbnailPath(item, 256);
    if (path) {
      const img = el("img", { alt: "", decoding: "async" });
      img.onload = () => img.classList.add("ready");
      ends.push(showPicture(img, path));
      button.append(img);
    } else button.append(icon("picture"));
    return el("li", {}, button);
  }

  function openAt(n) {
    gallery.current = n;
    page.open(hits[n].item);
  }

  function mark() {
    buttons.forEach((button, n) => button.classList.toggle("picked", page.isPicked(hits[n].item)));
  }

  function free() {
    for (const end of ends) end();
    ends = [];
  }

  // --- points

  /** The items of these points, as far as they can be had. */
  async function itemsOf(numbers) {
    const wanted = numbers.filter((n) => !items.has(n)).slice(0, MOST_ASKED);
    if (wanted.length) {
      const words = new URLSearchParams([["version", found.version], ...(state.project ? [["project", state.project]] : []), ...wanted.map((n) => ["at", n])]);
      const answer = await getJson(`map/items?${words}`, stop.signal);
      answer.items.forEach((item, i) => items.set(wanted[i], item));
    }
    return numbers.map((n) => items.get(n)).filter(Boolean);
  }

  async function pick(n) {
    try {
      const [item] = await itemsOf([n]);
      if (!item) return;
      // The lightbox turns through what was looked at nearby.
      const others = [...items.values()].filter(Boolean);
      hits = others.map(asHit);
      buttons = [];
      kinds.replaceChildren();
      gallery.current = others.indexOf(item);
      page.show(hits, gallery);
      page.open(item);
    } catch (problem) {
      again(problem);
    }
  }

  async function middle(n) {
    const [item] = await itemsOf([n]).catch(() => []);
    if (item) said.textContent = t("inMiddle", { name: nameOf(item) });
  }

  async function thumbs(numbers) {
    const wanted = numbers.filter((n) => !asked.has(n)).slice(0, MOST_ASKED);
    if (!wanted.length) return;
    for (const n of wanted) asked.add(n);
    const version = found.version;
    try {
      await itemsOf(wanted);
    } catch (problem) {
      for (const n of wanted) asked.delete(n);
      return again(problem);
    }
    for (const n of wanted) {
      const item = items.get(n);
      const path = item && thumbnailPath(item, 256);
      if (!path || found.version !== version) continue;
      const img = new Image();
      img.onload = () => found.version === version && chart.addThumb(n, img);
      thumbEnds.push(showPicture(img, path));
    }
  }

  /** A map that was made anew has other numbers. */
  function again(problem) {
    if (stop.signal.aborted || problem.name === "AbortError") return;
    if (problem.status === 410) load().catch(fail);
    else page.failed(problem);
  }

  return {
    async show(next) {
      const before = state;
      state = next;
      stop.abort();
      stop = new AbortController();
      tabs.replaceChildren(tab("", "theMap"), tab("clusters", "clusters"));
      if (before.at !== next.at) place();
      const { signal } = stop;
      page.fillProjects(project, await page.projects());
      if (!signal.aborted) await load();
    },
    hide() {
      stop.abort();
      clearTimeout(timer);
    },
  };

  function tab(at, name) {
    const href = `#${format({ ...blank(), view: "map", at, project: state.project })}`;
    const node = el("a", { href, textContent: t(name) });
    if ((state.at === "clusters") === (at === "clusters")) node.ariaCurrent = "true";
    return node;
  }
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
