/** The facts of an error. */
export interface ErrorFacts {
  /** The error's class at the service, or this package's own: "ImageError", "Unavailable", ... */
  type: string;
  /** Whether the same call may succeed later without anybody changing anything. */
  retryable?: boolean;
  /** The HTTP status, if there was an answer. */
  status?: number | undefined;
  /** What the service calls the input that is to blame. */
  item?: string | undefined;
  /** What the service calls the request: its log says more under this id. */
  requestId?: string | undefined;
  /** Milliseconds that the service asked to be left alone. */
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** Something failed; the message is a sentence that says what, and what to do. */
export class LookalikeError extends Error {
  readonly type: string;
  readonly retryable: boolean;
  readonly status: number | undefined;
  readonly item: string | undefined;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, facts: ErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.type = facts.type;
    this.retryable = facts.retryable ?? false;
    this.status = facts.status;
    this.item = facts.item;
    this.requestId = facts.requestId;
    this.retryAfterMs = facts.retryAfterMs;
  }
}

/** What was handed in cannot be used: not a readable picture, too large, not on the allow-list, harmful. */
export class InputError extends LookalikeError {}

/** Two vector spaces would have been mixed. */
export class SpaceMismatchError extends LookalikeError {}

/** The API key is missing, unknown (401) or not allowed to do this (403). */
export class AccessDeniedError extends LookalikeError {}

/** The service's model cannot be used, or does not do this. */
export class ModelError extends LookalikeError {}

/** The service's index cannot do what was asked: there is none, or no such item. */
export class StoreError extends LookalikeError {}

/** The service is full or not ready, and stayed so as long as there was time to ask. */
export class ServiceError extends LookalikeError {}

/** The time was up. */
export class DeadlineError extends ServiceError {}

/** The service cannot be reached, the connection broke, or what answers is not a lookalike service. */
export class ConnectionError extends LookalikeError {}

type ErrorClass = new (message: string, facts: ErrorFacts) => LookalikeError;

const CLASSES: ReadonlyMap<string, ErrorClass> = new Map<string, ErrorClass>([
  ...named(InputError, "InputError ImageError UnsupportedMedia TooLarge HarmfulInput OutOfMemory"),
  ...named(SpaceMismatchError, "SpaceMismatch"),
  ...named(AccessDeniedError, "AccessDenied"),
  ...named(ModelError, "ModelError ModelNotFound UnsupportedModel CorruptModel"),
  ...named(StoreError, "StoreError StoreNotFound StoreLocked StoreUnavailable StoreReadOnly StoreFull StoreTooNew"),
  ...named(StoreError, "StoreCorrupt StoreSwitched VectorMissing"),
  ...named(StoreError, "ItemNotFound JobNotFound PictureGone"),
  ...named(ServiceError, "ServiceError NotReady Overloaded"),
  ...named(DeadlineError, "DeadlineExceeded"),
]);

/** Statuses that another try may cure. A call reads, or does twice what it does once. */
const TRANSIENT: ReadonlySet<number> = new Set([429, 502, 503]);

/** The error that an answer stands for which is not a success. */
export function refusal(status: number, headers: Headers, body: string, nowMs: number): LookalikeError {
  const said = errorOf(body);
  const type = typeof said["type"] === "string" ? said["type"] : "";
  const known = CLASSES.get(type);
  const facts: ErrorFacts = {
    type: known ? type : TRANSIENT.has(status) ? "Unavailable" : "Refused",
    status,
    retryable: TRANSIENT.has(status) && said["retryable"] !== false,
    item: optionalText(said["item"]),
    requestId: optionalText(said["request_id"]),
    retryAfterMs: retryAfterMs(headers.get("retry-after"), nowMs),
  };
  const message = optionalText(said["message"])?.slice(0, 1000);
  if (known) return new known(message ?? type, facts);
  if (status >= 300 && status < 400) {
    return new ConnectionError(
      `The service redirects (HTTP ${status}), which is not followed: give its own address as baseUrl.`,
      facts,
    );
  }
  return new ConnectionError(
    `The service, or a proxy before it, does not serve this (HTTP ${status})${message ? `: ${message}` : "."}`,
    facts,
  );
}

/** The milliseconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), if it says anything. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  const text = (header ?? "").trim();
  if (/^[0-9]+$/.test(text)) return Number(text) * 1000;
  const momentMs = /^[A-Za-z]/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(momentMs) ? undefined : Math.max(0, momentMs - nowMs);
}

/** The error of an answer that no lookalike service gives; `what` completes a sentence about it. */
export function stranger(what: string): ConnectionError {
  return new ConnectionError(`What answers ${what}: it does not seem to be a lookalike service. Check baseUrl.`, {
    type: "ProviderError",
  });
}

function named(kind: ErrorClass, types: string): [string, ErrorClass][] {
  return types.split(" ").map((type) => [type, kind]);
}

function errorOf(body: string): Record<string, unknown> {
  try {
    const error: unknown = (JSON.parse(body) as { error?: unknown } | null)?.error;
    return typeof error === "object" && error !== null ? (error as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function optionalText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
