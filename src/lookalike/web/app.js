// The page: what is done changes the state, the state the address, and what it asks for is shown.

import { Problem, forgetKey, getJson, hasKey, itemPath, itemsPath, postJson, useKey } from "./api.js";
import { byId, el, redraw, roundButton } from "./dom.js";
import { Grid, asHit, factName, keyOf } from "./grid.js";
import { askedWith, drawParts, pictureOf } from "./parts.js";
import { VIEWS, blank, format, parse, sameItem } from "./state.js";
import { otherLanguage, percent, speak, t } from "./strings.js";
import { forgetViews, load, showView, shownView } from "./views.js";

const MOST_HITS = 1000; // what the service gives for one search
const FIRST_HITS = 100; // more than a window shows, and quick
const TYPING_MS = 10;
const PICTURES_MS = 120; // later than their names, while somebody types
const REST_MS = 300; // whoever goes on typing does not want the rest
const WORDS_BESIDE_PICTURES = 2; // words part pictures less than pictures do
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

let state = parse(location.hash);
let answer = { hits: [], considered: 0, space: "" };
let shown = []; // the hits that are sure enough, or the pictures of a view
let asked = ""; // what `answer` answers
let running = new AbortController();
let timer = 0;
let failures = 0;
let wasTyping = false;
let drawn = ""; // what the links to the views are of
const picked = new Map();
const originals = new Map(); // pictures as they came, by their small copies

const box = byId("box");
const grid = new Grid(byId("grid"), {
  open: (n) => change({ open: itemOf(shown[n].item) }),
  similar,
  pick,
  isPicked: (item) => picked.has(keyOf(item)),
  leave: () => box.focus(),
});
const itemOf = ({ id, project }) => ({ id, project });
let front = grid; // what shows them

/** What a view may do. */
const page = {
  change,
  failed,
  notice,
  similar,
  isPicked: (item) => picked.has(keyOf(item)),
  pick,
  leave: () => box.focus(),
  open: (item) => change({ open: itemOf(item) }),
  projects: loadProjects,
  fillProjects,
  /** What it asked for came: nothing is complained of any more. What was said of a deed stays its time. */
  worked() {
    failures = 0;
    if (!passing) notice("");
  },
  /** The lightbox turns through these hits; `at` shows them: it has `current`, `focus(n)` and `mark()`. */
  show(hits, at) {
    shown = hits;
    front = at;
    showOpen();
  },
};

// --- state

function change(values, { typing = false } = {}) {
  const isSearch = "q" in values || "parts" in values;
  state = { ...state, ...(isSearch ? { view: "", at: "" } : {}), ...values };
  const address = `#${format(state)}`;
  if (address !== location.hash) history[typing && wasTyping ? "replaceState" : "pushState"](null, "", address);
  wasTyping = typing;
  render(typing ? TYPING_MS : 0);
}

function render(delay = 0) {
  if (box.value !== state.q) box.value = state.q;
  byId("least").value = String(Math.round(state.least * 100));
  byId("least-value").textContent = percent(state.least);
  byId("join").hidden = !state.q.trim();
  byId("threshold").hidden = !question(); // or it would move what is there
  byId("clear").hidden = !state.q && !state.parts.length;
  byId("project").value = state.project;
  document.title = state.q ? `${state.q} · lookalike` : "lookalike";
  drawParts(byId("parts"), state.parts, (parts) => change({ parts }));
  redraw(byId("filters"), Object.entries(state.where).map(filterChip));
  const wanted = JSON.stringify([question(), state.project, state.where]);
  clearTimeout(timer);
  if (state.view || wanted !== asked) {
    running.abort(); // whatever it would bring is not asked for any more
    busy(false);
  }
  drawViews();
  byId("finder").hidden = Boolean(state.view);
  showView(state.view, byId("main"), page, state).catch(failed);
  if (state.view) return;
  front = grid;
  if (wanted === asked) {
    page.worked();
    showHits();
  } else timer = setTimeout(() => run(wanted), delay);
}

