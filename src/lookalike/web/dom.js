// Making and finding elements. Text is always text: nothing here turns a string into HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with these properties (attributes where the name has a dash, or is `role`) and children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "role" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Put other children in the place of these; the focus stays on the one at its place. */
export function redraw(root, children) {
  const at = [...root.children].indexOf(document.activeElement);
  root.replaceChildren(...children);
  root.children[at]?.focus();
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
