// The status line: the current state, announced once to screen readers, and a silent countdown.

export class StatusLine {
  /**
   * `prefix` of the elements' ids. `successor`: the element that gets the focus when a remedy that
   * has it disappears, by default the message.
   */
  constructor(prefix = "", successor = null) {
    this.message = document.querySelector(`#${prefix}status`);
    this.successor = successor ?? this.message;
    this.countdown = document.querySelector(`#${prefix}countdown`);
    this.button = document.querySelector(`#${prefix}remedy`);
    this.remedy = null;
    this.lasting = { message: this.message.textContent, options: {} };
    this.button.addEventListener("click", () => this.remedy?.());
  }

  /** Shows a message. Options: `isError`; `remedy`, a button that helps: [label, function]. */
  show(message, options = {}) {
    this.lasting = { message, options };
    this.#render(message, options);
  }

  /** Shows a message for some time. `restore` brings back the one that was shown before. */
  showTemporarily(message, options = {}) {
    this.#render(message, options);
  }

  restore() {
    this.#render(this.lasting.message, this.lasting.options);
  }

  #render(message, { isError = false, remedy = null }) {
    const hadFocus = document.activeElement === this.button;
    // Setting the same text again would make screen readers repeat it.
    if (this.message.textContent !== message) this.message.textContent = message;
    this.message.classList.toggle("error", isError);
    this.countdown.textContent = "";
    this.button.hidden = remedy === null;
    this.button.textContent = remedy?.[0] ?? "";
    this.remedy = remedy?.[1];
    if (hadFocus && this.button.hidden) this.successor.focus({ preventScroll: true });
  }

  /**
   * Shows why the page waits and how many seconds are left.
   *
   * `reason` is the ApiError of a busy server, or null if the server cannot be reached;
   * `hasStarted` is true if part of the response has arrived.
   */
  showWait({ reason, seconds }, hasStarted = false) {
    const message = reason ? busyMessage(reason) : unreachableMessage(hasStarted);
    this.show(message, { isError: true });
    this.countdown.textContent = seconds ? `Retrying in ${seconds} s.` : "Retrying…";
  }

  /** Shows that the page no longer tries. `resume()`: the user asks to try again. */
  showGivenUp({ reason, failures }, hasStarted, resume) {
    const message = reason ? busyMessage(reason) : unreachableMessage(hasStarted);
    const remedy = ["Try again", resume];
    this.show(`${message} Gave up after ${failures} attempts.`, { isError: true, remedy });
  }
}

/** The server's message ends with a time to wait, which the countdown shows instead. */
function busyMessage({ message }) {
  const detail = message.replace(/[;.,]? try again in .*/i, "").replace(/\.$/, "");
  return `The server cannot accept the request now: ${detail}.`;
}

const unreachableMessage = (hasStarted) =>
  hasStarted
    ? "Connection lost. The text so far is kept and continues when the server responds again."
    : "The server cannot be reached.";