function drawViews() {
  const now = JSON.stringify([state.view, state.project, t("find")]);
  if (now === drawn) return; // as at every letter
  drawn = now;
  const link = (view) => el("a", { href: `#${format({ ...blank(), view, project: state.project })}`, textContent: t(view || "find") });
  redraw(byId("views"), ["", ...VIEWS].map(link));
  const current = byId("views").children[VIEWS.indexOf(state.view) + 1];
  current.ariaCurrent = "page";
  current.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a very small screen
}

function filterChip([key, value]) {
  const name = `${factName(key)}: ${value}`;
  const { [key]: _, ...rest } = state.where;
  const remove = roundButton("close", t("remove", { what: name }), () => change({ where: rest }));
  return el("li", { className: "chip" }, el("span", { className: "words", textContent: name, dir: "auto" }), remove);
}

function goTo(address) {
  state = parse(address);
  for (const part of state.parts) if (originals.has(part.small)) part.data = originals.get(part.small);
  wasTyping = false;
  render();
}

// --- searching

/** The words in the box as a part. */
function inBox(sign = 1) {
  const isBeside = state.parts.some((part) => part.kind !== "text");
  return { kind: "text", text: state.q.trim(), weight: sign * (isBeside ? WORDS_BESIDE_PICTURES : 1) };
}

/** The parts of the query, or null where nothing is searched for. */
function question() {
  const words = state.q.trim() ? [askedWith(inBox())] : [];
  const parts = [...state.parts.map(askedWith), ...words];
  return parts.length ? parts : null;
}

const busy = (is) => document.body.classList.toggle("busy", is);

async function run(wanted) {
  running = new AbortController();
  const { signal } = running;
  busy(true);
  if (!answer.hits.length) byId("count").textContent = t("searching");
  try {
    const projects = question() && !byId("project").options.length && loadProjects(signal).catch(() => {});
    const found = question() ? await search(signal) : await browse(signal);
    await projects;
    if (signal.aborted) return;
    answer = found;
    asked = wanted;
    page.worked();
    scrollTo(0, 0);
    grid.hits = [];
    showHits(wasTyping ? PICTURES_MS : 0);
    busy(false);
    if (question() && answer.hits.length === FIRST_HITS) {
      await new Promise((done) => setTimeout(done, REST_MS));
      if (signal.aborted) return;
      const { hits } = await search(signal, MOST_HITS);
      answer.hits.push(...hits.slice(FIRST_HITS));
      showHits();
    }
  } catch (problem) {
    if (asked === wanted) asked = ""; // it is shown in part
    if (signal.aborted) return;
    if (!answer.hits.length) byId("count").textContent = "";
    failed(problem);
  } finally {
    if (!signal.aborted) busy(false);
  }
}

function search(signal, limit = FIRST_HITS) {
  const project = state.project || undefined;
  return postJson("search/images", { query: question(), limit, project, where: state.where }, signal);
}

async function browse(signal) {
  const [{ items, next }, { projects, space }] = await Promise.all([
    getJson(itemsPath(state, { order: "newest", limit: MOST_HITS }), signal),
    loadProjects(signal),
  ]);
  const counted = projects.filter(({ name }) => !state.project || name === state.project).reduce((sum, { items }) => sum + items, 0);
  const isAll = next && !Object.keys(state.where).length;
  return { hits: items.map(asHit), considered: isAll ? counted : items.length, space };
}

