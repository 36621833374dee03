// How the service is: ready or not, how fast, how much, and what failed. It is asked while somebody looks.

import { getJson, postJson } from "../api.js";
import { el } from "../dom.js";
import { locale, number, percent, t } from "../strings.js";
import { trend } from "./trend.js";
import { reasonOf } from "./uploads.js";

const EVERY_MS = 2000;
const N = 90; // three minutes
const MOST_JOBS = 50;
const MOST_COUNTED = 1000;
const STAGES = { queue: "stageQueue", decode: "stageDecode", inference: "stageModel", search: "stageSearch" };
const KINDS = { image: "ofPictures", text: "ofWords" };
/** What is counted as done, by its name in the page. */
const RATES = [
  ["ratePictures", ({ events }) => events.item_image ?? 0],
  ["rateWords", ({ events }) => events.item_text ?? 0],
  ["rateSearches", ({ stages }) => stages.search?.count ?? 0],
];

const ms = (x) => `${new Intl.NumberFormat(locale(), { maximumSignificantDigits: 3 }).format(x)} ms`;
const few = (x) => new Intl.NumberFormat(locale(), { maximumFractionDigits: x < 10 ? 1 : 0 }).format(x);
const bytes = (n) => {
  const power = Math.min(3, Math.floor(Math.log10(Math.max(n, 1)) / 3));
  const unit = ["byte", "kilobyte", "megabyte", "gigabyte"][power];
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 }).format(n / 1000 ** power);
};

export function open(root, page) {
  const panels = el("div", { className: "panels" });
  const failures = el("section", { className: "panel", hidden: true });
  root.append(el("div", { className: "pictures" }, panels, failures));
  const history = new Map(); // series of numbers by name, the latest last
  const charts = new Map();
  let before = null; // the figures before, and when they came
  let timer = 0;
  let stop = new AbortController();
  let state = {};

  const sections = new Map();
  const scroll = el("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": t("latency") });

  function panel(name, ...children) {
    if (!sections.has(name)) {
      const head = el("h2", { textContent: t(name) });
      sections.set(name, { head, node: el("section", { className: `panel ${name}` }) });
    }
    const { head, node } = sections.get(name);
    fill(node, [head, ...children]);
    return node;
  }

  function remember(name, value) {
    const series = [...(history.get(name) ?? []), value].slice(-N);
    history.set(name, series);
    return series;
  }

  /** The chart of this name, which is kept from one look to the next. */
  function drawn(name, label, series, said) {
    if (!charts.has(name)) charts.set(name, trend(label, { n: N }));
    const { node, draw } = charts.get(name);
    draw(series, said);
    return node;
  }

  function draw(figures, now) {
    const some = [ready(panel, figures), index(panel, figures.index, figures.space)];
    if (figures.stages) some.push(rates(figures, now), queue(figures.queue, figures.jobs), stages(figures.stages), hosted(panel, figures.hosted_today), events(panel, figures.events));
    fill(panels, some.filter(Boolean));
    before = { figures, now };
  }

  function rates(figures, now) {
    const isSame = before && figures.uptime_s >= before.figures.uptime_s;
    const rows = RATES.map(([name, count]) => {
      const rate = isSame ? Math.max(0, count(figures) - count(before.figures)) / (Math.max(now - before.now, 1) / 1000) : 0;
      const said = t("perSecond", { n: few(rate) });
      return figure(t(name), said, drawn(name, t(name), remember(name, rate), said));
    });
    return panel("throughput", ...rows);
  }

  function queue(waiting, jobs) {
    const rows = Object.entries({ interactive: "laneInteractive", bulk: "laneBulk" }).map(([lane, name]) => {
      const n = waiting[lane] ?? 0;
      return figure(t(name), number(n), drawn(lane, t(name), remember(lane, n), number(n)));
    });
    if (jobs) rows.push(figure(t("jobsWaiting"), jobs.waiting), figure(t("jobsDead"), jobs.dead));
    return panel("queue", ...rows);
  }

  function stages(found) {
    const rows = Object.entries(found).map(([name, { count, p50_ms, p95_ms, p99_ms }]) => {
      const [stage, kind] = name.split("_");
      const label = stage in STAGES ? [t(STAGES[stage]), kind && t(KINDS[kind])].filter(Boolean).join(", ") : name;
      const line = drawn(`stage ${name}`, `${label}, p95`, remember(`stage ${name}`, p95_ms), ms(p95_ms));
      const cells = [number(count), ms(p50_ms), ms(p95_ms), ms(p99_ms)].map((text) => el("td", { textContent: text, dir: "ltr" }));
      return el("tr", {}, el("th", { scope: "row", textContent: label }), ...cells, el("td", { className: "trend" }, line));
    });
    if (!rows.length) return null;
    const heads = [t("colStage"), t("colTimes"), "p50", "p95", "p99", t("colTrend")].map((text) => el("th", { scope: "col", textContent: text }));
    scroll.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)));
    return panel("latency", scroll);
  }

  const jobsThatAre = (is, limit, signal) =>
    getJson(`jobs?${new URLSearchParams({ state: is, limit, ...(state.project && { project: state.project }) })}`, signal);

  async function drawFailures(signal) {
    const [{ jobs, next }, waiting] = await Promise.all([jobsThatAre("dead", MOST_JOBS, signal), jobsThatAre("waiting", MOST_COUNTED, signal)]);
    const key = JSON.stringify(jobs);
    if (failures.key !== key) {
      failures.key = key;
      failures.hidden = !jobs.length;
      const all = el("button", { type: "button", className: "plain", textContent: t("replayAll"), onclick: () => replay(jobs) });
      failures.replaceChildren(el("div", { className: "head" }, el("h2", { textContent: t("failures") }), all), el("ul", { className: "dead", role: "list" }, ...jobs.map(dead)));
    }
    return { waiting: number(waiting.jobs.length) + (waiting.next ? "+" : ""), dead: number(jobs.length) + (next ? "+" : "") };
  }

  function dead(job) {
    const about = el("div", { className: "about" }, el("strong", { textContent: job.id, dir: "auto" }), el("span", { className: "reason", textContent: reasonOf(job), dir: "auto" }));
    const facts = el("span", { className: "quiet", textContent: `${job.project} · ${new Date(job.changed_s * 1000).toLocaleString(locale())}`, dir: "auto" });
    about.append(facts);
    return el("li", {}, about, el("button", { type: "button", className: "plain", textContent: t("replay"), "aria-label": `${t("replay")}: ${job.id}`, onclick: () => replay([job]) }));
  }

  async function replay(jobs) {
    try {
      const { replayed } = await postJson("jobs/replay", { jobs: jobs.map(({ job }) => job) });
      page.notice(t("replayed", { n: replayed.length }), { passes: true });
      await look();
    } catch (problem) {
      page.failed(problem);
    }
  }

  async function look() {
    clearTimeout(timer);
    stop.abort();
    const { signal } = (stop = new AbortController());
    try {
      const figures = await getJson("stats", signal);
      // A key that may not write sees no jobs; all else is there for it.
      figures.jobs = await drawFailures(signal).catch((problem) => {
        if (signal.aborted || problem.retryable || problem.status === 401) throw problem;
        return null;
      });
      draw(figures, performance.now());
      if (before) page.worked();
    } catch (problem) {
      if (!signal.aborted) page.failed(problem);
      return; // which has it tried again, if that can help
    }
    if (!document.hidden && !root.hidden) timer = setTimeout(look, EVERY_MS);
  }

  document.addEventListener("visibilitychange", () => !document.hidden && !root.hidden && look());

  return {
    async show(now) {
      state = now;
      page.show([], { current: 0, focus() {}, mark() {} });
      await look();
    },
    hide() {
      clearTimeout(timer);
      stop.abort();
    },
  };
}

