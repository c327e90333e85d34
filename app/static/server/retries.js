// Bounded retries: each wait is longer than the one before, until the page asks the user.

import { ShownError } from "../ui/shown_error.js";

const MAX_SECONDS = 10; // between two attempts, unless the server says when to retry
const MAX_FAILURES = 8; // in a row; the waits between them add up to 45 seconds

/** The connection could not be made, or it broke. */
export class ConnectionError extends ShownError {
  constructor(cause) {
    super("The server cannot be reached.", { cause });
  }
}

export class Retries {
  /**
   * Options: `signal` ends a wait. `onWait({ reason, seconds })` is called once per second of a
   * wait, which ends if it throws. `reason` is the ApiError of a busy server, or null if there was
   * no response.
   * `onGiveUp({ reason, failures })` returns a promise that resolves when the user asks to try
   * again. Without it, the wait after the last failure throws.
   */
  constructor({ signal, onWait, onGiveUp }) {
    Object.assign(this, { signal, onWait, onGiveUp, failures: 0 });
  }

  /** Starts to count again, because the server has responded. */
  reset() {
    this.failures = 0;
  }

  /** Waits after a failed attempt. */
  async wait(reason) {
    this.failures += 1;
    if (this.failures >= MAX_FAILURES) return this.#giveUp(reason);
    const seconds = reason?.retryAfter ?? Math.min(MAX_SECONDS, 2 ** (this.failures - 1));
    return this.#countDown(seconds, reason);
  }

  async #giveUp(reason) {
    const { signal, failures } = this;
    if (!this.onGiveUp) throw reason ?? new ConnectionError();
    await Promise.race([this.onGiveUp({ reason, failures }), aborted(signal)]);
    this.reset();
    this.onWait({ reason, seconds: 0 });
  }

  async #countDown(seconds, reason) {
    for (let left = seconds; left > 0; left -= 1) {
      this.onWait({ reason, seconds: left });
      await sleep(1000, this.signal);
    }
    this.onWait({ reason, seconds: 0 });
  }
}

/** Rejects when a signal is aborted. */
function aborted(signal) {
  return new Promise((_, reject) => {
    signal.throwIfAborted();
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
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
