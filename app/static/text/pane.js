// A pane: a text with its chart and statistics. Pointer, touch and keyboard reach the alternatives
// of each character.

import * as alternatives from "./alternatives.js";
import { announce } from "../ui/announcer.js";
import { makeCellLens } from "../lens/cell_lens.js";
import { Chart } from "../ui/chart.js";
import { make } from "../ui/dom.js";
import { countOf } from "../ui/numbers.js";
import { showStatistics, textStatistics } from "./statistics.js";
import { surprisalLens } from "../lens/surprisal_lens.js";
import { wordTarget } from "./text_position.js";
import { TextView } from "./text_view.js";

const REFRESH_INTERVAL = 120; // milliseconds between updates of chart and statistics
const WHOLE = 1500; // characters of a text that is shown as a whole; a longer one scrolls
const KEYBOARD_HINTS = {
  surprisal: "The left and right arrow keys move between characters. Enter opens the alternatives.",
  cells:
    "The left and right arrow keys move between characters and announce the value of the cell. " +
    "With Shift, they select a passage; with Control and Shift, word by word.",
};

const [LEFT, RIGHT] = ["ArrowLeft", "ArrowRight"];

let paneCount = 0;

export class Pane {
  /**
   * `label` names the text for screen readers; `emptyMessage` is shown while there is no text.
   * `onChoose(index, token)` is called when the user picks an alternative for a character. `curve`
   * is what the chart shows instead of the curve of the surprisal lens. `onStatistics()` is called
   * when the statistics may have changed.
   */
  constructor(options) {
    const { label, emptyMessage, onChoose, onStatistics, curve = surprisalLens.curve } = options;
    this.onStatistics = onStatistics ?? (() => {});
    this.surprisalCurve = curve;
    paneCount += 1;
    this.onChoose = onChoose;
    this.lens = surprisalLens; // null: the text has no colors
    this.#build(label, emptyMessage, `sheet-hint-${paneCount}`);
    this.chart = new Chart(this.canvas);
    this.view = new TextView(this.sheet, this.text, this.lens, () => this.#onGrow());
    this.extraStatistics = [];
    this.cursor = -1; // the index of the character that the keyboard has reached
    this.anchor = null; // the index of the character at which a selection with the keyboard began
    this.hovered = null; // the index of the character below the pointer
    this.#listen();
    this.setLens(this.lens);
  }

  #build(label, emptyMessage, hintId) {
    this.prime = make("span", "prime");
    this.text = make("span", "text");
    this.empty = make("p", "empty", emptyMessage);
    this.hint = make("p", "visually-hidden");
    this.hint.id = hintId;
    const content = make("div", "content", this.prime, this.text);
    content.dir = "auto"; // the direction of the text's script
    this.sheet = make("div", "sheet", this.empty, content, this.hint);
    this.sheet.tabIndex = 0;
    this.sheet.setAttribute("role", "group");
    this.sheet.setAttribute("aria-label", label);
    this.sheet.setAttribute("aria-describedby", hintId);
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.caption = make("span");
    this.readOut = make("span", "read-out"); // screen readers hear it as an announcement
    this.readOut.setAttribute("aria-hidden", "true");
    const caption = make("figcaption", "", this.caption, this.readOut);
    this.figure = make("figure", "chart", caption, this.canvas);
    this.statistics = make("dl", "statistics");
  }

  /** What a comparison says of the text, as pairs of a label and a value. */
  get facts() {
    return [...textStatistics(this.view.records), ...this.extraStatistics.slice(0, 1)];
  }

