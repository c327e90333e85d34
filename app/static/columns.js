// The columns: one to three texts side by side. The main form sets the first one.

import { Column } from "./column.js";

const NAMES = ["A", "B", "C"];
const COMPARED_SETTINGS = [{ top_k: "1" }, { top_k: "", temperature: "1.2" }]; // of B and C

export class Columns {
  /** `onFork(column, records)`: see Column. `onRemove(column)`: the column has been removed. */
  constructor({ onFork, onRemove }) {
    this.root = document.querySelector("#columns");
    this.onFork = onFork;
    this.onRemove = onRemove;
    this.all = [];
    this.isColored = true;
    this.add(null);
    this.first.pane.text.id = "text";
  }

  get first() {
    return this.all[0];
  }

  get isFull() {
    return this.all.length === NAMES.length;
  }

  /** The columns that contain a text. */
  get withText() {
    return this.all.filter((column) => column.generated);
  }

  set colored(isColored) {
    this.isColored = isColored;
    for (const column of this.all) column.pane.colored = isColored;
  }

  /** Adds a column with its own sampling settings, or the first one, which has none (null). */
  add(ownSettings) {
    const column = new Column({
      ownSettings,
      onFork: this.onFork,
      onRemove: (removed) => this.#remove(removed),
    });
    column.pane.colored = this.isColored;
    this.all.push(column);
    this.root.append(column.root);
    this.#nameColumns();
  }

  /** Adds a column for comparison, with settings that differ from the first column's. */
  addComparison(settings) {
    this.add({ ...settings, ...COMPARED_SETTINGS[this.all.length - 1] });
    this.all.at(-1).inputs[0].focus();
  }

  /** Adds or removes columns until there is one for each element of `texts`, with its settings. */
  match(texts) {
    this.truncate(texts.length);
    while (this.all.length < texts.length) this.add(texts[this.all.length]);
    this.all.forEach((column, index) => {
      column.ownSettings = texts[index];
    });
  }

  /** Removes all columns but the first `count`. */
  truncate(count) {
    for (const column of this.all.slice(count)) this.#remove(column);
  }

  #remove(column) {
    this.all.splice(this.all.indexOf(column), 1);
    column.root.remove();
    column.pane.chart.dispose();
    this.#nameColumns();
    this.onRemove(column);
  }

  #nameColumns() {
    const isSeveral = this.all.length > 1;
    this.root.classList.toggle("several", isSeveral);
    this.all.forEach((column, index) => {
      column.name = isSeveral ? NAMES[index] : "";
    });
  }
}
