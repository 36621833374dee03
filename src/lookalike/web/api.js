// Requests, the API key, pictures. What fails is a Problem with its sentence.

const KEY = "lookalike-key";
const TIMEOUT_MS = 30_000;

export class Problem extends Error {
  constructor(message, { status = 0, type = "", item = "", retryable = false } = {}) {
    super(message);
    Object.assign(this, { status, type, item, retryable });
  }
}

export const hasKey = () => KEY in sessionStorage;
export const useKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);
export const authorization = () => (hasKey() ? { Authorization: `Bearer ${sessionStorage[KEY]}` } : {});

export const itemPath = ({ id, project }, below = "", values = {}) =>
  `items/${encodeURIComponent(id)}${below}?${new URLSearchParams({ project, ...values })}`;

/** Which items a state asks for. */
export function itemsPath({ project, where }, values) {
  const words = new URLSearchParams(values);
  if (project) words.append("project", project);
  for (const [key, value] of Object.entries(where)) words.append("where", `${key}:${value}`);
  return `items?${words}`;
}

/** The thumbnail of an item in this size, or null. */
export const thumbnailPath = (item, size) => (item.thumbnail ? `${item.thumbnail}&size=${size}` : null);

export const getJson = (path, signal) => ask(path, "json", { signal });

export const postJson = (path, document, signal) =>
  ask(path, "json", { signal, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) });

export const getBlob = (path, signal) => ask(path, "blob", { signal, ms: 20 * TIMEOUT_MS });

/** Let an `img`, which sends no header, show a picture: with a key it is fetched. Returns what stops and frees it. */
export function showPicture(img, path) {
  if (!hasKey()) {
    img.src = path;
    return () => img.removeAttribute("src");
  }
  const stop = new AbortController();
  let url = "";
  getBlob(path, stop.signal)
    .then((blob) => {
      url = URL.createObjectURL(blob);
      img.src = url;
    })
    .catch(() => stop.signal.aborted || img.dispatchEvent(new Event("error")));
  return () => {
    stop.abort();
    img.removeAttribute("src");
    if (url) URL.revokeObjectURL(url);
  };
}

async function ask(path, kind, { signal, ms = TIMEOUT_MS, headers = {}, ...options }) {
  const limit = AbortSignal.timeout(ms);
  try {
    const response = await fetch(path, {
      ...options,
      credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      headers: { ...headers, ...authorization() },
    });
    if (response.ok) return await response[kind](); // which fails if the answer is cut off
    throw problemOf(await response.json().catch(() => null), response);
  } catch (error) {
    if (signal?.aborted || error instanceof Problem) throw error;
    throw new Problem(String(error.message), { retryable: true });
  }
}

/** What the service says is wrong, by the body of its answer. */
export function problemOf(body, { status, statusText }) {
  const { message = statusText, type, item, retryable } = body?.error ?? {};
  return new Problem(message, { status, type, item, retryable: retryable ?? status >= 500 });
}