function failed(problem) {
  if (!(problem instanceof Problem)) throw problem;
  if (!state.open) showOpen(); // it would hide the message
  if (problem.status === 401 || problem.type === "AccessDenied") return askForKey(problem.message);
  if (problem.item === "project" && !state.project) return chooseProject().catch(failed);
  const isMissing = problem.type === "StoreNotFound";
  if (isMissing && state.view) notice(t("noIndex"));
  else if (isMissing) showEmpty(t("noIndex"), t("noIndexWhy"), el("code", { textContent: "lookalike index ~/Pictures", dir: "ltr" }));
  else if (problem.retryable) notice(`${t("waiting")} ${problem.status ? problem.message : ""}`);
  else notice(`${t("failed")}: ${problem.message}`);
  if (isMissing || problem.retryable) timer = setTimeout(render, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
}

// --- showing

function showHits(pause = 0) {
  const isSearch = answer.hits.some((hit) => hit.confidence !== null) || question() !== null;
  const hits = isSearch ? answer.hits.filter((hit) => hit.confidence >= state.least) : answer.hits;
  byId("threshold").hidden = !isSearch;
  byId("count").textContent = isSearch ? countOf(hits.length) : t("holds", { n: answer.considered });
  shown = hits;
  grid.show(hits, pause);
  if (hits.length) byId("empty").hidden = true;
  else if (answer.hits.length) {
    const best = answer.hits.reduce((most, { confidence }) => Math.max(most, confidence), 0);
    showEmpty(t("nothing"), t("closest", { percent: percent(best) }), plainButton("showAll", () => change({ least: 0 })));
  } else showEmpty(t("noItems"), "", plainButton("unfilter", () => change({ where: {}, project: "" })));
  showOpen();
}

function countOf(n) {
  const isCut = answer.hits.length >= MOST_HITS && answer.considered > MOST_HITS;
  return t(isCut ? "foundBest" : "found", { n, best: answer.hits.length, all: answer.considered });
}

const plainButton = (name, onclick) => el("button", { type: "button", className: "plain", textContent: t(name), onclick });

function showEmpty(title, why, action) {
  if (!shown.length) grid.show([]);
  byId("empty").replaceChildren(el("h2", { textContent: title }), el("p", { className: "quiet", textContent: why }), action);
  byId("empty").hidden = false;
}

let passing = 0;

/** A sentence above the pictures; one that needs no answer goes by itself. */
function notice(text, { passes = false } = {}) {
  clearTimeout(passing);
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
  passing = passes ? setTimeout(notice, 5000, "") : 0;
}

async function loadProjects(signal) {
  try {
    const found = await getJson("projects", signal);
    answer.space ||= found.space;
    fillProjects(byId("project"), found);
    return found;
  } finally {
    byId("finder").classList.remove("unsure");
  }
}

/** A key for several projects opens them one at a time: the first, until somebody chooses. */
async function chooseProject() {
  const { projects } = await loadProjects();
  if (!projects.length) return state.view ? notice(t("noItems")) : showEmpty(t("noItems"), "", "");
  state.project = projects[0].name;
  history.replaceState(null, "", `#${format(state)}`);
  render();
}

/** The projects as the options of an element, hidden where there is nothing to choose. */
function fillProjects(select, { projects, together }) {
  const options = projects.map(({ name }) => el("option", { value: name, textContent: name }));
  if (together) options.unshift(el("option", { value: "", textContent: t("allProjects") }));
  select.replaceChildren(...options);
  select.value = state.project;
  select.hidden = projects.length < 2;
}

// --- one picture

const place = () => shown.findIndex((hit) => sameItem(hit.item, state.open));
let opened = null; // the hit in the lightbox
let lightbox = null; // once there was time to load it

async function theLightbox() {
  const module = await load("lightbox");
  if (!lightbox) module.wire(lightboxActions);
  lightbox = module;
}

async function showOpen() {
  if (!state.open) {
    const at = front.current;
    lightbox?.close(); // gives the focus back to where it was opened
    if (opened) front.focus(at);
    opened = null;
    return;
  }
  const n = place();
  const wanted = state.open;
  try {
    // A link may be to a picture that is no hit.
    const [hit] = await Promise.all([shown[n] ?? getJson(itemPath(wanted)).then(asHit), theLightbox()]);
    if (state.open !== wanted) return;
    opened = hit;
  } catch (problem) {
    return notice(`${t("failed")}: ${problem.message}`);
  }
  if (n >= 0) front.current = n;
  const { item } = opened;
  lightbox.open(opened, {
    space: answer.space,
    asked: { query: shown === answer.hits || front === grid ? question() : null, project: state.project },
    twins: [...new Set([...shown, ...answer.hits])].map((hit) => hit.item).filter((other) => other.content === item.content && !sameItem(other, item)).map((other) => other.uri || other.id),
    hasPrevious: n > 0,
    hasNext: n >= 0 && n < shown.length - 1,
    isPicked: picked.has(keyOf(item)),
    filter: (key, value) => change({ open: null, ...(key === "project" ? { project: value } : { where: { ...state.where, [key]: value } }) }),
  });
}

const lightboxActions = {
  turn,
  close: () => {
    change({ open: null });
    showOpen(); // at once: what lies below may be long in coming
  },
  similar: () => similar(opened.item),
  toward: () => join({ kind: "item", ...itemOf(opened.item), weight: 1 }),
  away: () => join({ kind: "item", ...itemOf(opened.item), weight: -1 }),
  choose: () => pick(opened.item),
  share: copyLink,
};

function turn(by) {
  const next = shown[place() + by];
  if (place() >= 0 && next) change({ open: itemOf(next.item) });
}

function similar(item) {
  change({ q: "", parts: [{ kind: "item", ...itemOf(item), weight: 1 }], open: null });
}

function join(part) {
  change({ parts: [...state.parts, part], open: null });
}

function pick(item) {
  const key = keyOf(item);
  if (!picked.delete(key)) picked.set(key, [...shown, ...answer.hits].find((hit) => sameItem(hit.item, item)) ?? opened);
  drawSelection();
}

function drawSelection() {
  byId("selection").hidden = picked.size === 0;
  byId("selected").textContent = t("selected", { n: picked.size });
  if (opened) lightbox?.mark(picked.has(keyOf(opened.item)));
  front.mark();
}

// --- pictures of one's own

async function searchByFile(file) {
  const part = await pictureOf(file);
  if (part.small) originals.set(part.small, part.data);
  change({ parts: [...state.parts.filter(({ kind }) => kind === "text"), part], open: null });
  if (!part.small) notice(t("noLink"), { passes: true });
}

function take(transfer) {
  const view = shownView();
  if (view?.take) view.take(transfer);
  else if (transfer.files[0]) searchByFile(transfer.files[0]);
}

function wireFiles() {
  byId("pick").onclick = () => byId("file").click();
  byId("file").onchange = ({ target }) => {
    if (target.files[0]) searchByFile(target.files[0]);
    target.value = "";
  };
  addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    take(event.clipboardData);
  });
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    byId("drop").hidden = false;
    byId("drop").firstElementChild.textContent = t(shownView()?.take ? "dropToAdd" : "drop");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && (byId("drop").hidden = true));
  addEventListener("drop", (event) => {
    event.preventDefault();
    byId("drop").hidden = true;
    take(event.dataTransfer);
  });
}

