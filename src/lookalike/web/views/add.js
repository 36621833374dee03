// Adding pictures: a folder or files, dropped or chosen, and what has become of each.

import { Problem, getJson } from "../api.js";
import { el, icon } from "../dom.js";
import { number, percent, t } from "../strings.js";
import { ENDED, add, again, forgetEnded, recall, rows, watch } from "./uploads.js";

const MOST_SHOWN = 200;
/** What is said of each state, in the order of the list. */
const SAID = {
  failed: "isFailed",
  lost: "isLost",
  sending: "isSending",
  working: "isWorking",
  waiting: "isWaiting",
  queued: "isQueued",
  duplicate: "isDuplicate",
  stored: "isStored",
};
const ORDER = Object.keys(SAID);
// Of a folder, what cannot be a picture is left out; what was chosen by itself is sent whatever it is.
const PICTURE = /\.(jpe?g|png|webp|gif|bmp|tiff?|p[bgpn]m|jp2|j2k|avif|heic|heif)$/i;

export function open(root, page) {
  const files = picker({ multiple: true, accept: "image/*" });
  const folder = picker({ webkitdirectory: true });
  const project = el("input", { type: "text", autocomplete: "off", maxLength: 200, dir: "auto", placeholder: t("ownProject") });
  const names = el("datalist", { id: "add-projects" });
  project.setAttribute("list", names.id);
  const well = el(
    "div",
    { className: "well" },
    icon("plus"),
    el("h2", { textContent: t("addTitle") }),
    el("p", { className: "quiet", textContent: t("addWhy") }),
    el("div", { className: "actions" }, chooser("chooseFiles", files, "main"), chooser("chooseFolder", folder, "plain")),
    el("label", { className: "project" }, el("span", { textContent: t("toProject") }), project, names),
  );
  const refused = el("div", { className: "empty", hidden: true }, el("h2", { textContent: t("noAdding") }), el("p", { className: "quiet" }));
  const sum = el("p", { className: "count", role: "status" });
  const bar = el("progress", { max: 1, "aria-label": t("progress") });
  const forget = el("button", { type: "button", className: "plain", textContent: t("forgetEnded"), onclick: forgetEnded });
  const head = el("div", { className: "sum", hidden: true }, sum, bar, forget);
  const list = el("ul", { className: "files", role: "list", "aria-label": t("files") });
  const rest = el("p", { className: "quiet" });
  root.append(el("div", { className: "column" }, well, refused, files, folder, head, list, rest));

  function picker(properties) {
    const input = el("input", { type: "file", hidden: true, ...properties });
    input.onchange = () => {
      takeAll([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })), input.webkitdirectory);
      input.value = "";
    };
    return input;
  }

  function chooser(name, input, className) {
    return el("button", { type: "button", className, textContent: t(name), onclick: () => input.click() });
  }

  function takeAll(found, isFolder) {
    const wanted = isFolder ? found.filter(({ path }) => PICTURE.test(path) && !path.split("/").some((part) => part.startsWith("."))) : found;
    const n = found.length - wanted.length;
    if (n) page.notice(t("leftOut", { n }), { passes: true });
    if (!refused.hidden) return;
    add(wanted, project.value.trim());
  }

  function refuse(why) {
    refused.lastChild.textContent = why;
    refused.hidden = false;
    well.hidden = true;
  }

  let drawing = 0;
  const soon = () => (drawing ||= requestAnimationFrame(draw));

  function draw() {
    drawing = 0;
    if (root.hidden) return;
    const all = [...rows.values()];
    const counts = Object.groupBy(all, ({ state }) => state);
    const ended = all.filter(({ state }) => ENDED.includes(state)).length;
    head.hidden = !all.length;
    const parts = ORDER.filter((state) => counts[state]).map((state) => `${t(SAID[state])}: ${number(counts[state].length)}`);
    sum.textContent = parts.join(" · ");
    bar.value = all.length ? ended / all.length : 0;
    bar.hidden = ended === all.length;
    forget.hidden = !ended;
    // The latest of what has ended first, of what is under way the first.
    const sorted = ORDER.flatMap((state) => (ENDED.includes(state) ? (counts[state] ?? []).toReversed() : (counts[state] ?? [])));
    reconcile(sorted.slice(0, MOST_SHOWN));
    rest.textContent = sorted.length > MOST_SHOWN ? t("andMore", { n: sorted.length - MOST_SHOWN }) : "";
  }

  const nodes = new Map();

  /** Only what has changed is drawn anew: a button keeps its focus, and nothing is read out twice. */
  function reconcile(wanted) {
    const kept = new Set(wanted.map(({ id }) => id));
    for (const [id, { node }] of nodes) {
      if (kept.has(id)) continue;
      node.remove();
      nodes.delete(id);
    }
    wanted.forEach((row, n) => {
      const look = JSON.stringify([row.state, row.reason, row.twin, row.sent]);
      const before = nodes.get(row.id);
      if (before?.look !== look) {
        const node = drawRow(row);
        before?.node.replaceWith(node);
        nodes.set(row.id, { node, look });
      }
      const { node } = nodes.get(row.id);
      if (list.children[n] !== node) list.insertBefore(node, list.children[n] ?? null);
    });
  }

  function drawRow(row) {
    const { state, name, reason, twin, sent } = row;
    const said = state === "sending" && sent ? `${t(SAID.sending)} ${percent(sent)}` : t(SAID[state]);
    const why = twin ? t("twinOf", { name: twin }) : state === "lost" ? t("lostWhy") : reason;
    const about = el("div", { className: "about" }, el("span", { className: "name", textContent: name, dir: "auto" }));
    if (why) about.append(el("span", { className: "why", textContent: why, dir: "auto" }));
    const retry = state === "failed" && (row.file || row.job);
    const button = retry ? el("button", { type: "button", className: "plain", textContent: t("again"), onclick: () => again(row) }) : null;
    return el("li", { className: `file ${state}` }, el("span", { className: "state", textContent: said }), about, button);
  }

  function onProblem(error) {
    if (error.status === 403) refuse(error.message);
    else page.failed(error);
  }

  watch(soon, onProblem);

  return {
    async show() {
      recall();
      draw();
      page.show([], { current: 0, focus() {}, mark() {} });
      try {
        await getJson("jobs?limit=1"); // says whether pictures are taken at all, and from this key
        well.hidden = false;
        refused.hidden = true;
        const { projects } = await page.projects().catch((error) => {
          if (error.status !== 403) throw error;
          return { projects: [] }; // a key that may write need not be one that may search
        });
        names.replaceChildren(...projects.map(({ name }) => el("option", { value: name })));
        page.worked();
      } catch (error) {
        if (!(error instanceof Problem) || error.item === "project") return;
        onProblem(error);
      }
    },
    take(transfer) {
      filesOf(transfer).then(({ found, isFolder }) => takeAll(found, isFolder), page.failed);
    },
  };
}

/** The files of a drop or a paste, those in folders with their path. */
async function filesOf(transfer) {
  // Entries and files have to be taken at once: after a pause the transfer is empty.
  const taken = [...transfer.items].filter(({ kind }) => kind === "file").map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const lists = await Promise.all(taken.map(({ entry, file }) => (entry?.isDirectory ? walk(entry) : file ? [{ file, path: file.name }] : [])));
  return { found: lists.flat(), isFolder: taken.some(({ entry }) => entry?.isDirectory) };
}

async function walk(entry) {
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: entry.fullPath.replace(/^\//, "") }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) return found;
    for (const one of some) found.push(...(await walk(one)));
  }
}
