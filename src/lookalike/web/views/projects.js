// Each project with its newest pictures.

import { getJson, itemsPath, showPicture, thumbnailPath } from "../api.js";
import { el, icon } from "../dom.js";
import { blank, format } from "../state.js";
import { t } from "../strings.js";

const FACES = 4;

export function projects(root, page, { count }) {
  const list = el("ul", { className: "cards", role: "list", "aria-label": t("byProject") });
  root.append(list);
  let ends = [];
  // Those far below the window wait until one scrolls to them.
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        drawFaces(target).catch(page.failed);
      }
    },
    { rootMargin: "100%" },
  );

  async function drawFaces(card) {
    const { items } = await getJson(itemsPath({ project: card.name, where: {} }, { order: "newest", limit: FACES }));
    card.faces.replaceChildren(...items.map(face));
  }

  function face(item) {
    const path = thumbnailPath(item, 256);
    if (!path) return icon("picture");
    const img = el("img", { alt: "", decoding: "async" });
    img.onload = () => img.classList.add("ready");
    ends.push(showPicture(img, path));
    return img;
  }

  function card({ name, items }) {
    const faces = el("div", { className: "faces" });
    const link = el(
      "a",
      { href: `#${format({ ...blank(), view: "browse", project: name })}` },
      faces,
      el("strong", { textContent: name, dir: "auto" }),
      el("span", { className: "quiet", textContent: t("holds", { n: items }) }),
    );
    const node = el("li", { className: "card" }, link);
    Object.assign(node, { name, faces });
    near.observe(node);
    return node;
  }

  return {
    async show() {
      if (list.children.length) return page.show([], { current: 0, focus() {}, mark() {} });
      const { projects: found } = await page.projects();
      page.worked();
      count.textContent = t("nProjects", { n: found.length });
      list.replaceChildren(...found.map(card));
    },
    hide() {
      for (const end of ends) end();
      ends = [];
      near.disconnect();
      list.replaceChildren();
    },
  };
}