// --- the API key

function askForKey(why) {
  if (byId("ask").open) return; // somebody is typing it
  byId("ask-why").textContent = hasKey() ? why : t("keyKept");
  forgetKey();
  byId("ask").showModal();
}

function wireKey() {
  byId("ask").addEventListener("cancel", (event) => event.preventDefault());
  byId("key").oninvalid = () => (byId("ask-why").textContent = t("keyLetters"));
  byId("ask-form").onsubmit = () => {
    useKey(byId("key").value.trim());
    byId("key").value = "";
    render();
  };
}

// --- wiring

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    notice(t(state.parts.some((part) => part.kind === "picture" && !part.small) ? "noLink" : "copied"), { passes: true });
  } catch {
    notice(t("notCopied"), { passes: true }); // only https and this machine are given the clipboard
  }
}

/** A module that is not needed at first. */
const loadPart = (name) =>
  import(`./views/${name}.js`).catch((error) => {
    notice(t("reload"));
    throw error;
  });

async function saveAs(kind) {
  const { asCsv, asJson, save } = await loadPart("export");
  save((kind === "csv" ? asCsv : asJson)([...picked.values()]), `lookalike.${kind}`);
}

async function saveZip() {
  const { MOST_IN_ZIP, asZip, save } = await loadPart("export");
  if (picked.size > MOST_IN_ZIP) return notice(t("zipMost", { n: MOST_IN_ZIP }), { passes: true });
  notice(t("zipping", { n: picked.size }));
  const { blob, missing } = await asZip([...picked.values()]);
  save(blob, "lookalike.zip");
  notice(missing ? t("zipMissing", { n: missing }) : "", { passes: true });
}

