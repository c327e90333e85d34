// The panel that suggests words while the user types.

import { showError } from "../form/error_messages.js";
import { clearErrors } from "../form/field_errors.js";
import { chosenModel, modelName } from "../form/model_choice.js";
import { requestJSON } from "../server/api.js";
import { showStatistics } from "../text/statistics.js";
import { announce } from "../ui/announcer.js";
import { glyph } from "../ui/character_names.js";
import { byId } from "../ui/dom.js";
import { formatCount, formatMeasured } from "../ui/numbers.js";
import { explain } from "../ui/shown_error.js";
import { StatusLine } from "../ui/status_line.js";
import { SuggestionBar, WORD_ENDS } from "./suggestion_bar.js";
import { TypedText } from "./typed_text.js";

const SUGGESTIONS = 5;
const MAX_PRIME = 2000; // characters before the caret that the model reads
const PAUSE = 700; // milliseconds after the last answer until screen readers hear the best one
const BEGUN_WORD = /[\p{L}\p{N}'’_]*$/u;

const panel = byId("type");
const field = byId("typed");
const memory = byId("type-memory");
const statusLine = new StatusLine("type-", field);

export class TypePanel {
  constructor() {
    this.text = new TypedText(field, byId("typed-mirror"));
    this.bar = new SuggestionBar(byId("suggestions"), field, (index) => this.#choose(index));
    this.maxPrime = MAX_PRIME;
    this.before = null; // the text before the caret when it was looked at last
    this.suggestions = []; // those of the bar, after `before`; null: one that does not continue it
    this.ghost = ""; // what is shown behind the caret
    this.controller = new AbortController(); // of the last request
    this.needsKey = false; // the user entered no key: the page asks again only on request
    this.milliseconds = null; // that the last answer took
    this.#listen();
    this.#showStatistics();
  }

  /** Adapts the panel to a model and a server, as GET /info describes them. */
  adapt({ limits }) {
    this.maxPrime = Math.min(MAX_PRIME, limits.prime);
    this.#request(); // another model suggests other words
  }

  #listen() {
    for (const type of ["input", "focus"]) field.addEventListener(type, () => this.#follow());
    document.addEventListener("selectionchange", () => {
      if (document.activeElement === field) this.#follow();
    });
    field.addEventListener("keydown", (event) => this.#onKey(event));
    memory.addEventListener("change", () => this.#request());
  }

  /** Follows the text and its caret, and asks for suggestions if the text before it is another. */
  #follow() {
    const { before } = this.text;
    if (before !== this.before) {
      const typed = before.startsWith(this.before) ? before.slice(this.before.length) : null;
      this.suggestions = this.suggestions.map((each) => afterTyping(each, typed));
      this.before = before;
      this.bar.outdate();
      this.#request();
    }
    this.#showGhost();
    this.#showStatistics();
  }

  /** Asks for suggestions, and drops the request before. */
  async #request() {
    this.controller.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    if (this.before === null || this.needsKey) return;
    try {
      await this.#suggest(signal);
    } catch (error) {
      if (!signal.aborted) this.#showFailure(error);
    }
  }

  async #suggest(signal) {
    let began = performance.now();
    const answer = await requestJSON("suggest", this.#body(), {
      signal,
      onWait: (wait) => {
        began = performance.now();
        statusLine.showWait(wait);
      },
      onGiveUp: (failure) =>
        new Promise((resolve) => statusLine.showGivenUp(failure, false, resolve)),
    });
    signal.throwIfAborted();
    this.milliseconds = performance.now() - began;
    statusLine.show("Ready.");
    clearErrors(panel);
    this.#show(answer.suggestions);
  }

  #body() {
    const model = modelName(chosenModel()); // unlike the hash, the name outlives a reload
    return {
      prime: lastCharacters(this.before, this.maxPrime),
      n: SUGGESTIONS,
      unknown: "skip",
      ...(memory.checked && { memory: true }),
      ...(model && { model }),
    };
  }

  #show(suggestions) {
    this.suggestions = suggestions;
    const [begun] = BEGUN_WORD.exec(this.before);
    this.bar.show(begun, suggestions);
    this.#showGhost();
    this.#showStatistics();
    clearTimeout(this.timer);
    if (!suggestions.length) return;
    const [{ text }] = suggestions;
    this.timer = setTimeout(() => announce(text ? begun + text : WORD_ENDS), PAUSE);
  }

  #showGhost() {
    const best = this.suggestions[Math.max(0, this.bar.active)];
    this.ghost = best && this.text.isAtEnd ? best.text || glyph(" ") : "";
    this.text.suggest(this.ghost);
  }

  #showStatistics() {
    const { milliseconds } = this;
    showStatistics(byId("type-statistics"), [
      ["last answer", milliseconds === null ? "–" : `${formatMeasured(milliseconds)} ms`],
      ["keystrokes saved", `${formatCount(this.text.saved)} of ${formatCount(this.text.total)}`],
    ]);
  }

  #showFailure(error) {
    this.#show([]);
    this.needsKey = error.status === 401;
    if (!this.needsKey) return showError(error, [panel], statusLine, {});
    const remedy = ["Try again", () => this.#askAgain()];
    return statusLine.show(explain(error), { isError: true, remedy });
  }

  #askAgain() {
    this.needsKey = false;
    this.#request();
  }

  #close() {
    this.controller.abort();
    statusLine.show("Ready.");
    this.#show([]);
  }

  #choose(index) {
    this.#follow(); // the caret may have moved since the last event
    if (this.suggestions[index]) this.text.insert(this.suggestions[index].text);
  }

  #onKey(event) {
    if (event.isComposing || !this.suggestions.length) return;
    const action = this.#action(event);
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** What a key does in the field while there are suggestions, or null. */
  #action(event) {
    const { active } = this.bar;
    const index = indexOf(event);
    if (index !== null) return () => this.#choose(index);
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return null;
    if (event.key === "Escape") return () => this.#close();
    if (event.key === "Tab" && this.ghost) return () => this.#choose(Math.max(0, active));
    if (event.key === "Enter" && active >= 0) return () => this.#choose(active);
    if (event.key === "ArrowDown" && this.text.isAtEnd) return () => this.#activate(active + 1);
    if (event.key === "ArrowUp" && active >= 0) return () => this.#activate(active - 1);
    return null;
  }

  #activate(index) {
    this.bar.activate(index);
    this.#showGhost();
  }
}

/** A suggestion after the user typed on, or null if it does not begin with what was typed. */
const afterTyping = (suggestion, typed) =>
  typed !== null && suggestion?.text.startsWith(typed)
    ? { ...suggestion, text: suggestion.text.slice(typed.length) }
    : null;

/**
 * The index of the suggestion that a key chooses, or null: Ctrl or Alt and a digit. Linux has tabs
 * of the browser on Alt, and Windows on Ctrl. On a Mac, Alt and a digit type another character.
 */
function indexOf({ code, key, ctrlKey, altKey, shiftKey, metaKey }) {
  const digit = /^Digit([1-9])$/.exec(code)?.[1];
  if (!digit || digit > SUGGESTIONS || shiftKey || metaKey) return null;
  return (ctrlKey && !altKey) || (altKey && !ctrlKey && key === digit) ? digit - 1 : null;
}

/**
 * The last characters of a text, at most `limit`. Where they begin moves on in steps of half the
 * limit, so that the server has usually read all but the new character before.
 */
function lastCharacters(text, limit) {
  const characters = Array.from(text);
  const step = Math.ceil(limit / 2);
  const start = Math.ceil(Math.max(0, characters.length - limit) / step) * step;
  return characters.slice(start).join("");
}
