// What is searched for and shown, also as what is behind "#" in the address: it never leaves the browser.

/** Beside the search, which has no name. */
export const VIEWS = ["browse", "map", "add", "status"];

export const RELATED = 0.5; // the confidence from which a hit counts as related

/** `view` is empty for the search, `at` the view's own. A part is {kind: "text", text}, {kind: "item", id, project} or {kind: "picture", data, small}, each with a weight. */
export const blank = () => ({ view: "", at: "", q: "", parts: [], project: "", where: {}, least: RELATED, open: null });

/** The state as an address. Pictures are in it as the small copies of them that `parts.js` makes. */
export function format(state) {
  const words = new URLSearchParams();
  for (const name of ["view", "at"]) if (state[name]) words.append(name, state[name]);
  if (state.q) words.append("q", state.q);
  for (const part of state.parts) {
    const value = formatPart(part);
    if (value) words.append("part", `${part.weight},${value}`);
  }
  if (state.project) words.append("project", state.project);
  for (const [key, value] of Object.entries(state.where)) words.append("where", `${key}:${value}`);
  if (state.least !== RELATED) words.append("least", String(state.least));
  if (state.open) words.append("open", formatItem(state.open));
  return words.toString();
}

/** The state that an address describes; what it does not understand in one is left out. */
export function parse(text) {
  const words = new URLSearchParams(text.replace(/^#/, ""));
  const state = blank();
  if (VIEWS.includes(words.get("view"))) state.view = words.get("view");
  state.at = words.get("at") ?? "";
  state.q = words.get("q") ?? "";
  state.parts = words.getAll("part").map(parsePart).filter(Boolean);
  state.project = words.get("project") ?? "";
  for (const pair of words.getAll("where")) {
    const colon = pair.indexOf(":");
    if (colon >= 0) state.where[pair.slice(0, colon)] = pair.slice(colon + 1);
  }
  const least = Number.parseFloat(words.get("least"));
  if (least >= 0 && least <= 1) state.least = least;
  state.open = parseItem(words.get("open") ?? "");
  return state;
}

export const sameItem = (a, b) => Boolean(a && b) && a.id === b.id && a.project === b.project;

const formatItem = ({ id, project }) => `${encodeURIComponent(project)}/${id}`;

function parseItem(text) {
  const slash = text.indexOf("/");
  if (slash < 1) return null;
  try {
    return { project: decodeURIComponent(text.slice(0, slash)), id: text.slice(slash + 1) };
  } catch {
    return null;
  }
}

function formatPart(part) {
  if (part.kind === "text") return `text,${part.text}`;
  if (part.kind === "item") return `item,${formatItem(part)}`;
  return part.small && `picture,${part.small.split(",")[1]}`;
}

function parsePart(text) {
  const [, number, kind, value] = /^([^,]+),(\w+),([^]+)$/.exec(text) ?? [];
  const weight = Number(number);
  if (!Number.isFinite(weight) || weight === 0) return null;
  if (kind === "text") return { kind, text: value, weight };
  const item = kind === "item" && parseItem(value);
  if (item) return { kind, ...item, weight };
  if (kind !== "picture" || value.length % 4 || !/^[A-Za-z0-9+/]+={0,2}$/.test(value)) return null;
  const small = `data:image/webp;base64,${value}`;
  return { kind, data: small, small, weight };
}
