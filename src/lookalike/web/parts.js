// The parts of a search as chips: words, pictures of the index, and pictures of one's own, each with a weight.

import { itemPath, showPicture } from "./api.js";
import { el, icon, redraw, roundButton } from "./dom.js";
import { nameOf } from "./grid.js";
import { t } from "./strings.js";

const SMALL_PX = 256; // the side of the copy of a picture that is in the address
const MOST = 10;

/** A picture from a file: whole for the search, small for the address if the browser can draw it. */
export async function pictureOf(file) {
  const [data, small] = await Promise.all([dataUri(file), shrink(file)]);
  return { kind: "picture", data, small, weight: 1 };
}

/** What the service is asked with for a part. */
export function askedWith(part) {
  if (part.kind === "text") return { text: part.text, weight: part.weight };
  if (part.kind === "item") return { item: part.id, project: part.project, weight: part.weight };
  return { image: part.data, weight: part.weight };
}

let shown = []; // what ends the pictures of the chips

/** Draw the chips; `change(parts)` is told what they are after a click. */
export function drawParts(root, parts, change) {
  for (const end of shown) end();
  shown = [];
  redraw(root, parts.map((part, n) => chip(part, (part) => change(parts.toSpliced(n, 1, ...(part ? [part] : []))))));
}

function chip(part, replace) {
  const name = part.kind === "text" ? part.text : part.kind === "item" ? nameOf({ ...part, uri: part.id }) : t("aPicture");
  const away = part.weight < 0;
  const sign = roundButton(away ? "minus" : "plus", t("sign"), () => replace({ ...part, weight: -part.weight }), {
    "aria-pressed": String(away),
  });
  const weight = el("input", {
    type: "number",
    min: "0.5",
    max: String(MOST),
    step: "0.5",
    value: String(Math.abs(part.weight)),
    title: t("weight"),
    "aria-label": `${t("weight")}: ${name}`,
    onchange: () => {
      const value = Math.min(MOST, Math.max(0.1, Math.abs(weight.valueAsNumber) || 1));
      replace({ ...part, weight: away ? -value : value });
    },
  });
  const remove = roundButton("close", t("remove", { what: name }), () => replace(null));
  return el("li", { className: away ? "chip away" : "chip" }, sign, face(part, name), weight, remove);
}

function face(part, name) {
  if (part.kind === "text") return el("span", { className: "words", textContent: name, dir: "auto", title: name });
  const source = part.kind === "item" ? itemPath(part, "/thumbnail", { size: 64 }) : blobUrl(part.small);
  if (!source) return icon("picture");
  const img = el("img", { alt: name, title: name, width: 32, height: 32 });
  if (part.kind === "item") {
    shown.push(showPicture(img, source));
  } else {
    img.src = source;
    shown.push(() => URL.revokeObjectURL(source));
  }
  return img;
}

const dataUri = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    // The service goes by the content; a type that the browser does not know would make it a URI without one.
    reader.onload = () => resolve(reader.result.replace(/^data:[^;,]*/, "data:image/jpeg"));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });

async function shrink(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return null; // HEIC and others that this browser cannot draw
  }
  const scale = Math.min(1, SMALL_PX / Math.min(bitmap.width, bitmap.height), (2 * SMALL_PX) / Math.max(bitmap.width, bitmap.height));
  const canvas = el("canvas", { width: Math.ceil(bitmap.width * scale), height: Math.ceil(bitmap.height * scale) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.7));
  return blob?.type === "image/webp" ? dataUri(blob).then((uri) => uri.replace("image/jpeg", "image/webp")) : null;
}

function blobUrl(uri) {
  if (!uri) return null;
  const bytes = Uint8Array.from(atob(uri.split(",")[1]), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
}
