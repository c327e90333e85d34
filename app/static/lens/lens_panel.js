// The lens of a panel's texts, and for the cell lens: the choice of the cell, its values, and the
// cells that track a passage.

import { isRefused } from "../server/api.js";
import { cellId, cellName, isSameCell, signed } from "./cell.js";
import { CellChoice } from "./cell_choice.js";
import { makeCellLens } from "./cell_lens.js";
import { findCells, readCell } from "../server/cell_request.js";
import { byId } from "../ui/dom.js";
import { showError } from "../form/error_messages.js";
import { LensChoice } from "./lens_choice.js";
import { newLens } from "./lenses.js";
import { chosenModel } from "../form/model_choice.js";
import { countOf, formatCount } from "../ui/numbers.js";
import { PassageFinder } from "../text/passage_finder.js";
import { StatusLine } from "../ui/status_line.js";

const SHORT_TEXT = 1000; // characters; in a shorter text, many cells correlate by chance
const SURE = 0.6; // absolute correlation that hardly occurs by chance in a longer text
const LONG_TEXT = 5000; // characters; reading a longer text takes a noticeable time
const NO_CATALOGUE =
  "This model has no catalogue of cells. To make one, run: " +
  "python -m training cells CHECKPOINT --text FILE. You can still find cells for a passage.";
const UNFINISHED = "This text is not complete yet. Wait until it is, or stop it.";
const NOT_VARYING =
  "No cell can tell this passage from the rest of the text, because there is no rest. " +
  "Select a shorter passage.";

export class LensPanel {
  /**
   * `prefix`: the id of the panel, with which the ids of its elements begin. `panes()` returns the
   * panes, and `texts()` those with a complete text, as { pane, prime, model, note }. `onLens()`:
   * the user chose another lens. `onCell()`: another cell is chosen. `onLink()`: the address is to
   * lead to the same lens and cell.
   */
  constructor(prefix, { panes, texts, onLens, onCell, onLink }) {
    Object.assign(this, { panes, texts, onCell, onLink });
    this.controller = null; // of the running requests
    this.marked = null; // the passage for which cells were found, as { records, span }
    this.catalogue = null; // of the model, when it is known
    this.lens = new LensChoice(byId(prefix), () => {
      this.#apply();
      onLens?.();
      onLink();
    });
    this.cells = new CellChoice(byId(`${prefix}-cell`), () => {
      onCell?.();
      onLink();
      this.read();
    });
    this.statusLine = new StatusLine(`${prefix}-cells-`, byId(`${prefix}-cells`));
    this.finder = new PassageFinder(prefix, {
      panes: () => (this.isActive ? panes() : []),
      onFind: (pane, span) => this.#find(pane, span),
    });
  }

  get isActive() {
    return this.lens.name === "cells";
  }

  get cell() {
    return this.cells.current;
  }

  /** How the panel shows its texts, as in a link, see permalink.js. */
  get view() {
    const { name } = this.lens;
    const cell = this.isActive && this.cell ? cellId(this.cell) : "";
    return { lens: name === "surprisal" ? "" : name, cell };
  }

  /** Shows the texts as a link describes it. */
  set view({ lens, cell }) {
    this.lens.name = lens;
    if (cell) this.cells.choose(cell);
    this.onCell?.();
    this.#apply();
  }

  /** Lists the cells that the model tracks properties with, as GET /info returns them. */
  setCatalogue(cells) {
    const isKnown = JSON.stringify(cells) === JSON.stringify(this.catalogue);
    if (isKnown) return; // the card is read again after an error, which must not end a request
    this.catalogue = cells;
    this.cells.setCatalogue(cells);
    this.onCell?.();
    this.read();
  }