  get #curve() {
    return this.lens === surprisalLens ? this.surprisalCurve : this.lens?.curve;
  }

  /** Shows the text through a lens; null hides the colors, the chart and the alternatives. */
  setLens(lens) {
    alternatives.hide();
    this.readOut.textContent = "";
    this.lens = lens;
    this.sheet.classList.toggle("colored", lens !== null);
    this.hint.textContent = KEYBOARD_HINTS[lens?.name] ?? "";
    this.caption.textContent = this.#curve?.caption ?? "";
    const shown = lens ?? surprisalLens;
    if (shown !== this.view.lens) this.view.setLens(shown);
    this.refresh();
  }

  /**
   * Shows a text: a prime, and the records after it. `cursor` is the index of the character from
   * which the arrow keys start, or -1 to start before the first one.
   */
  show(prime, records, cursor = -1) {
    alternatives.hide();
    this.view.clear();
    if (this.lens?.name === "cells") this.setLens(makeCellLens()); // the values are of another text
    this.cursor = cursor;
    this.anchor = null;
    this.hovered = null;
    this.prime.textContent = prime;
    this.extraStatistics = [];
    this.view.set(records);
    this.refresh();
  }

  /** Replaces the records by others of the same text, for example with scores. */
  replaceRecords(records) {
    alternatives.hide();
    this.view.set(records);
    this.refresh();
  }

  clear() {
    this.show("", []);
  }

  /** Shows statistics after those of the text itself. */
  addStatistics(statistics) {
    this.extraStatistics = statistics;
    this.refresh();
  }

  #onGrow() {
    if (performance.now() - this.refreshedAt > REFRESH_INTERVAL) this.refresh();
  }

  refresh() {
    this.refreshedAt = performance.now();
    const { records } = this.view;
    this.sheet.classList.toggle("long", records.length > WHOLE);
    this.empty.hidden = records.length > 0 || this.prime.textContent !== "";
    const curve = this.#curve;
    const hasValues = records.some((record, index) => curve?.valueOf(record, index) !== undefined);
    this.figure.hidden = !hasValues;
    const statistics = records.length ? [...textStatistics(records), ...this.extraStatistics] : [];
    showStatistics(this.statistics, statistics);
    this.onStatistics();
    if (!hasValues) return;
    this.chart.show(records, curve);
    const length = countOf(records.length, "character");
    const label = `${curve.name} along the text, in ${curve.unit}, over ${length}`;
    this.canvas.setAttribute("aria-label", label);
  }

  /**
   * Highlights the character at an index and shows what the lens says about it; null: none.
   * Options: `announce`, whether screen readers read it out; `pin`, whether it stays when the
   * pointer moves on.
   */
  point(index, { announce: isAnnounced = false, pin = false } = {}) {
    const element = this.lens ? this.view.highlight(index) : null;
    this.chart.highlight(element ? index : null);
    if (this.lens?.readOut) this.#showReadOut(element ? index : null, isAnnounced);
    else if (element) this.#showAlternatives(element, index, { announce: isAnnounced, pin });
    else alternatives.hideSoon();
  }

  #showReadOut(index, isAnnounced) {
    const message = index === null ? null : this.lens.readOut(this.view.records[index], index);
    this.readOut.textContent = message?.shown ?? "";
    if (isAnnounced && message) announce(message.spoken);
  }

  #showAlternatives(element, index, options) {
    this.onHide ??= () => {
      this.view.highlight(null);
      this.chart.highlight(null);
    };
    alternatives.show(element, this.view.records[index], {
      onChoose: (token) => this.onChoose(index, token),
      sheet: this.sheet,
      onHide: this.onHide,
      ...options,
    });
  }

  #listen() {
    this.#listenToPointer();
    this.sheet.addEventListener("click", (event) => {
      const index = this.view.indexAt(event);
      if (index === undefined) return;
      this.cursor = index;
      this.anchor = null;
      this.point(index, { pin: true });
    });
    this.sheet.addEventListener("keydown", (event) => this.#onKey(event));
    this.canvas.addEventListener("click", (event) => {
      this.#moveCursor(this.chart.indexAt(event.offsetX));
    });
  }

  #listenToPointer() {
    this.sheet.addEventListener("pointermove", (event) => {
      // A text that moves below a resting pointer also causes events, but without a movement.
      if (event.pointerType !== "mouse" || !(event.movementX || event.movementY)) return;
      const index = this.view.indexAt(event) ?? null;
      if (index === this.hovered) return;
      this.hovered = index;
      if (!alternatives.staysOpen()) this.point(index);
    });
    this.sheet.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return;
      this.hovered = null;
      if (this.lens?.readOut) this.point(null);
      else alternatives.hideSoon();
    });
  }

  #onKey(event) {
    if (event.metaKey || !this.lens) return;
    const isSelecting = event.shiftKey && this.lens.name === "cells";
    const isByWord = event.ctrlKey || event.altKey;
    const target = isByWord && !isSelecting ? undefined : this.#target(event.key, isByWord);
    if (target !== undefined) {
      event.preventDefault();
      if (isSelecting) this.#select(target);
      else this.#moveCursor(target);
    } else if (["Enter", "ArrowDown"].includes(event.key) && alternatives.isOpen()) {
      event.preventDefault();
      alternatives.focusFirst();
    }
  }

  /** The index of the character to which a key moves the cursor, or undefined. */
  #target(key, isByWord) {
    const { records } = this.view;
    const last = records.length - 1;
    if (last < 0) return undefined;
    const [forward, back] = this.#isRightToLeft() ? [LEFT, RIGHT] : [RIGHT, LEFT];
    const step = (sign) => (isByWord ? wordTarget(records, this.cursor, sign) : this.cursor + sign);
    const within = (index) => Math.max(0, Math.min(last, index));
    if (key === forward) return within(step(1));
    if (key === back) return within(step(-1));
    return { Home: 0, End: last }[key];
  }

  #isRightToLeft() {
    return getComputedStyle(this.text).direction === "rtl";
  }

  #moveCursor(index) {
    this.cursor = index;
    this.anchor = null;
    this.view.reveal(index);
    this.point(index, { announce: true });
  }

  /** Extends the selection from where it began to the character at an index. */
  #select(index) {
    this.anchor ??= Math.max(0, this.cursor);
    this.cursor = index;
    this.view.reveal(index);
    this.point(index);
    const [from, to] = [Math.min(this.anchor, index), Math.max(this.anchor, index) + 1];
    this.view.select(from, to);
    announce(`${countOf(to - from, "character")} selected`);
  }
}
