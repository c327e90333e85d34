// HTTP requests to the server, with retries and with an API key where the server requires one.

import { toJSON } from "./json.js";
import { ConnectionError, Retries } from "./retries.js";
import { ShownError } from "../ui/shown_error.js";

/** A response with an error status, or an `error` event of a stream (status 0). */
export class ApiError extends ShownError {
  constructor(status, body, retryAfter) {
    super(body.detail ?? `The server responded with status ${status}.`);
    this.status = status;
    this.code = body.code;
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** Whether the server refused the value of one of these fields of the request. */
export const isRefused = (error, ...fields) =>
  error.code === "invalid_field" && error.errors.some(({ field }) => fields.includes(field));

const RETRYABLE_STATUSES = [429, 502, 503]; // the server, or one in front of it, is busy
const UNREADABLE_RESPONSE =
  "The server sent a response that this page cannot read. Reload the page and try again.";
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

/** Sends one request. Throws an ApiError, or a ConnectionError if there is no response. */
async function send(path, body, { signal, headers = {} } = {}) {
  const allHeaders = { ...headers };
  if (apiKey) allHeaders.Authorization = `Bearer ${apiKey}`;
  if (body) allHeaders["Content-Type"] = "application/json";
  const method = body ? "POST" : "GET";
  const init = { method, body: body && toJSON(body), headers: allHeaders, signal };
  const response = await connected(fetch(path, { ...init, cache: "no-store" }), signal);
  if (response.ok) return response;
  const errorBody = (await response.json().catch(() => null)) ?? {};
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

/** Awaits a network operation. Throws a ConnectionError if it fails and was not aborted. */
export async function connected(operation, signal) {
  try {
    return await operation;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConnectionError(error);
  }
}

/** Parses JSON from the server. Throws a ShownError if it is damaged. */
export function parseJSON(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ShownError(UNREADABLE_RESPONSE, { cause: error });
  }
}

/** Requests JSON once, without retries. */
export async function requestJSONOnce(path) {
  const response = await request(path);
  return parseJSON(await connected(response.text()));
}

/** Whether an attempt that failed with this error may succeed later. */
const isTemporary = (error) =>
  error instanceof ConnectionError || RETRYABLE_STATUSES.includes(error.status);

/**
 * Sends a request and retries while the server is busy or cannot be reached.
 *
 * Options: `signal`; `headers`; `retries`, which waits between the attempts; `read(response)`,
 * whose result is returned instead of the response. A failure in `read` counts as one of the
 * request.
 */
export async function requestWithRetry(path, body, { retries, read, ...options }) {
  for (;;) {
    try {
      const response = await request(path, body, options);
      return read ? await read(response) : response;
    } catch (error) {
      if (options.signal.aborted || !isTemporary(error)) throw error;
      await retries.wait(error instanceof ApiError ? error : null);
    }
  }
}

/** Sends a request with retries (see Retries for the options), and returns the parsed JSON. */
export function requestJSON(path, body, options) {
  const { signal } = options;
  const read = async (response) => parseJSON(await connected(response.text(), signal));
  return requestWithRetry(path, body, { signal, retries: new Retries(options), read });
}
