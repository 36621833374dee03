// One picture, large, with what is known of it.

import { getBlob, showPicture, thumbnailPath } from "../api.js";
import { byId, el } from "../dom.js";
import { factName, nameOf } from "../grid.js";
import { percent, t } from "../strings.js";
import { load } from "../views.js";

const COARSE = ["taken_month", "taken_year"]; // said by the day as well

const box = byId("lightbox");
const large = byId("large");
const why = el("div", { className: "why" });
byId("facts").before(why);
let openNow = null;
let end = () => {};

/** What is told of a click: turn(-1 or 1), close(), and for the item shown similar, toward, away, choose, share. */
export function wire(on) {
  byId("previous").onclick = () => on.turn(-1);
  byId("next").onclick = () => on.turn(1);
  byId("close").onclick = on.close;
  for (const name of ["similar", "toward", "away", "choose", "share"]) byId(name).onclick = on[name];
  box.addEventListener("cancel", (event) => {
    event.preventDefault();
    on.close();
  });
  box.addEventListener("click", (event) => event.target.matches(".stage, #large") && on.close());
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const forward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") on.turn(event.key === forward ? 1 : -1);
    else if (event.key === "m") on.similar();
    else if (event.key === "x") on.choose();
    else return;
    event.preventDefault();
  });
}

/** Show a hit. `about` it: twins are paths of other items with the same picture; filter(key, value) is called by a click. */
export function open(hit, about) {
  const { item } = hit;
  const isThere = box.open && openNow?.id === item.id && openNow.project === item.project;
  byId("previous").disabled = !about.hasPrevious;
  byId("next").disabled = !about.hasNext;
  mark(about.isPicked);
  if (isThere) return; // what lies below was drawn anew, and whoever looks at it is left alone
  byId("name").textContent = fileName(item);
  byId("caption").textContent = item.caption;
  byId("facts").replaceChildren(...facts(hit, about).flatMap(([name, ...values]) => [el("dt", { textContent: name }), ...values]));
  showLarge(item);
  load("explain").then(({ explain }) => openNow === item && explain(why, item, about.asked), () => {});
  openNow = item;
  if (!box.open) box.showModal();
}

export function close() {
  end();
  openNow = null;
  load("explain").then(({ forget }) => openNow ?? forget(), () => {});
  if (box.open) box.close();
}

export const mark = (chosen) => byId("choose").setAttribute("aria-pressed", String(chosen));

function showLarge(item) {
  end();
  byId("gone").hidden = true;
  large.hidden = false;
  large.alt = nameOf(item);
  const small = thumbnailPath(item, 512);
  const gone = () => {
    large.hidden = true;
    byId("gone").textContent = t("gone");
    byId("gone").hidden = false;
  };
  if (!small) {
    end = () => {};
    gone();
    return;
  }
  large.onerror = gone;
  // The original takes the thumbnail's place once it is there, if the browser can draw it.
  const original = new Image();
  let endOriginal = () => {};
  original.onload = () => (large.src = original.src);
  large.onload = () => {
    large.onload = null;
    endOriginal = showPicture(original, item.picture);
  };
  const endSmall = showPicture(large, small);
  end = () => {
    original.onload = large.onload = large.onerror = null;
    endSmall();
    endOriginal();
    end = () => {};
  };
}

function facts({ item, similarity, confidence }, { space, twins, filter }) {
  const rows = [];
  if (confidence !== null) {
    rows.push([t("confidence"), text(percent(confidence))], [t("similarity"), text(similarity.toFixed(3))]);
  }
  rows.push([t("path"), text(item.uri || item.id, "ltr")], [t("project"), fact(item.project, () => filter("project", item.project))]);
  for (const [key, value] of Object.entries(item.metadata)) {
    if (!COARSE.includes(key)) rows.push([factName(key), fact(value, () => filter(key, value))]);
  }
  if (twins.length) rows.push([t("twins"), ...twins.map((path) => text(path, "ltr"))]);
  rows.push([t("space"), text(space, "ltr")], [t("content"), text(item.content, "ltr")]);
  if (item.picture) rows.push([t("original"), original(item)]);
  return rows;
}

const text = (value, dir = "auto") => el("dd", {}, el("bdi", { textContent: value, dir }));

const fact = (value, onclick) => el("dd", {}, el("button", { type: "button", className: "fact", textContent: value, dir: "auto", onclick }));

/** What saves the file. It is fetched, since a link sends no key. */
const original = (item) =>
  fact(t("save"), async () => {
    const [{ save }, blob] = await Promise.all([import("./export.js"), getBlob(item.picture).catch(() => null)]);
    if (blob) save(blob, fileName(item));
    else byId("gone").hidden = false;
  });

const fileName = (item) => nameOf({ ...item, caption: "" });

