import { PART_SIZE, alone, blank, moved, parts, place, requireTexts, sendable } from "./batches.js";
import { InputError, LookalikeError, ServiceError, SpaceMismatchError, stranger } from "./errors.js";
import { addedOf, jobOf } from "./jobs.js";
import { DEFAULT_RETRY, type Deadline, type Question, type RetryPolicy, Transport } from "./transport.js";
import type {
  AddedItems,
  CallOptions,
  Embedding,
  Embeddings,
  Hit,
  ImageBytes,
  Item,
  ItemFailure,
  Job,
  NewItem,
  QueryPart,
  SearchOptions,
  SearchQuery,
  SearchResult,
} from "./types.js";
import { approximationOf, embeddingOf, embeddingsOf } from "./vectors.js";

/** Where a service is and how it is asked. */
export interface ClientOptions {
  /** "http://127.0.0.1:8000". */
  baseUrl: string;
  /** Sent as a bearer token to `baseUrl` alone; never shown. */
  apiKey?: string | undefined;
  /** When a call is over at the latest, all its requests and pauses included; 30,000 if left out. */
  timeoutMs?: number | undefined;
  /** The id of the space that every answer must be of; that of the first answer if left out. */
  space?: string | undefined;
  /** How long every vector must be; as long as the first if left out. */
  dimensions?: number | undefined;
  /** When a call is tried again. */
  retry?: Partial<RetryPolicy> | undefined;
}

/**
 * A lookalike service.
 *
 * Every call ends within its time, with an answer or a `LookalikeError`. A service that is full or not there yet is
 * asked again as long as the time allows; nothing else is asked twice.
 */
export class LookalikeClient {
  readonly baseUrl: string;
  readonly #transport: Transport;
  #space: string | undefined;
  #dimensions: number | undefined;

  constructor({ baseUrl, apiKey, timeoutMs = 30_000, space, dimensions, retry }: ClientOptions) {
    this.baseUrl = addressOf(baseUrl);
    this.#space = space;
    this.#dimensions = dimensions;
    this.#transport = new Transport(this.baseUrl, authorization(apiKey), timeoutMs, { ...DEFAULT_RETRY, ...retry });
  }

  /** The vector of one picture. */
  generateImageEmbedding(image: ImageBytes, options: CallOptions = {}): Promise<Embedding> {
    return this.#transport.within(options, (deadline) => this.#embedOne(asItIs(image), deadline));
  }

  /** The vector of one text, made before all batches. An empty text has one too; a long one is cut, with a warning. */
  async generateTextEmbedding(text: string, options: CallOptions = {}): Promise<Embedding> {
    requireTexts({ text });
    return this.#transport.within(options, (deadline) => this.#embedOne(post("/embed/text", { text }), deadline));
  }