  #apply() {
    const { name } = this.lens;
    for (const pane of this.panes())
      if ((pane.lens?.name ?? "off") !== name) pane.setLens(newLens(name));
    this.read();
  }

  /** Reads the chosen cell along the texts that do not show it yet. */
  read() {
    this.#forget();
    const tracked = this.cell;
    if (this.isActive && !tracked) this.statusLine.show(this.catalogue ? NO_CATALOGUE : "");
    if (!this.isActive || !tracked) return this.#abort();
    const readAnyway = (options) => this.#readAll(tracked, { ...options, isAnyModel: true });
    const retry = ["Read with this model", () => this.#run(readAnyway)];
    return this.#run((options) => this.#readAll(tracked, options), retry);
  }

  /** Forgets passages of texts that are no longer there. */
  #forget() {
    this.finder.forget();
    const isThere = this.panes().some((pane) => pane.view.records === this.marked?.records);
    if (this.marked && !isThere) this.cells.forgetFound();
    if (!isThere) this.marked = null;
  }

  async #readAll(tracked, options) {
    for (const text of this.texts()) await this.#readText(text, tracked, options);
    this.statusLine.show("");
  }

  async #readText({ pane, prime, model, note }, tracked, { isAnyModel, ...options }) {
    const { records } = pane.view;
    const isMarked = tracked.passage && this.marked?.records === records;
    const span = isMarked ? this.marked.span : null;
    if (isShown(pane, tracked, span)) return;
    const text = { prime, records, model: isAnyModel ? chosenModel() : model };
    const values = await readCell(text, tracked, {
      ...options,
      onProgress: (done, total) =>
        total > LONG_TEXT && this.statusLine.show(progressMessage(done, total)),
    });
    options.signal.throwIfAborted();
    if (pane.view.records !== records) return; // another text is shown by now, and read later
    pane.setLens(makeCellLens({ tracked, values, span, note }));
  }

  #find(pane, span) {
    const text = this.texts().find((each) => each.pane === pane);
    if (!text) return this.statusLine.show(UNFINISHED, { isError: true });
    const { prime, model } = text;
    const { records } = pane.view;
    return this.#run(async (options) => {
      this.statusLine.show("Finding cells…");
      const cells = await findCells({ prime, records, model }, span, options);
      this.marked = { records, span };
      this.cells.setFound(cells);
      this.onCell?.();
      this.onLink();
      await this.#readAll(this.cell, options);
      this.statusLine.show(foundMessage(cells, records.length));
    });
  }

  /** Runs requests in place of the ones before. `retry`: the remedy if the model is another. */
  async #run(action, retry = null) {
    this.#abort();
    const controller = new AbortController();
    const { signal } = controller;
    this.controller = controller;
    const options = {
      signal,
      onWait: (wait) => this.statusLine.showWait(wait),
      onGiveUp: (failure) =>
        new Promise((resolve) => this.statusLine.showGivenUp(failure, false, resolve)),
    };
    try {
      await action(options);
    } catch (error) {
      if (!signal.aborted) this.#showError(error, retry);
    }
  }

  #abort() {
    this.controller?.abort();
  }

  #showError(error, retry) {
    if (isRefused(error, "find")) this.statusLine.show(NOT_VARYING, { isError: true });
    else showError(error, [], this.statusLine, { retry });
  }
}

const isShown = ({ lens, view }, tracked, span) =>
  lens?.name === "cells" &&
  isSameCell(lens.tracked, tracked) &&
  lens.tracked.property === tracked.property &&
  lens.values.length === view.records.length &&
  lens.span === span;

const progressMessage = (done, total) =>
  `Reading: ${formatCount(done)} of ${formatCount(total)} characters…`;

function foundMessage([closest, ...others], length) {
  const found = countOf(others.length + 1, "cell");
  const r = signed(closest.correlation);
  const isSafe = length >= SHORT_TEXT && Math.abs(closest.correlation) >= SURE;
  const doubt = isSafe ? "" : " With so many cells, that may be chance: try a longer text.";
  return `${found} found. The closest is ${cellName(closest)}, with r = ${r}.${doubt}`;
}
