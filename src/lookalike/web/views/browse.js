// Looking without a question: the newest pictures, the projects, and what is there more than once.

import { el, redraw } from "../dom.js";
import { format, blank } from "../state.js";
import { t } from "../strings.js";
import { duplicates } from "./duplicates.js";
import { newest } from "./newest.js";
import { projects } from "./projects.js";

const WAYS = { "": newest, projects, duplicates };
const NAMES = { "": "newest", projects: "byProject", duplicates: "duplicates" };

export function open(root, page) {
  const tabs = el("nav", { className: "tabs", "aria-label": t("browse") });
  const count = el("p", { className: "count", role: "status" });
  const facets = el("div", { className: "facets" });
  const project = el("select", { "aria-label": t("project"), hidden: true, onchange: () => page.change({ project: project.value }) });
  root.append(el("div", { className: "tools" }, tabs, count, facets, project));
  const made = new Map();
  let front = null;

  function way(name) {
    if (!made.has(name)) {
      const own = el("div", { className: "pictures" });
      root.append(own);
      made.set(name, { own, view: WAYS[name](own, page, { count, facets }) });
    }
    return made.get(name);
  }

  return {
    async show(state) {
      const at = state.at in WAYS ? state.at : "";
      redraw(tabs, Object.keys(WAYS).map((name) => tab(name, at, state)));
      if (front !== way(at)) this.hide();
      front = way(at);
      for (const { own } of made.values()) own.hidden = own !== front.own;
      facets.hidden = at !== "";
      const [found] = await Promise.all([page.projects(), front.view.show(state)]);
      page.fillProjects(project, found);
      const own = found.projects.filter(({ name }) => !state.project || name === state.project);
      front.view.holds?.(own.reduce((sum, { items }) => sum + items, 0));
      project.hidden ||= at === "projects";
    },
    hide() {
      front?.view.hide();
    },
  };
}

function tab(name, at, state) {
  const href = `#${format({ ...blank(), view: "browse", at: name, project: state.project })}`;
  const node = el("a", { href, textContent: t(NAMES[name]) });
  if (name === at) node.ariaCurrent = "true";
  return node;
}
