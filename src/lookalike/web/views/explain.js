// Why a picture matches: what each word and part brings, what it is near to, and where in it the likeness lies.

import { postJson } from "../api.js";
import { byId, el } from "../dom.js";
import { nameOf } from "../grid.js";
import { number, percent, t } from "../strings.js";

const LEAST = 0.005; // what a bar shows at all
const SIDE_PX = 640; // of the picture of the heat
let isOpen = false; // stays so from picture to picture
let stop = new AbortController();
let heat = null;

/** Show into `root`, in the lightbox, why `item` is the answer to `asked`: {query, project}, without a query what it is near to. */
export function explain(root, item, asked) {
  forget();
  const told = el("div", { "aria-live": "polite", hidden: true });
  const button = el("button", { type: "button", className: "plain", onclick: () => turn(!isOpen) });
  root.replaceChildren(button, told);
  const question = { picture: { id: item.id, project: item.project }, query: asked.query ?? [], ...(asked.project && { project: asked.project }) };

  async function turn(open) {
    isOpen = open;
    button.ariaExpanded = String(open);
    button.textContent = t(open ? "whyLess" : "why");
    told.hidden = !open;
    if (!open) return clearHeat();
    if (told.children.length) return;
    told.textContent = t("looking");
    const { signal } = stop;
    try {
      const found = await postJson("search/explain", question, signal);
      told.replaceChildren(...sections(found, question.query), ...(question.query.length ? whereIn(item, question) : []));
    } catch (problem) {
      if (!signal.aborted) told.textContent = problem.message;
    }
  }
  turn(isOpen);
}

/** Give up what is under way, and take the heat away. */
export function forget() {
  stop.abort();
  stop = new AbortController();
  clearHeat();
}

function sections({ parts, confidence, concepts }, query) {
  const shown = [];
  if (parts.length > 1) shown.push(...titled("shares", parts.map((part, n) => share(part, query[n]))));
  for (const part of parts) {
    if (part.words.length) shown.push(...titled("brings", part.words.map((word) => effect(word, parts.length > 1 ? part.confidence : confidence))));
  }
  const near = concepts.map(({ name }) => el("li", { textContent: name, lang: "en", dir: "ltr" }));
  return [...shown, el("h3", { textContent: t("nearTo") }), el("ul", { className: "near", role: "list" }, ...near)];
}

const titled = (name, rows) => [el("h3", { textContent: t(name) }), el("ul", { className: "effects", role: "list" }, ...rows)];

function effect({ text, confidence }, whole) {
  const brings = whole - confidence;
  return row(text, brings, points(brings), t("without", { word: text, effect: points(brings), percent: percent(confidence) }));
}

function share({ share: value, confidence }, part) {
  const name = part.text ?? (part.item ? nameOf({ id: part.item }) : t("aPicture"));
  const label = (value < 0 ? "−" : "+") + number(Math.abs(Number(value.toFixed(2))));
  return row(name, Math.max(-1, Math.min(1, value)), label, t("partAlone", { name, share: label, percent: percent(confidence) }));
}

const points = (value) => (value < -LEAST ? "−" : value > LEAST ? "+" : "") + percent(Math.abs(value));

function row(name, value, label, title) {
  const fill = el("span", { className: value < 0 ? "fill against" : "fill" });
  fill.style.width = `${Math.abs(value) < LEAST ? 0 : 100 * Math.abs(value)}%`;
  const bar = el("span", { className: "bar", "aria-hidden": "true" }, fill);
  return el("li", { title }, el("bdi", { textContent: name, dir: "auto" }), bar, el("span", { className: "value", textContent: label }));
}

// --- where in the picture

function whereIn(item, question) {
  const note = el("p", { className: "note", role: "status" });
  const button = el("button", { type: "button", className: "plain where", textContent: t("where"), onclick: look });
  let isLooking = false;
  async function look() {
    if (isLooking) return; // not disabled, which would lose the focus
    if (heat) {
      clearHeat();
      note.textContent = "";
      button.textContent = t("where");
      return;
    }
    const { signal } = stop;
    isLooking = true;
    note.textContent = t("looking");
    try {
      const found = await postJson("search/heatmap", question, signal);
      if (signal.aborted) return;
      note.textContent = t(draw(found) ? "whereNote" : "noWhere");
      button.textContent = t(heat ? "whereLess" : "where");
    } catch (problem) {
      if (!signal.aborted) note.textContent = problem.message;
    } finally {
      isLooking = false;
    }
  }
  return item.thumbnail ? [button, note] : [];
}

function clearHeat() {
  heat?.remove();
  heat = null;
}

/** Lay the heat over the picture: what does not matter is darkened. Returns whether there is any. */
function draw({ rows, columns, values }) {
  const picture = byId("large");
  const most = Math.max(...values.flat());
  if (most <= 0 || !picture.naturalWidth) return false;
  const small = el("canvas", { width: columns, height: rows });
  const context = small.getContext("2d");
  const cells = context.createImageData(columns, rows);
  values.flat().forEach((value, n) => cells.data.set([8, 10, 24, 215 * (1 - Math.max(0, value / most) ** 0.8)], 4 * n));
  context.putImageData(cells, 0, 0);
  clearHeat();
  const scale = SIDE_PX / Math.max(picture.naturalWidth, picture.naturalHeight);
  heat = el("canvas", { className: "heat", width: picture.naturalWidth * scale, height: picture.naturalHeight * scale, "aria-hidden": "true" });
  const large = heat.getContext("2d");
  large.imageSmoothingQuality = "high";
  large.drawImage(small, 0, 0, heat.width, heat.height);
  picture.after(heat);
  return true;
}
