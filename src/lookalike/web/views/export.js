// A selection as a file: a table, a document, or the pictures themselves.

import { getBlob } from "../api.js";
import { el } from "../dom.js";

const COLUMNS = ["id", "project", "uri", "caption", "content", "similarity", "confidence"];
export const MOST_IN_ZIP = 500; // they are in the browser's memory all at once

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export const asJson = (hits) => new Blob([JSON.stringify(hits, null, 2)], { type: "application/json" });

/** RFC 4180, with a byte order mark, without which spreadsheets take UTF-8 for something else. */
export function asCsv(hits) {
  const rows = hits.map(({ item, similarity, confidence }) => COLUMNS.map((name) => ({ ...item, similarity, confidence })[name] ?? ""));
  return new Blob(["\ufeff", [COLUMNS, ...rows].map((row) => row.map(cell).join(",")).join("\r\n"), "\r\n"], { type: "text/csv" });
}

function cell(value) {
  // A spreadsheet would run a text that begins like this as a formula.
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A ZIP of the pictures; those that cannot be read are listed in missing.txt, and counted. */
export async function asZip(hits) {
  const files = [];
  const missing = [];
  const names = new Set(["missing.txt"]);
  for (const { item } of hits) {
    try {
      if (!item.picture) throw new Error("not a file of the service's machine");
      const blob = await getBlob(item.picture);
      files.push({ name: unique(item.uri.split("/").pop() || "picture", names), data: new Uint8Array(await blob.arrayBuffer()) });
    } catch (error) {
      missing.push(`${item.uri || item.id}: ${error.message}`);
    }
  }
  if (missing.length) files.push({ name: "missing.txt", data: new TextEncoder().encode(`${missing.join("\n")}\n`) });
  return { blob: zip(files), missing: missing.length };
}

function unique(wanted, names) {
  // Not what would leave the folder that it is unpacked in, nor what some system cannot write.
  const safe = wanted.replace(/[\\/:*?"<>|\u0000-\u001f]/g, "_").replace(/^\.+/, "_");
  const dot = safe.lastIndexOf(".");
  const [stem, suffix] = dot > 0 ? [safe.slice(0, dot), safe.slice(dot)] : [safe, ""];
  let name = safe;
  for (let n = 2; names.has(name.toLowerCase()); n++) name = `${stem} ${n}${suffix}`;
  names.add(name.toLowerCase());
  return name;
}

/** The files as they are, uncompressed, since pictures are compressed already (APPNOTE.TXT 6.3.10, names in UTF-8). */
function zip(files) {
  const chunks = [];
  const entries = [];
  let offset = 0;
  for (const { name, data } of files) {
    const bytes = new TextEncoder().encode(name);
    const common = [20, 0x0800, 0, 0, 0x21]; // version, names are UTF-8, stored, 00:00 on 1 January 1980
    const sizes = [crc32(data), data.length, data.length];
    const local = record("IHHHHHIIIHH", [0x04034b50, ...common, ...sizes, bytes.length, 0]);
    entries.push(record("IHHHHHHIIIHHHHHII", [0x02014b50, 20, ...common, ...sizes, bytes.length, 0, 0, 0, 0, 0, offset]), bytes);
    chunks.push(local, bytes, data);
    offset += local.length + bytes.length + data.length;
  }
  const length = entries.reduce((sum, entry) => sum + entry.length, 0);
  const last = record("IHHHHIIH", [0x06054b50, 0, 0, files.length, files.length, length, offset, 0]);
  return new Blob([...chunks, ...entries, last], { type: "application/zip" });
}

/** Numbers as little-endian bytes: H has two of them, I four. */
function record(layout, values) {
  const sizes = [...layout].map((kind) => (kind === "I" ? 4 : 2));
  const view = new DataView(new ArrayBuffer(sizes.reduce((sum, size) => sum + size, 0)));
  let at = 0;
  values.forEach((value, n) => {
    view[`setUint${8 * sizes[n]}`](at, value, true);
    at += sizes[n];
  });
  return new Uint8Array(view.buffer);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
