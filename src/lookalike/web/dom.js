// Making and finding elements. Text is always text: nothing here turns a string into HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with these properties (attributes if named with a dash, or `role`) and children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "role" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Put other children in the place of these; the focus stays at its place, on one or within. */
export function redraw(root, children) {
  const parts = (child) => [child, ...child.querySelectorAll("button, input")];
  const before = [...root.children];
  const at = before.findIndex((child) => child.contains(document.activeElement));
  const within = at < 0 ? 0 : parts(before[at]).indexOf(document.activeElement);
  root.replaceChildren(...children);
  const after = at < 0 ? null : root.children[Math.min(at, root.children.length - 1)];
  if (after) parts(after)[within]?.focus();
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A round button with an icon; its label is also what a mouse that rests on it reads. */
export function roundButton(name, label, onclick, properties = {}) {
  const node = el("button", { type: "button", className: "round", title: label, "aria-label": label, onclick, ...properties });
  node.append(icon(name));
  return node;
}
