// Choices by what is known of the pictures that were seen: their kind, when they were taken, what their owner says of them.

import { el, redraw } from "../dom.js";
import { factName } from "../grid.js";
import { t } from "../strings.js";

const MOST_FACETS = 4;
const MOST_VALUES = 30;
const FINER = { taken_month: "taken_year", taken_on: "taken_month" }; // only once the other is chosen

export class Facets {
  /** `choose(where)` gets the filter that somebody wants; `keepsChosen` if what is chosen shall be shown here as well. */
  constructor(root, choose, { keepsChosen = true } = {}) {
    Object.assign(this, { root, choose, keepsChosen });
    this.known = new Map(); // values by name
  }

  /** Draw a choice for each fact that has a few values among these items and those before. */
  show(items, where) {
    for (const { metadata } of items) for (const [name, value] of Object.entries(metadata)) this.#see(name, value);
    for (const [name, value] of Object.entries(where)) this.#see(name, value, Infinity);
    const few = [...this.known].filter(([name, { size }]) => {
      if (name in where) return this.keepsChosen;
      return size > 1 && size <= MOST_VALUES && (!FINER[name] || FINER[name] in where);
    });
    redraw(this.root, few.slice(0, MOST_FACETS).map(([name, values]) => this.#select(name, [...values].sort(), where)));
  }

  #see(name, value, most = MOST_VALUES) {
    if (!this.known.has(name)) this.known.set(name, new Set());
    if (this.known.get(name).size <= most) this.known.get(name).add(value);
  }

  #select(name, values, where) {
    const any = el("option", { value: "", textContent: t("anyOf", { name: factName(name) }) });
    const options = values.map((value) => el("option", { value: `=${value}`, textContent: value }));
    const select = el("select", { "aria-label": factName(name) }, any, ...options);
    select.value = name in where ? `=${where[name]}` : "";
    select.onchange = () => {
      const { [name]: _, ...rest } = where;
      this.choose(select.value ? { ...rest, [name]: select.value.slice(1) } : rest);
    };
    return select;
  }
}

/** Offer these choices below a button, in an element that is its popover; `choose(where)` as above. */
export function narrow(root, button, items, where, choose) {
  const chosen = (where) => {
    root.hidePopover();
    choose(where);
  };
  new Facets(root, chosen, { keepsChosen: false }).show(items, where);
  if (!root.children.length) root.textContent = t("nothingToChoose");
  const { bottom, left } = button.getBoundingClientRect();
  Object.assign(root.style, { inset: "auto", top: `${bottom + 4}px`, left: `${Math.min(left, innerWidth - root.offsetWidth - 8)}px` });
}
