import { ConnectionError, stranger } from "./errors.js";
import type { Approximation, Embedding, Embeddings, ItemFailure, ItemWarning } from "./types.js";

/** How far from 1 the length of a unit vector may be: what bfloat16 arithmetic leaves. */
const UNIT_TOLERANCE = 1e-3;

/** One vector, from a body of raw float32 whose headers say what it is. */
export function embeddingOf(headers: Headers, body: ArrayBuffer): Embedding {
  const { dimensions, space, model } = identity({
    dimensions: Number(headers.get("x-dimensions")),
    space: headers.get("x-space"),
    model: headers.get("x-model"),
  });
  if (headers.get("x-count") !== "1") throw stranger("does not say that it answers with one vector");
  const vector = checked(body, dimensions);
  const approximation = approximationOf(jsonOf(headers.get("x-approximation")));
  return { vector, dimensions, space, model, warning: headers.get("x-warning") ?? undefined, approximation };
}

/** The vectors of a batch of `count` inputs, from JSON with base64. */
export function embeddingsOf(document: Record<string, unknown>, count: number): Embeddings {
  const { dimensions, space, model } = identity(document);
  const found = document["embeddings"];
  if (!Array.isArray(found) || found.length !== count) {
    throw stranger(`does not answer ${count} inputs with as many vectors`);
  }
  const vectors = found.map((vector: unknown) => (vector === null ? null : checked(bytesOf(vector), dimensions)));
  const failures = entries(document["errors"]).map((entry) => failureOf(entry, count));
  const failed = new Set(failures.map((failure) => failure.index));
  if (vectors.some((vector, index) => (vector === null) !== failed.has(index))) {
    throw stranger("leaves inputs without a vector and without an error");
  }
  const warnings = entries(document["warnings"]).map(warningOf);
  const approximation = approximationOf(document["approximation"]);
  return { vectors, failures, warnings, dimensions, space, model, approximation };
}

/** What an answer says of who read the words; undefined if that is the model of its space. */
export function approximationOf(said: unknown): Approximation | undefined {
  if (said === undefined || said === null) return undefined;
  const { source, note, agreement } = said as Partial<Approximation>;
  if (typeof source !== "string" || typeof note !== "string" || typeof agreement !== "object" || agreement === null) {
    throw stranger("does not say what read the words");
  }
  return { source, note, agreement };
}

function jsonOf(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    throw stranger("does not say what read the words");
  }
}

/** Little-endian float32 to numbers, whatever the order of this machine; unit length or an error. */
function checked(bytes: ArrayBuffer, dimensions: number): Float32Array {
  if (bytes.byteLength !== dimensions * 4) {
    throw new ConnectionError(`A vector does not have the ${dimensions} numbers that were announced.`, {
      type: "ProviderError",
    });
  }
  const view = new DataView(bytes);
  const vector = new Float32Array(dimensions);
  let squares = 0;
  for (let index = 0; index < dimensions; index++) {
    const value = view.getFloat32(index * 4, true);
    vector[index] = value;
    squares += value * value;
  }
  // A NaN or an infinity among them makes the length one too.
  if (!(Math.abs(Math.sqrt(squares) - 1) <= UNIT_TOLERANCE)) {
    throw new ConnectionError(`A vector has length ${Math.sqrt(squares).toPrecision(4)}, not 1.`, {
      type: "ProviderError",
    });
  }
  return vector;
}

function bytesOf(vector: unknown): ArrayBuffer {
  // Letters that are not base64 are skipped, which leaves the wrong number of bytes.
  const bytes = Buffer.from(typeof vector === "string" ? vector : "", "base64");
  return Uint8Array.from(bytes).buffer;
}

function identity(said: Record<string, unknown>): { dimensions: number; space: string; model: string } {
  const { dimensions, space, model } = said;
  const isWhole = typeof dimensions === "number" && Number.isInteger(dimensions) && dimensions > 0;
  if (!isWhole || typeof space !== "string" || typeof model !== "string") {
    throw stranger("does not say which space its vectors belong to");
  }
  return { dimensions, space, model };
}

/** Why one input of a batch of `count` came to nothing. */
export function failureOf(entry: Record<string, unknown>, count: number): ItemFailure {
  const { index, type, message, item, retryable, retry_after_s: pauseS } = entry;
  if (typeof index !== "number" || !(index >= 0 && index < count)) {
    throw stranger("reports an error of an input that it was not given");
  }
  return {
    index,
    type: String(type ?? "InputError"),
    message: withoutName(String(message ?? "failed."), String(item ?? "")),
    retryable: retryable === true,
    retryAfterMs: typeof pauseS === "number" && pauseS >= 0 ? pauseS * 1000 : undefined,
  };
}

function warningOf(entry: Record<string, unknown>): ItemWarning {
  const index = Number(entry["index"]);
  return { index, message: withoutName(String(entry["message"]), `texts[${index}]`) };
}

/** A sentence without the name that the service has for an input: it counts within one request, the caller does not. */
function withoutName(message: string, name: string): string {
  return name !== "" && message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;
}

/** The objects of a list; none if there is no such list. */
export function entries(value: unknown): Record<string, unknown>[] {
  if (!Array.isArray(value)) return [];
  return value.filter((entry): entry is Record<string, unknown> => typeof entry === "object" && entry !== null);
}
