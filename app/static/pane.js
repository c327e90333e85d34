// A pane: a text with its chart and statistics. Pointer, touch and keyboard reach the alternatives
// of each character.

import * as alternatives from "./alternatives.js";
import { Chart } from "./chart.js";
import { make } from "./dom.js";
import { showStatistics, textStatistics } from "./statistics.js";
import { surprisalLens } from "./surprisal_lens.js";
import { TextView } from "./text_view.js";

const REFRESH_INTERVAL = 120; // milliseconds between updates of chart and statistics
const KEYBOARD_HINT =
  "The left and right arrow keys move between characters. Enter opens the alternatives.";

const [LEFT, RIGHT] = ["ArrowLeft", "ArrowRight"];

let paneCount = 0;

export class Pane {
  /**
   * `label` names the text for screen readers; `emptyMessage` is shown while there is no text.
   * `onChoose(index, token)` is called when the user picks an alternative for a character.
   */
  constructor({ label, emptyMessage, onChoose }) {
    paneCount += 1;
    this.onChoose = onChoose;
    this.lens = surprisalLens;
    this.#build(label, emptyMessage, `sheet-hint-${paneCount}`);
    this.chart = new Chart(this.canvas, this.lens.curve);
    this.view = new TextView(this.sheet, this.text, this.lens, () => this.#onGrow());
    this.extraStatistics = [];
    this.cursor = -1; // the index of the character that the keyboard has reached
    this.#listen();
    this.refresh();
  }

  #build(label, emptyMessage, hintId) {
    this.prime = make("span", "prime");
    this.text = make("span", "text");
    this.empty = make("p", "empty", emptyMessage);
    const hint = make("p", "visually-hidden", KEYBOARD_HINT);
    hint.id = hintId;
    const content = make("div", "content", this.prime, this.text);
    content.dir = "auto"; // the direction of the text's script
    this.sheet = make("div", "sheet", this.empty, content, hint);
    this.sheet.tabIndex = 0;
    this.sheet.setAttribute("role", "group");
    this.sheet.setAttribute("aria-label", label);
    this.sheet.setAttribute("aria-describedby", hintId);
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    const caption = make("figcaption", "", this.lens.curve.caption);
    this.figure = make("figure", "chart", caption, this.canvas);
    this.statistics = make("dl", "statistics");
  }

  /** Shows or hides the colors and the chart, and allows or prevents opening alternatives. */
  set colored(isColored) {
    this.sheet.classList.toggle("colored", isColored);
    this.isColored = isColored;
    alternatives.hide();
    this.refresh();
  }

  /**
   * Shows a text: a prime, and the records after it. `cursor` is the index of the character from
   * which the arrow keys start, or -1 to start before the first one.
   */
  show(prime, records, cursor = -1) {
    alternatives.hide();
    this.cursor = cursor;
    this.prime.textContent = prime;
    this.extraStatistics = [];
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
    this.empty.hidden = records.length > 0 || this.prime.textContent !== "";
    const { curve } = this.lens;
    const hasValues = records.some((record) => curve.valueOf(record) !== undefined);
    this.figure.hidden = !this.isColored || !hasValues;
    this.chart.show(records);
    const statistics = records.length ? [...textStatistics(records), ...this.extraStatistics] : [];
    showStatistics(this.statistics, statistics);
    this.canvas.setAttribute(
      "aria-label",
      `${curve.name} along the text, in ${curve.unit}, over ${records.length} characters`,
    );
  }

  /** Highlights the character at an index and shows its alternatives; null hides them soon. */
  showAlternatives(index, announce = false) {
    const element = this.isColored ? this.view.highlight(index) : null;
    this.chart.highlight(element ? index : null);
    if (!element) return alternatives.hideSoon();
    this.onHide ??= () => {
      this.view.highlight(null);
      this.chart.highlight(null);
    };
    return alternatives.show(element, this.view.records[index], {
      onChoose: (token) => this.onChoose(index, token),
      sheet: this.sheet,
      announce,
      onHide: this.onHide,
    });
  }

  #listen() {
    this.#listenToPointer();
    this.sheet.addEventListener("click", (event) => {
      const index = this.view.indexOf(event.target);
      if (index === undefined) return;
      this.cursor = index;
      this.showAlternatives(index);
    });
    this.sheet.addEventListener("keydown", (event) => this.#onKey(event));
    this.canvas.addEventListener("click", (event) => {
      this.#moveCursor(this.chart.indexAt(event.offsetX));
    });
  }

  #listenToPointer() {
    let hovered = null; // the element below the pointer
    this.sheet.addEventListener("pointermove", (event) => {
      // A text that moves below a resting pointer also causes events, but without a movement.
      if (event.pointerType !== "mouse" || !(event.movementX || event.movementY)) return;
      if (event.target === hovered) return;
      hovered = event.target;
      this.showAlternatives(this.view.indexOf(event.target) ?? null);
    });
    this.sheet.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return;
      hovered = null;
      alternatives.hideSoon();
    });
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.isColored) return;
    const last = this.view.records.length - 1;
    if (last < 0) return;
    const [forward, back] = this.#isRightToLeft() ? [LEFT, RIGHT] : [RIGHT, LEFT];
    const target = {
      [forward]: Math.min(last, this.cursor + 1),
      [back]: Math.max(0, Math.min(last, this.cursor - 1)),
      Home: 0,
      End: last,
    }[event.key];
    if (target !== undefined) {
      event.preventDefault();
      this.#moveCursor(target);
    } else if (["Enter", "ArrowDown"].includes(event.key) && alternatives.isOpen()) {
      event.preventDefault();
      alternatives.focusFirst();
    }
  }

  #isRightToLeft() {
    return getComputedStyle(this.text).direction === "rtl";
  }

  #moveCursor(index) {
    this.cursor = index;
    this.view.reveal(index);
    this.showAlternatives(index, true);
  }
}
