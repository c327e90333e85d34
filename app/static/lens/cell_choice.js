// The list of cells to choose from: those of the model's catalogue, and those found for a passage.

import { cellId, cellLabel, isWeak, parseCell } from "./cell.js";
import { make } from "../ui/dom.js";

export class CellChoice {
  /** `select`: a <select> element. `onChange()`: the user chose another cell. */
  constructor(select, onChange) {
    Object.assign(this, { select, catalogue: [], found: [], linked: [] });
    select.addEventListener("change", onChange);
    this.#show();
  }

  /** The chosen cell, see cell.js, or null if there is none. */
  get current() {
    return this.options[this.select.selectedIndex] ?? null;
  }

  setCatalogue(cells) {
    const id = this.#currentId;
    this.catalogue = cells;
    this.linked = this.linked.filter(
      (linked) => !cells.some((cell) => cellId(cell) === cellId(linked)),
    );
    this.#show(id);
  }

  /** Lists the cells that were found for a passage, and chooses the first of them. */
  setFound(cells) {
    this.found = cells;
    this.#show();
    this.select.selectedIndex = 0;
  }

  /** Removes the cells that were found. If one of them is chosen, it stays so, on its own. */
  forgetFound() {
    const { current } = this;
    this.found = [];
    if (current?.passage) this.choose(cellId(current));
    else this.#show(this.#currentId);
  }

  /** Chooses the cell with an id. A cell that is not listed becomes part of the list. */
  choose(id) {
    const cell = parseCell(id);
    if (!cell) return;
    const isListed = [...this.found, ...this.catalogue].some((each) => cellId(each) === id);
    this.linked = isListed ? [] : [cell];
    this.#show(id);
  }

  get #currentId() {
    return this.current && cellId(this.current);
  }

  #show(id = null) {
    const groups = [
      ["Track the passage", this.found],
      ["Chosen", this.linked],
      ["Track a property", this.catalogue.filter((cell) => !isWeak(cell))],
      ["Hardly track a property", this.catalogue.filter(isWeak)],
    ].filter(([, cells]) => cells.length);
    this.options = groups.flatMap(([, cells]) => cells);
    this.select.replaceChildren(...groups.map(toGroup));
    const index = this.options.findIndex((cell) => cellId(cell) === id);
    this.select.selectedIndex = index < 0 && this.options.length ? 0 : index;
    this.select.disabled = this.options.length === 0;
  }
}

function toGroup([label, cells]) {
  const group = make("optgroup", "", ...cells.map((cell) => make("option", "", cellLabel(cell))));
  group.label = label;
  return group;
}
