// What is there more than once, side by side, and why it is taken for the same.

import { getJson, showPicture, thumbnailPath } from "../api.js";
import { el, icon } from "../dom.js";
import { asHit, nameOf } from "../grid.js";
import { percent, t } from "../strings.js";

const PAGE = 30;
const AGAIN_MS = 700;

export function duplicates(root, page, { count }) {
  const list = el("ol", { className: "groups", role: "list", "aria-label": t("duplicates") });
  const bar = el("progress", { max: 1, "aria-label": t("comparing") });
  const waiting = el("div", { className: "empty", hidden: true }, el("p", { className: "quiet", textContent: t("comparing") }), bar);
  const none = el("div", { className: "empty", hidden: true }, el("h2", { textContent: t("noDuplicates") }));
  const more = el("button", { type: "button", className: "plain more", textContent: t("more"), hidden: true, onclick: () => load().catch(page.failed) });
  root.append(list, waiting, none, more);
  let hits = [];
  let buttons = [];
  let ends = [];
  let next = 0; // null once all are here
  let shown = null; // the project that they are of
  let stop = new AbortController();
  let timer = 0;
  let project = "";

  const gallery = {
    current: 0,
    focus(n) {
      buttons[n]?.focus();
    },
    mark() {
      buttons.forEach((button, n) => button.classList.toggle("picked", page.isPicked(hits[n].item)));
    },
  };

  async function load() {
    const { signal } = stop;
    const words = new URLSearchParams({ above: next, limit: PAGE, ...(project && { project }) });
    const answer = await getJson(`duplicates?${words}`, signal).catch((problem) => {
      if (!signal.aborted) throw problem;
    });
    if (!answer || signal.aborted) return;
    page.worked();
    const isReady = answer.state === "ready";
    waiting.hidden = isReady;
    bar.value = answer.share;
    if (!isReady) {
      count.textContent = t("compared", { percent: percent(answer.share) });
      timer = setTimeout(() => load().catch(page.failed), AGAIN_MS);
      return;
    }
    shown = project;
    none.hidden = answer.total > 0;
    count.textContent = answer.total ? t("nGroups", { n: answer.total }) : "";
    next = answer.next;
    more.hidden = next === null;
    list.append(...answer.groups.map((found) => group(found, answer.min_similarity)));
    page.show(hits, gallery);
    gallery.mark();
  }

  function group({ reason, similarity, n_items: n, items }, least) {
    const why = reason === "exact" ? t("sameBytes") : t("nearlySame", { similarity: similarity.toFixed(3), least });
    const rest = n > items.length ? t("notShown", { n: n - items.length }) : "";
    const heading = el("h2", {}, el("span", { className: `reason ${reason}`, textContent: reason === "exact" ? t("exact") : t("near") }), el("span", { textContent: t("times", { n }) }));
    const pictures = el("ul", { className: "side", role: "list" }, ...items.map(picture));
    return el("li", { className: "group" }, heading, el("p", { className: "quiet", textContent: `${why} ${rest}` }), pictures);
  }

  function picture(item) {
    const n = hits.push(asHit(item)) - 1;
    const img = el("img", { alt: "", decoding: "async" });
    const small = thumbnailPath(item, 256);
    const button = el("button", { type: "button", className: "picture", "aria-label": nameOf(item), onclick: () => page.open(item) }, small ? img : icon("picture"));
    button.onfocus = () => (gallery.current = n);
    buttons.push(button);
    img.onload = () => img.classList.add("ready");
    img.onerror = () => img.replaceWith(icon("picture"));
    if (small) ends.push(showPicture(img, small));
    const path = item.uri || item.id;
    const folder = path.split("/").slice(0, -1).join("/");
    const line = (text, className) => el("span", { className, textContent: text, dir: "auto", title: path });
    return el("li", {}, button, line(nameOf(item), "where"), line([item.project, folder].filter(Boolean).join(" · "), "where quiet"));
  }

  function clear() {
    stop.abort();
    stop = new AbortController();
    clearTimeout(timer);
    for (const end of ends) end();
    [hits, buttons, ends, next, shown] = [[], [], [], 0, null];
    list.replaceChildren();
    waiting.hidden = none.hidden = more.hidden = true;
  }

  return {
    async show(state) {
      if (shown === state.project) return page.show(hits, gallery);
      clear();
      ({ project } = state);
      await load();
    },
    hide: clear,
  };
}
