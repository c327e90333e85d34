// Columns: the texts side by side, one to three; the first is set by the form beside them.

import { Column } from "./column.js";

const NAMES = ["A", "B", "C"];
const OTHERS = [{ top_k: "1" }, { top_k: "", temperature: "1.2" }]; // to compare with, at first

export class Columns {
  /** `onFork(column, records)`: a text is to go on from these; `onRemove(column)`: it is gone. */
  constructor({ onFork, onRemove }) {
    this.root = document.querySelector("#columns");
    this.onFork = onFork;
    this.onRemove = onRemove;
    this.all = [];
    this.isColoured = true;
    this.add(null);
    this.first.pane.text.id = "text";
  }

  get first() {
    return this.all[0];
  }

  get isFull() {
    return this.all.length === NAMES.length;
  }

  /** Those that hold a text. */
  get written() {
    return this.all.filter((column) => column.made);
  }

  set coloured(on) {
    this.isColoured = on;
    for (const column of this.all) column.pane.coloured = on;
  }

  /** One more, with sampling settings of its own; null for the first, which has none. */
  add(own) {
    const column = new Column({
      own,
      onFork: this.onFork,
      onRemove: (gone) => this.#remove(gone),
    });
    column.pane.coloured = this.isColoured;
    this.all.push(column);
    this.root.append(column.root);
    this.#name();
  }

  /** One more, with settings that differ from the first one's. */
  addOther(settings) {
    this.add({ ...settings, ...OTHERS[this.all.length - 1] });
    this.all.at(-1).inputs[0].focus();
  }

  /** As many as there are settings, each with its own. */
  fit(texts) {
    this.keep(texts.length);
    while (this.all.length < texts.length) this.add(texts[this.all.length]);
    this.all.forEach((column, place) => {
      column.own = texts[place];
    });
  }

  keep(count) {
    for (const column of this.all.slice(count)) this.#remove(column);
  }

  #remove(column) {
    this.all.splice(this.all.indexOf(column), 1);
    column.root.remove();
    column.pane.chart.leave();
    this.#name();
    this.onRemove(column);
  }

  #name() {
    const several = this.all.length > 1;
    this.root.classList.toggle("several", several);
    this.all.forEach((column, place) => {
      column.name = several ? NAMES[place] : "";
    });
  }
}
