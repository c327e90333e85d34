// HTTP requests to the server, with retries and with an API key where the server requires one.

/** A response with an error status, or an `error` event of a stream (status 0). */
export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail ?? `The server responded with status ${status}.`);
    this.status = status;
    this.code = body.code;
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

const MAX_RETRY_SECONDS = 10; // between two attempts to reach a server that does not respond
const RETRYABLE_STATUSES = [429, 503]; // the server is busy, and says when to retry
const STORAGE_KEY = "charstream-key";

let apiKey = storedKey();
let askForKey = async () => null;

/** Sets the callback that asks the user for a key: (wasRejected) => key, or null if cancelled. */
export function onKeyRequired(callback) {
  askForKey = callback;
}

/** Whether requests carry a key. A plain link to the server cannot carry one. */
export const hasKey = () => apiKey !== "";

function storedKey() {
  try {
    return sessionStorage.getItem(STORAGE_KEY) ?? "";
  } catch {
    return ""; // the browser blocks storage, so the key is only held in memory
  }
}

function storeKey(key) {
  apiKey = key;
  try {
    sessionStorage.setItem(STORAGE_KEY, key);
  } catch {
    // The browser blocks storage: the key is only held in memory.
  }
}

/**
 * Serializes a request body. A seed can be as large as 2^63 - 1, which a JavaScript number cannot
 * represent, so the page holds it as a string of digits and inserts the digits here.
 */
function toJSON({ seed, ...rest }) {
  const json = JSON.stringify(rest);
  return seed === undefined ? json : `${json.slice(0, -1)},"seed":${BigInt(seed)}}`;
}

/** Sends one request. Throws an ApiError, or whatever fetch throws. */
async function send(path, body, { signal, headers = {} } = {}) {
  const allHeaders = { ...headers };
  if (apiKey) allHeaders.Authorization = `Bearer ${apiKey}`;
  if (body) allHeaders["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method: body ? "POST" : "GET",
    body: body && toJSON(body),
    headers: allHeaders,
    signal,
    cache: "no-store",
  });
  if (response.ok) return response;
  const errorBody = await response.json().catch(() => ({}));
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  throw new ApiError(response.status, errorBody, retryAfter);
}

/** Sends a request, and asks the user for a key if the server requires one. */
export async function request(path, body, options = {}) {
  for (;;) {
    const usedKey = apiKey;
    try {
      return await send(path, body, options);
    } catch (error) {
      if (error.status !== 401) throw error;
      if (usedKey !== apiKey) continue; // another request has obtained a key in the meantime
      const key = await askForKey(usedKey !== "");
      if (!key) throw error;
      storeKey(key);
    }
  }
}

/**
 * Sends a request and retries while the server is busy or cannot be reached.
 *
 * Calls `onWait({ reason, seconds })` once per second while it waits. `reason` is the ApiError of
 * a busy server, or null if there was no response.
 */
export async function requestWithRetry(path, body, options) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await request(path, body, options);
    } catch (error) {
      if (options.signal.aborted) throw error;
      if (error instanceof ApiError && !RETRYABLE_STATUSES.includes(error.status)) throw error;
      const reason = error instanceof ApiError ? error : null;
      const seconds = reason?.retryAfter ?? Math.min(MAX_RETRY_SECONDS, 2 ** attempt);
      await countDown(seconds, reason, options);
    }
  }
}

/** Waits for a number of seconds and reports the remaining ones through `onWait`. */
export async function countDown(seconds, reason, { signal, onWait }) {
  for (let left = seconds; left > 0; left -= 1) {
    onWait({ reason, seconds: left });
    await sleep(1000, signal);
  }
  onWait({ reason, seconds: 0 });
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    signal.throwIfAborted();
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