  /** The vectors of many pictures, in as many requests as they need. One that cannot be used does not fail the others. */
  async generateImageEmbeddings(images: readonly ImageBytes[], options: CallOptions = {}): Promise<Embeddings> {
    const sized = images.map((image) => ({ image, size: sizeOf(image) }));
    return this.#transport.within(options, (deadline) =>
      this.#embedMany(parts(sized), async (part) => {
        const [{ image, size }] = part as [{ image: ImageBytes; size: number }];
        if (size > PART_SIZE) return alone(() => this.#embedLarge(image, deadline)); // then it is the only one
        const images = await Promise.all(part.map(({ image }) => base64Of(image)));
        return this.#embedPart("/embed/image", "images", images, deadline);
      }),
    );
  }

  /** The vectors of many texts, in as many requests as they need. One that cannot be used does not fail the others. */
  async generateTextEmbeddings(texts: readonly string[], options: CallOptions = {}): Promise<Embeddings> {
    const [places, failures] = sendable(texts, (text) => requireTexts({ text }));
    const sized = places.map((index) => ({ text: texts[index]!, size: texts[index]!.length }));
    const all = { ...blank(texts.length), failures };
    return this.#transport.within(options, async (deadline) => {
      const found = await this.#embedMany(parts(sized), (part) =>
        this.#embedPart("/embed/text", "texts", part.map(({ text }) => text), deadline),
      );
      place(all, found, places);
      return all;
    });
  }

  /** Pictures of the service's index, best first: by words, an example, an item, a vector, or several of them. */
  async searchImages(query: SearchQuery, options: SearchOptions = {}): Promise<SearchResult> {
    const { limit, project, minConfidence, where } = options;
    for (const given of [...("query" in query ? query.query : [query]), { project, where }]) requireTexts(given);
    return this.#transport.within(options, async (deadline) => {
      const asked = "query" in query ? { query: await Promise.all(query.query.map(partOf)) } : await partOf(query);
      const question = post("/search/images", { ...asked, limit, project, min_confidence: minConfidence, where });
      const result = searchResultOf(jsonOf((await this.#transport.ask(question, deadline)).body));
      this.#requireSpace(result.space);
      return result;
    });
  }

  /**
   * Hands pictures in, in as many requests as they need; they are found once their jobs are done.
   *
   * One that is not taken in does not keep the others out. To hand one in again does no harm: it is the same item.
   */
  async addItems(items: readonly NewItem[], options: CallOptions = {}): Promise<AddedItems> {
    const [places, failures] = sendable(items, requireTexts);
    const sized = places.map((index) => ({ item: items[index]!, size: sizeOfItem(items[index]!), index }));
    return this.#transport.within(options, async (deadline) => {
      const all: AddedItems = { jobs: items.map(() => null), failures };
      for (const part of parts(sized)) {
        const sent = await Promise.all(part.map(({ item }) => partOf(item)));
        const question = post("/items", { items: sent });
        const ask = async () => addedOf(jsonOf((await this.#transport.ask(question, deadline)).body), part.length);
        const found = part.length > 1 ? await ask() : await alone(ask);
        const added = "index" in found ? { jobs: [null], failures: [found] } : found;
        added.jobs.forEach((job, index) => (all.jobs[part[index]!.index] = job));
        all.failures.push(...moved(added.failures, part.map(({ index }) => index)));
      }
      all.failures.sort((one, other) => one.index - other.index);
      return all;
    });
  }

  /** What has become of a picture that was handed in. */
  async job(number: number, options: CallOptions = {}): Promise<Job> {
    return this.#transport.within(options, async (deadline) =>
      jobOf(jsonOf((await this.#transport.ask({ method: "GET", path: `/jobs/${number}` }, deadline)).body)),
    );
  }

  /** Whether the service can answer now; asks once. Rejects if it cannot be reached. */
  async isReady(options: CallOptions = {}): Promise<boolean> {
    return this.#transport.within(options, async (deadline) => {
      return (await this.#transport.once({ method: "GET", path: "/readyz" }, deadline)).status === 200;
    });
  }

  /**
   * The address of a small copy of an item's picture, for an `<img>`.
   *
   * A browser sends no API key with it: where the service has keys, fetch it on your server instead.
   */
  thumbnailUrl(item: Pick<Item, "id" | "project">, { sizePx }: { sizePx?: number } = {}): string {
    requireAddressable(item.id, "id");
    requireAddressable(item.project, "project");
    const query = new URLSearchParams({ project: item.project, ...(sizePx ? { size: String(sizePx) } : {}) });
    return `${this.baseUrl}/items/${encodeURIComponent(item.id)}/thumbnail?${query}`;
  }

  async #embedOne(question: Question, deadline: Deadline): Promise<Embedding> {
    const headers = { ...question.headers, Accept: "application/octet-stream" };
    const answer = await this.#transport.ask({ ...question, headers }, deadline);
    const embedding = embeddingOf(answer.headers, answer.body);
    this.#requireSpace(embedding.space, embedding.dimensions);
    return embedding;
  }

  /** The vectors of a part; inputs that the service had no room for are asked for again, as a request would be. */
  async #embedPart(path: string, what: string, inputs: readonly string[], deadline: Deadline): Promise<Embeddings> {
    const all = blank(inputs.length);
    let places = [...inputs.keys()];
    const attempt = async (): Promise<void> => {
      const asked = places.map((index) => inputs[index]!);
      const answer = await this.#transport.attempt(post(path, { [what]: asked, encoding_format: "base64" }), deadline);
      const found = embeddingsOf(jsonOf(answer.body), asked.length);
      this.#requireSpace(found.space, found.dimensions);
      place(all, found, places);
      const passing = all.failures.filter(({ retryable }) => retryable);
      places = passing.map(({ index }) => index);
      const [first] = passing;
      if (first) throw new ServiceError(first.message, first);
    };
    try {
      await this.#transport.insist(attempt, deadline);
    } catch (error) {
      const isKept = all.space !== "" && error instanceof LookalikeError && error.retryable;
      if (!isKept || deadline.isGivenUp()) throw error;
    }
    return all;
  }

  /** One that base64, which adds a third, might make too large for a request. */
  async #embedLarge(image: ImageBytes, deadline: Deadline): Promise<Embeddings> {
    const { vector, warning, ...who } = await this.#embedOne(asItIs(image), deadline);
    const warnings = warning === undefined ? [] : [{ index: 0, message: warning }];
    return { ...who, vectors: [vector], failures: [], warnings };
  }

  async #embedMany<T>(batches: T[][], embed: (part: T[]) => Promise<Embeddings | ItemFailure>): Promise<Embeddings> {
    const all = blank(batches.reduce((sum, batch) => sum + batch.length, 0));
    let start = 0;
    for (const batch of batches) {
      const places = batch.map((_, index) => start + index);
      const found = await embed(batch);
      if ("index" in found) all.failures.push({ ...found, index: start });
      else place(all, found, places);
      start += batch.length;
    }
    return all;
  }

  #requireSpace(space: string, dimensions?: number): void {
    const expected = (this.#space ??= space);
    // The name before the "@" is for people: the same weights under another name are the same space.
    if (keyOf(expected) !== keyOf(space)) {
      throw new SpaceMismatchError(
        `The service answers with vectors of ${space}, and those so far are of ${expected}: the two cannot be compared. ` +
          "Has its model been changed? Then embed everything again, with a new client.",
        { type: "SpaceMismatch" },
      );
    }
    if (dimensions !== undefined && (this.#dimensions ??= dimensions) !== dimensions) {
      throw new SpaceMismatchError(`The vectors have ${dimensions} numbers, and ${this.#dimensions} were expected.`, {
        type: "SpaceMismatch",
      });
    }
  }
}