function wireSearch() {
  const words = (sign) => {
    change({ q: "", parts: [...state.parts, inBox(sign)] });
    box.focus();
  };
  box.oninput = () => change({ q: box.value }, { typing: true });
  byId("form").onsubmit = (event) => {
    event.preventDefault();
    render();
  };
  byId("plus").onclick = () => words(1);
  byId("minus").onclick = () => words(-1);
  byId("clear").onclick = byId("home").onclick = (event) => {
    event.preventDefault();
    change(blank());
    box.focus();
  };
  byId("least").oninput = ({ target }) => {
    state.least = target.valueAsNumber / 100;
    byId("least-value").textContent = percent(state.least);
    showHits();
  };
  byId("least").onchange = () => change({});
  byId("project").onchange = ({ target }) => change({ project: target.value });
  byId("copy").onclick = copyLink;
  byId("facets").onbeforetoggle = async ({ newState, target }) => {
    if (newState !== "open") return;
    const { narrow } = await loadPart("facets");
    narrow(target, byId("narrow"), answer.hits.map(({ item }) => item), state.where, (where) => change({ where }));
  };
}

function wireSelection() {
  for (const kind of ["csv", "json"]) byId(kind).onclick = () => saveAs(kind);
  byId("zip").onclick = saveZip;
  byId("all").onclick = () => {
    for (const hit of shown) picked.set(keyOf(hit.item), hit);
    drawSelection();
  };
  byId("none").onclick = () => {
    picked.clear();
    drawSelection();
  };
}

function wireKeyboard() {
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open], :popover-open")) return;
    const inBox = event.target === box;
    if (event.key === "/" && !event.target.matches("input, select")) box.focus();
    else if (inBox && event.key === "ArrowDown") front.focus(front.current);
    else if (inBox && event.key === "Enter" && event.shiftKey && state.q.trim()) byId("plus").click();
    else if (inBox && event.key === "Enter" && event.altKey && state.q.trim()) byId("minus").click();
    else if (inBox && event.key === "Backspace" && !box.value && state.parts.length) change({ parts: state.parts.slice(0, -1) });
    else if (event.key === "Escape" && picked.size && !inBox) byId("none").click();
    else return;
    event.preventDefault();
  });
}

function say(language) {
  speak(language);
  byId("language").textContent = t("language");
  byId("language").lang = otherLanguage();
  document.body.classList.add("said");
}

wireSearch();
wireFiles();
wireKey();
wireSelection();
wireKeyboard();
byId("language").onclick = () => {
  say(otherLanguage());
  byId("project").replaceChildren();
  loadProjects().catch(() => {}); // what is wrong, the next request says
  forgetViews();
  grid.hits = [];
  render();
  drawSelection();
};
addEventListener("popstate", () => goTo(location.hash));
say();
render();
byId("main").addEventListener("pointerover", () => theLightbox().catch(() => {}), { once: true }); // in time
