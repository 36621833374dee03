import { InputError } from "./errors.js";
import type { Embeddings, ItemFailure } from "./types.js";

/** Inputs in one request: two of the service's batches, so that one waits while the other is computed. */
const PART_ITEMS = 64;

/** Bytes of pictures, or characters of texts, with which a request is full; the service takes bodies of 64 MiB. */
export const PART_SIZE = 16 * 2 ** 20;

/** The inputs, a request's worth at a time. */
export function parts<T extends { size: number }>(inputs: readonly T[]): T[][] {
  const all: T[][] = [];
  let room = 0;
  for (const input of inputs) {
    let part = all.at(-1);
    if (part === undefined || part.length === PART_ITEMS || input.size > room) {
      all.push((part = []));
      room = PART_SIZE;
    }
    part.push(input);
    room -= input.size;
  }
  return all;
}

/** What is refused of a request with a single input is that input's failure. */
export async function alone<T>(ask: () => Promise<T>): Promise<T | ItemFailure> {
  try {
    return await ask();
  } catch (error) {
    return failureFrom(error, 0);
  }
}

/** The places of the inputs that can be sent, and why the others cannot: one of them would fail a whole request. */
export function sendable<T>(inputs: readonly T[], require: (input: T) => void): [number[], ItemFailure[]] {
  const failures: ItemFailure[] = [];
  const places = [...inputs.keys()].filter((index) => {
    try {
      require(inputs[index]!);
      return true;
    } catch (error) {
      failures.push(failureFrom(error, index));
      return false;
    }
  });
  return [places, failures];
}

/** Throws if a text holds half of a surrogate pair, which no JSON can hold: those given, and those of their metadata. */
export function requireTexts(given: object): void {
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    const isTable = (name === "metadata" || name === "where") && typeof value === "object" && value !== null;
    const texts = isTable ? Object.entries(value).flat() : [value];
    if (texts.some((text) => typeof text === "string" && /\p{Surrogate}/u.test(text))) {
      throw new InputError(`${name}: holds half of a surrogate pair, which stands for nothing.`, {
        type: "InputError",
        item: name,
      });
    }
  }
}

/** No vectors yet, of so many inputs. */
export function blank(count: number): Embeddings {
  return {
    vectors: Array.from({ length: count }, () => null),
    failures: [],
    warnings: [],
    dimensions: 0,
    space: "",
    model: "",
    approximation: undefined,
  };
}

/** Puts what has been answered to the inputs at these places among all; of two answers to one input the later counts. */
export function place(all: Embeddings, found: Embeddings, places: readonly number[]): void {
  const { vectors, failures, warnings, ...who } = found;
  vectors.forEach((vector, index) => (all.vectors[places[index]!] = vector));
  const asked = new Set(places);
  all.failures = [...all.failures.filter(({ index }) => !asked.has(index)), ...moved(failures, places)];
  all.failures.sort((one, other) => one.index - other.index);
  all.warnings.push(...moved(warnings, places));
  Object.assign(all, who);
}

/** The same of the caller's inputs. */
export function moved<T extends { index: number }>(entries: readonly T[], places: readonly number[]): T[] {
  return entries.filter(({ index }) => index in places).map((entry) => ({ ...entry, index: places[entry.index]! }));
}

function failureFrom(error: unknown, index: number): ItemFailure {
  if (!(error instanceof InputError)) throw error;
  return { index, type: error.type, message: error.message, retryable: false, retryAfterMs: undefined };
}
