// Every picture, what came last first: more of them come as one scrolls.

import { getJson, itemsPath } from "../api.js";
import { el, redraw } from "../dom.js";
import { Grid, asHit } from "../grid.js";
import { t } from "../strings.js";

const PAGE = 300;
const AHEAD = 3; // windows below, from which the next page is asked for
const MOST_FACETS = 4;
const MOST_VALUES = 30;

export function newest(root, page, { count, facets }) {
  const list = el("ul", { className: "grid", role: "list", "aria-label": t("results") });
  const empty = el("p", { className: "empty quiet", textContent: t("noPictures"), hidden: true });
  root.append(list, empty);
  const grid = new Grid(list, { ...page, open: (n) => page.open(hits[n].item) });
  const known = new Map(); // values of metadata that were seen, by name
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
    drawFacets();
    grid.show(hits);
    page.show(hits, grid);
  }

  /** A choice for each fact that has a few values among the pictures that were seen. */
  function drawFacets() {
    for (const { item } of hits) for (const [name, value] of Object.entries(item.metadata)) see(name, value);
    for (const [name, value] of Object.entries(state.where)) see(name, value);
    const few = [...known].filter(([name, { size }]) => name in state.where || (size > 1 && size <= MOST_VALUES));
    redraw(facets, few.slice(0, MOST_FACETS).map(([name, values]) => facet(name, [...values].sort())));
  }

  function see(name, value) {
    if (!known.has(name)) known.set(name, new Set());
    if (known.get(name).size <= MOST_VALUES || name in state.where) known.get(name).add(value);
  }

  function facet(name, values) {
    const any = el("option", { value: "", textContent: t("anyOf", { name }) });
    const options = values.map((value) => el("option", { value: `=${value}`, textContent: value }));
    const select = el("select", { "aria-label": name }, any, ...options);
    select.value = name in state.where ? `=${state.where[name]}` : "";
    select.onchange = () => {
      const { [name]: _, ...rest } = state.where;
      page.change({ where: select.value ? { ...rest, [name]: select.value.slice(1) } : rest });
    };
    return select;
  }

  return {
    async show(now) {
      state = now;
      if (JSON.stringify([state.project, state.where]) !== shown) await more();
      else draw();
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
