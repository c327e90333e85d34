// The columns: one to three texts side by side. The main form sets the first one.

import { compare } from "./comparison_table.js";
import { Column } from "./column.js";
import { newLens } from "../lens/lenses.js";
import { otherModel } from "../form/model_choice.js";
import { SAMPLING_FIELDS } from "../form/settings.js";

const LETTERS = ["A", "B", "C"];
export const MAX_COLUMNS = LETTERS.length;
// The settings that B and C begin with, and why, if the server has no other model for them.
const COMPARED = [
  [{ top_k: "1" }, "Begins with top-k 1, always the most likely character. Change it as you like."],
  [{ top_k: "", temperature: "1.2" }, "Begins without top-k and with a higher temperature."],
];
const OTHER_MODEL = "Begins with another model, and with the settings of text A.";

export class Columns {
  /** `onFork(column, records)`: see Column. `onRemove(column)`: the column has been removed. */
  constructor({ onFork, onRemove }) {
    this.root = document.querySelector("#columns");
    this.onFork = onFork;
    this.onRemove = onRemove;
    this.all = [];
    this.lensName = "surprisal"; // or "cells", or "off"
    this.add(null);
    this.first.pane.text.id = "text";
  }

  get first() {
    return this.all[0];
  }

  get isFull() {
    return this.all.length === MAX_COLUMNS;
  }

  /** The columns that contain a text. */
  get withText() {
    return this.all.filter((column) => column.textSettings);
  }

  /** The column whose text is steered, or undefined. */
  get steered() {
    return this.all.find((column) => column.isSteered);
  }

  /** Adds a column with its own settings and a hint on them, or the first one, which has none. */
  add(ownSettings, hint = "") {
    const column = new Column({
      ownSettings,
      hint,
      onStatistics: () => compare(this.all),
      onFork: this.onFork,
      onRemove: (removed) => this.#remove(removed),
    });
    column.pane.setLens(newLens(this.lensName));
    this.all.push(column);
    this.root.append(column.root);
    this.#setLetters();
  }

  /**
   * Adds a column for comparison: with a model that no column uses yet, or if there is none, with
   * settings that differ from the first column's.
   */
  addComparison(settings) {
    const own = this.all.map((column) => column.ownSettings.model);
    const model = otherModel([settings.model, ...own]);
    const [changed, hint] = model ? [{ model }, OTHER_MODEL] : COMPARED[this.all.length - 1];
    this.add({ ...settings, ...changed }, hint);
    this.all.at(-1).inputs[0].focus();
  }

  /**
   * Returns a column that holds cells while its text is written (see hold.js): the steered one, or
   * a new one. Returns null if there is no room.
   */
  steer(hold) {
    if (!this.steered) {
      if (this.isFull) return null;
      this.add({ hold });
    }
    this.steered.ownSettings = { hold };
    return this.steered;
  }

  /** Adds or removes columns until there is one for each element of `texts`, with its settings. */
  match(texts) {
    const isOther = (column, index) =>
      index > 0 && column.isSteered !== isOnlySteered(texts[index] ?? {}, texts[0]);
    const other = this.all.findIndex(isOther);
    this.truncate(other < 0 ? texts.length : Math.min(other, texts.length));
    while (this.all.length < texts.length) this.#addFor(texts[this.all.length], texts[0]);
    this.all.forEach((column, index) => {
      column.ownSettings = texts[index];
    });
  }

  /** Removes all columns but the first `count`. */
  truncate(count) {
    for (const column of this.all.slice(count)) this.#remove(column);
  }

  /**
   * Scrolls to the texts if they begin near or below the bottom of the window, and to the beginning
   * of new texts also if it is above the window.
   */
  scrollIntoView({ areNew }) {
    const { top } = this.root.getBoundingClientRect();
    if (top < window.innerHeight * 0.8 && (top >= 0 || !areNew)) return;
    const isReduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.root.parentElement.scrollIntoView({ behavior: isReduced ? "auto" : "smooth" });
  }

  #addFor(text, first) {
    this.add(isOnlySteered(text, first) ? { hold: text.hold } : text);
  }

  #remove(column) {
    const hadFocus = column.root.contains(document.activeElement);
    const index = this.all.indexOf(column);
    this.all.splice(index, 1);
    column.root.remove();
    column.pane.chart.dispose();
    this.#setLetters();
    if (hadFocus) this.all[index - 1].pane.sheet.focus({ preventScroll: true });
    this.onRemove(column);
  }

  #setLetters() {
    const isSeveral = this.all.length > 1;
    this.root.classList.toggle("several", isSeveral);
    this.all.forEach((column, index) => {
      column.setLetter(isSeveral ? LETTERS[index] : "");
    });
    compare(this.all);
  }
}

/** Whether a text holds cells and has the sampling settings and the model of the first one. */
const isOnlySteered = (text, first) =>
  Boolean(text.hold) &&
  [...SAMPLING_FIELDS, "model"].every((field) => text[field] === first[field]);