function ready(panel, figures) {
  const { ready: is, reason, search_reason: search, switch_reason: change, model, space, precision, version, uptime_s: s, workers } = figures;
  const head = el("p", { className: is ? "light on" : "light" }, t(is ? "isReady" : "isNotReady"));
  const whys = [reason, search, change].filter(Boolean).map((text) => el("p", { className: "warning", textContent: text }));
  const names = Array.isArray(workers) ? workers.map(({ name, state, restarts }) => `${name}: ${state}${restarts ? ` (${t("restarts", { n: restarts })})` : ""}`) : Object.entries(workers).map(([name, state]) => `${name}: ${state}`);
  return panel("service", head, ...whys, facts([
    [t("model"), [model, precision].filter(Boolean).join(", ")],
    [t("space"), space],
    [t("workers"), names.join(", ")],
    [t("members"), (figures.members ?? []).map(({ name, state }) => `${name}: ${state}`).join(", ")],
    [t("uptime"), duration(s)],
    [t("version"), version],
  ]));
}

function index(panel, held, space) {
  if (!held) return panel("index", el("p", { className: "quiet", textContent: t("noIndex") }));
  return panel("index", el("p", { className: "big", textContent: t("holds", { n: held.items }) }), facts([
    [t("contents"), held.contents === undefined ? "" : number(held.contents)],
    [t("byProject"), number(held.projects)],
    [t("size"), held.n_bytes === undefined ? "" : bytes(held.n_bytes)],
    ...Object.entries(held.recall ?? {}).map(([way, share]) => [t("recall", { way }), percent(share, 2)]),
    [t("space"), held.space === space ? "" : held.space],
  ]));
}

function hosted(panel, used) {
  if (!used) return null;
  const n = used.texts + used.images + used.cached;
  const usd = (x) => new Intl.NumberFormat(locale(), { style: "currency", currency: "USD", maximumSignificantDigits: 4 }).format(x);
  return panel("hosted", el("p", { className: "big", textContent: usd(used.cost_usd) }), facts([
    [t("requests"), number(used.requests)],
    [t("hitRate"), n ? percent(used.cached / n) : ""],
    [t("saved"), used.saved_usd ? usd(used.saved_usd) : ""],
  ]));
}

function events(panel, found) {
  const some = Object.entries(found).filter(([name, n]) => n && !/^(batch|item)_/.test(name));
  return some.length ? panel("events", facts(some.map(([name, n]) => [name, number(n)]))) : null;
}

/** Put these children into a node, which is left alone where it has them already: focus and scrolling stay. */
function fill(node, children) {
  const isSame = node.childNodes.length === children.length && children.every((child, n) => child === node.childNodes[n]);
  if (!isSame) node.replaceChildren(...children);
}

const facts = (rows) => el("dl", {}, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", { textContent: name }), el("dd", {}, el("bdi", { textContent: value }))]));

const figure = (name, value, line = null) => el("div", { className: "figure" }, el("span", { className: "quiet", textContent: name }), el("strong", { textContent: value }), line);

function duration(s) {
  const parts = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const [size, unit] = parts.find(([size]) => s >= size) ?? parts[3];
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(Math.floor(s / size));
}
