import { setMaxListeners } from "node:events";
import { ConnectionError, DeadlineError, LookalikeError, refusal, stranger } from "./errors.js";
import type { CallOptions } from "./types.js";

/** When a call is tried again: exponential backoff with full jitter (Brooker, AWS Architecture Blog, 2015). */
export interface RetryPolicy {
  /** How often a request is sent, the first time included. */
  tries: number;
  /** Upper bound of the first pause, in milliseconds; each further one is twice as long ... */
  baseMs: number;
  /** ... up to this. */
  capMs: number;
  /** Waits; rejects when the signal is aborted. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** A number from 0 to 1. */
  jitter: () => number;
}

export const DEFAULT_RETRY: RetryPolicy = { tries: 6, baseMs: 200, capMs: 5000, sleep, jitter: Math.random };

/** The shortest and the longest time, in seconds, that a service lets itself be given, unless it was told otherwise. */
const ASKED_S: readonly [number, number] = [0.05, 120];

/** What a timer counts at most, in milliseconds: given more, or Infinity, it goes off at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** More than any answer of the service has. */
const MAX_ANSWER_BYTES = 256 * 2 ** 20;

/** What to ask. */
export interface Question {
  method: "GET" | "POST";
  path: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array | ArrayBuffer | Blob;
}

/** A whole answer. */
export interface Answer {
  status: number;
  headers: Headers;
  body: ArrayBuffer;
}

/** The time of one call: it ends when its milliseconds are over or its caller has had enough. */
export class Deadline {
  readonly signal: AbortSignal;
  readonly #endsAtMs: number;
  readonly #callers: AbortSignal | undefined;
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #stop = (): void => this.#controller.abort(this.#callers?.reason);

  constructor({ timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined }) {
    const ms = Math.min(requireNumber(timeoutMs), LONGEST_MS);
    this.signal = this.#controller.signal;
    this.#endsAtMs = performance.now() + ms;
    this.#callers = signal;
    this.#timer = setTimeout(() => this.#controller.abort(tooLate()), ms);
    if (signal) setMaxListeners(0, signal); // each call takes its listener away: many at once are no leak
    signal?.addEventListener("abort", this.#stop);
    if (signal?.aborted) this.#stop();
    else if (ms <= 0) this.#controller.abort(tooLate());
  }

  leftMs(): number {
    return this.#endsAtMs - performance.now();
  }

  /** Whether it is the caller who has had enough. */
  isGivenUp(): boolean {
    return this.#callers?.aborted ?? false;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#callers?.removeEventListener("abort", this.#stop);
  }
}

/** Sends requests to one service and reads whole answers, as often as it takes and there is time. */
export class Transport {
  readonly #baseUrl: string;
  readonly #headers: Record<string, string>;
  readonly #timeoutMs: number;
  readonly #retry: RetryPolicy;

  constructor(baseUrl: string, headers: Record<string, string>, timeoutMs: number, retry: RetryPolicy) {
    this.#baseUrl = baseUrl;
    this.#headers = headers;
    this.#timeoutMs = requireNumber(timeoutMs);
    this.#retry = retry;
  }

  /** Runs a call, which may be several requests, within its one deadline. */
  async within<T>(options: CallOptions, call: (deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = new Deadline({ timeoutMs: options.timeoutMs ?? this.#timeoutMs, signal: options.signal });
    try {
      return await call(deadline);
    } finally {
      deadline.end();
    }
  }

  /** The successful answer to a question, asked for as often as it takes and there is time. */
  ask(question: Question, deadline: Deadline): Promise<Answer> {
    return this.insist(() => this.attempt(question, deadline), deadline);
  }

  /** What an attempt comes to, repeated while it fails with what may pass. */
  async insist<T>(attempt: () => Promise<T>, deadline: Deadline): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof LookalikeError) || !error.retryable || tries >= this.#retry.tries) throw error;
        deadline.signal.throwIfAborted();
        const pauseMs = this.#pauseMs(error, tries);
        if (pauseMs >= deadline.leftMs()) throw error;
        await this.#retry.sleep(pauseMs, deadline.signal);
      }
    }
  }

  /** The successful answer to a question that is asked once. */
  async attempt(question: Question, deadline: Deadline): Promise<Answer> {
    const { status, headers, body } = await this.once(question, deadline);
    if (status === 200 || status === 202) return { status, headers, body };
    throw refusal(status, headers, new TextDecoder().decode(body), Date.now());
  }

  /** An answer, whatever it is. Redirects are not followed: the key goes to this service alone. */
  async once({ method, path, headers, body }: Question, deadline: Deadline): Promise<Answer> {
    deadline.signal.throwIfAborted();
    const leftS = Math.min(Math.max(deadline.leftMs() / 1000, ASKED_S[0]), ASKED_S[1]);
    try {
      const response = await fetch(this.#baseUrl + path, {
        method,
        // "identity": what arrives is as long as it says, and no small answer unpacks into a large one.
        headers: { ...this.#headers, "Accept-Encoding": "identity", "X-Request-Timeout": leftS.toFixed(3), ...headers },
        body: body ?? null,
        redirect: "manual",
        signal: deadline.signal,
      });
      return { status: response.status, headers: response.headers, body: await bodyOf(response) };
    } catch (error) {
      deadline.signal.throwIfAborted();
      if (error instanceof LookalikeError) throw error;
      throw new ConnectionError(
        `${this.#baseUrl} cannot be reached or broke off (${reasonOf(error)}): check the address and that the service runs.`,
        { type: "Unavailable", retryable: true, cause: error },
      );
    }
  }

  #pauseMs(error: LookalikeError, attempt: number): number {
    const { baseMs, capMs, jitter } = this.#retry;
    // Never earlier than asked; a little later, lest all who were sent away come back together.
    if (error.retryAfterMs !== undefined) return error.retryAfterMs + jitter() * baseMs;
    return jitter() * Math.min(capMs, baseMs * 2 ** (attempt - 1));
  }
}

async function bodyOf(response: Response): Promise<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.byteLength;
    if (size > MAX_ANSWER_BYTES) throw stranger(`sends more than ${MAX_ANSWER_BYTES} bytes`);
    pieces.push(piece);
  }
  return new Blob(pieces).arrayBuffer();
}

function requireNumber(timeoutMs: number): number {
  if (typeof timeoutMs === "number" && !Number.isNaN(timeoutMs)) return timeoutMs;
  throw new LookalikeError("timeoutMs is not a number: give milliseconds, or Infinity.", { type: "ConfigError" });
}

function tooLate(): DeadlineError {
  return new DeadlineError(
    "The service did not answer in time: give the call more milliseconds (timeoutMs) or less to do.",
    { type: "DeadlineExceeded", retryable: true },
  );
}

/** fetch says "fetch failed"; what happened is in its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    if (signal.aborted) {
      reject(signal.reason as Error); // an event that has passed does not come again
      return;
    }
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
