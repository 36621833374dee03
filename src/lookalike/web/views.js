// What is loaded when it is first shown: a view's module, its words and its style, all of one name.

import { Problem } from "./api.js";
import { el } from "./dom.js";
import { learn, t } from "./strings.js";

const loading = new Map();

/** The module `views/NAME.js`, with the words of `views/NAME.strings.js` and the style `views/NAME.css` in place. */
export function load(name) {
  if (!loading.has(name)) loading.set(name, read(name));
  return loading.get(name);
}

async function read(name) {
  try {
    const here = `./views/${name}`;
    const [module, words] = await Promise.all([import(`${here}.js`), import(`${here}.strings.js`), style(`${here}.css`)]);
    learn(words);
    return module;
  } catch (error) {
    loading.delete(name);
    // The service is away, or of another version by now, whose files have another address.
    throw new Problem(`${t("reload")} (${error.message ?? name})`, { retryable: true });
  }
}

const style = (path) =>
  new Promise((resolve, reject) => {
    const link = el("link", { rel: "stylesheet", href: new URL(path, import.meta.url).href, onload: resolve, onerror: reject });
    document.head.append(link);
  });

const opened = new Map();
let front = null;

/** Show the view of this name in `main`, or none; `page` is what it may do, see app.js. What is not shown is told so. */
export async function showView(name, main, page, state) {
  for (const [other, { root, view }] of opened) {
    if (other === name) continue;
    if (!root.hidden) view.hide?.();
    root.hidden = true;
  }
  front = name;
  if (!name) return;
  if (!opened.has(name)) {
    const { open } = await load(name);
    if (opened.has(name) || front !== name) return;
    const root = el("section", { id: `view-${name}`, className: "view" });
    main.append(root);
    opened.set(name, { root, view: open(root, page) });
  }
  const { root, view } = opened.get(name);
  root.hidden = false;
  await view.show(state);
}

/** The view that is shown, or undefined. Files that are dropped or pasted are its own if it has `take(transfer)`. */
export const shownView = () => opened.get(front)?.view;

/** Forget how views look, so that they are made anew: in another language. */
export function forgetViews() {
  for (const { root, view } of opened.values()) {
    view.hide?.();
    root.hidden = true; // it may still hear of things
    root.remove();
  }
  opened.clear();
}
