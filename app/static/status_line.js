// StatusLine: what is going on, in words; said aloud once, counted down in silence.

export class StatusLine {
  constructor(prefix = "") {
    this.words = document.querySelector(`#${prefix}status`);
    this.count = document.querySelector(`#${prefix}countdown`);
    this.button = document.querySelector(`#${prefix}remedy`);
    this.remedy = null;
    this.button.addEventListener("click", () => this.remedy?.());
  }

  /** Options: isError; remedy: [name, function] of a button that helps. */
  say(words, { isError = false, remedy = null } = {}) {
    if (this.words.textContent !== words) this.words.textContent = words;
    this.words.classList.toggle("error", isError);
    this.count.textContent = "";
    this.button.hidden = remedy === null;
    this.button.textContent = remedy?.[0] ?? "";
    this.remedy = remedy?.[1];
  }

  /** Says why there is a wait, for the first answer or for its rest, and how many seconds are left. */
  wait({ reason, seconds }, isAnswered = false) {
    const gone = isAnswered
      ? "Connection lost. What is here stays, and goes on where it broke."
      : "The server cannot be reached.";
    const full = reason?.message.replace(/; try again in .*/, "");
    this.say(reason ? `The server takes no more just now: ${full}.` : gone, { isError: true });
    this.count.textContent = seconds ? `Next try in ${seconds} s.` : "Trying…";
  }
}
