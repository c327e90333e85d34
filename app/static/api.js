// The server: asks it, waits for it where it is full or gone, and finds a key where it wants one.

/** An answer that is not a success. */
export class Refusal extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body.code;
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

const SLOWEST = 10; // seconds between tries to reach a server that is gone
const FULL = [429, 503]; // statuses that say when to come again
const KEY = "charstream-key";

let keyInUse = stored();
let askForKey = async () => null;

/** Sets what is called when the server wants a key: (wasWrong) => key or null. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/** Whether the server is asked with a key, which a mere link to it cannot bring. */
export const hasKey = () => keyInUse !== "";

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // where a browser keeps nothing, it is kept in memory
  }
}

function keep(key) {
  keyInUse = key;
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // in memory, then
  }
}

/** A seed is up to 2^63 - 1, which a JavaScript number cannot be: it stays a string of digits. */
function toJSON({ seed, ...rest }) {
  const json = JSON.stringify(rest);
  return seed === undefined ? json : `${json.slice(0, -1)},"seed":${BigInt(seed)}}`;
}

/** One request; throws a Refusal, or what fetch throws. */
async function request(path, body, { signal, headers = {} } = {}) {
  const sent = { ...headers };
  if (keyInUse) sent.Authorization = `Bearer ${keyInUse}`;
  if (body) sent["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method: body ? "POST" : "GET",
    body: body && toJSON(body),
    headers: sent,
    signal,
    cache: "no-store",
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, said, Number(answer.headers.get("Retry-After")) || null);
}

/** One request, with a key if it wants one. */
export async function ask(path, body, options = {}) {
  for (;;) {
    const tried = keyInUse;
    try {
      return await request(path, body, options);
    } catch (error) {
      if (error.status !== 401) throw error;
      if (tried !== keyInUse) continue; // somebody else has asked meanwhile
      const key = await askForKey(tried !== "");
      if (!key) throw error;
      keep(key);
    }
  }
}

/**
 * Asks until there is an answer: waits as long as a full server says, and for one that is gone.
 * `onWait({ reason, seconds })` is called with every second that is left; reason is the Refusal,
 * or null if there was no answer.
 */
export async function askPatiently(path, body, options) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask(path, body, options);
    } catch (error) {
      if (options.signal.aborted) throw error;
      if (error instanceof Refusal && !FULL.includes(error.status)) throw error;
      const reason = error instanceof Refusal ? error : null;
      const seconds = reason?.retryAfter ?? Math.min(SLOWEST, 2 ** tries);
      await countDown(seconds, reason, options);
    }
  }
}

/** Waits so many seconds and says so at each. */
export async function countDown(seconds, reason, { signal, onWait }) {
  for (let left = seconds; left > 0; left -= 1) {
    onWait({ reason, seconds: left });
    await sleep(1000, signal);
  }
  onWait({ reason, seconds: 0 });
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    }, milliseconds);
    signal.throwIfAborted();
    signal.addEventListener("abort", giveUp, { once: true });
  });
}