function keyOf(space: string): string {
  return space.slice(space.lastIndexOf("@") + 1);
}

function post(path: string, body: Record<string, unknown>): Question {
  return { method: "POST", path, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** A question about one picture, without the type that a Blob may have: the service looks at the bytes. */
function asItIs(image: ImageBytes): Question {
  return { method: "POST", path: "/embed/image", headers: { "Content-Type": "application/octet-stream" }, body: image };
}

function sizeOf(image: ImageBytes): number {
  return image instanceof Blob ? image.size : image.byteLength;
}

function sizeOfItem(item: NewItem): number {
  return "image" in item ? sizeOf(item.image) : 0;
}

async function partOf(part: (QueryPart & { weight?: number }) | NewItem): Promise<Record<string, unknown>> {
  if ("image" in part) return { ...part, image: await base64Of(part.image) };
  if ("vector" in part) return { ...part, vector: Array.from(part.vector) };
  return { ...part };
}

async function base64Of(image: ImageBytes): Promise<string> {
  if (image instanceof Blob) return Buffer.from(await image.arrayBuffer()).toString("base64");
  if (image instanceof ArrayBuffer) return Buffer.from(image).toString("base64");
  return Buffer.from(image.buffer, image.byteOffset, image.byteLength).toString("base64");
}

function jsonOf(body: ArrayBuffer): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof document === "object" && document !== null) return document as Record<string, unknown>;
  } catch {
    // said below
  }
  throw stranger("does not answer with JSON");
}

function searchResultOf(document: Record<string, unknown>): SearchResult {
  const { hits, space, considered, warnings } = document as Partial<SearchResult>;
  const approximation = approximationOf(document["approximation"]);
  if (!Array.isArray(hits) || !hits.every(isHit) || typeof space !== "string") {
    throw stranger("does not answer with hits of a space");
  }
  return { hits, space, considered: considered ?? 0, warnings: warnings ?? [], approximation };
}

function isHit(value: Hit | null): boolean {
  return typeof value?.item?.id === "string" && typeof value.similarity === "number" && typeof value.confidence === "number";
}

function addressOf(baseUrl: string): string {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || /[?#]/.test(baseUrl)) {
    // Not repeated: there may be a password in it.
    throw new LookalikeError(
      "baseUrl must be an address such as http://127.0.0.1:8000, without anything secret in it.",
      { type: "ConfigError" },
    );
  }
  return url.href.replace(/\/+$/, "");
}

/** Throws unless an item's id or project can stand in an address. */
function requireAddressable(name: string, item: "id" | "project"): void {
  // Whoever reads an address takes . and .. away, also percent-encoded, and what is left is another address.
  const isDots = item === "id" && /^\.\.?$/.test(name);
  if (isDots || /\p{Surrogate}/u.test(name)) {
    const what = isDots ? "is . or .." : "has half a character in it (a lone surrogate)";
    throw new InputError(`${item}: ${what}, which no address can hold.`, { type: "InputError", item });
  }
}

function authorization(apiKey: string | undefined): Record<string, string> {
  if (apiKey === undefined) return {};
  if (!/^[!-~]+$/.test(apiKey)) {
    throw new LookalikeError("apiKey is empty or holds characters that no key has (a line break?): set it again.", {
      type: "ConfigError",
    });
  }
  return { Authorization: `Bearer ${apiKey}` };
}
