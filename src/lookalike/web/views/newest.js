// Every picture, what came last first: more of them come as one scrolls.

import { getJson, itemsPath } from "../api.js";
import { el } from "../dom.js";
import { Grid, asHit } from "../grid.js";
import { t } from "../strings.js";
import { Facets } from "./facets.js";

const PAGE = 300;
const AHEAD = 3; // windows below, from which the next page is asked for

export function newest(root, page, { count, facets }) {
  const list = el("ul", { className: "grid", role: "list", "aria-label": t("results") });
  const empty = el("p", { className: "empty quiet", textContent: t("noPictures"), hidden: true });
  root.append(list, empty);
  const grid = new Grid(list, { ...page, open: (n) => page.open(hits[n].item) });
  const choices = new Facets(facets, (where) => page.change({ where }));
  let total = 0; // how many there are, as far as is known
  let hits = [];
  let next = null;
  let shown = ""; // what the hits are of
  let state = null;
  let running = null; // {wanted, stop} of the request under way
  addEventListener("scroll", () => isNearEnd() && more().catch(page.failed), { passive: true });

  const isNearEnd = () => !root.hidden && list.offsetParent && next && !running && list.getBoundingClientRect().bottom < AHEAD * innerHeight;

  async function more() {
    const wanted = JSON.stringify([state.project, state.where]);
    if (running?.wanted === wanted) return;
    running?.stop.abort();
    const isFirst = wanted !== shown;
    const own = (running = { wanted, stop: new AbortController() });
    try {
      const after = isFirst ? {} : { after: next };
      const answer = await getJson(itemsPath(state, { order: "newest", limit: PAGE, ...after }), own.stop.signal);
      if (running !== own) return;
      hits = [...(isFirst ? [] : hits), ...answer.items.map(asHit)];
      next = answer.next;
      shown = wanted;
    } catch (problem) {
      if (!own.stop.signal.aborted) throw problem;
      return;
    } finally {
      if (running === own) running = null;
    }
    page.worked();
    if (isFirst) grid.hits = [];
    draw();
    if (isNearEnd()) await more();
  }

  function draw() {
    const isAll = !next || (total >= hits.length && !Object.keys(state.where).length);
    count.textContent = t(isAll ? "holds" : "atLeast", { n: next && isAll ? total : hits.length });
    empty.hidden = hits.length > 0;
    choices.show(hits.map(({ item }) => item), state.where);
    grid.show(hits);
    page.show(hits, grid);
  }

  return {
    async show(now) {
      state = now;
      if (JSON.stringify([state.project, state.where]) !== shown) await more();
      else {
        draw();
        page.worked();
        if (isNearEnd()) await more();
      }
    },
    holds(n) {
      total = n;
      if (shown) draw();
    },
    hide() {
      running?.stop.abort();
      running = null;
      shown = ""; // others may have come when it is shown again
    },
  };
}
