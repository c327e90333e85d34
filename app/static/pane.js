// Pane: a text on its sheet, with its chart and its figures, and the way to a character's
// alternatives by pointer, by touch and by keyboard.

import * as alternatives from "./alternatives.js";
import { Chart } from "./chart.js";
import { make } from "./dom.js";
import { fill, ofText } from "./figures.js";
import { TextView } from "./text_view.js";

const PACE = 120; // milliseconds between two looks at the chart and the figures of a growing text

let panes = 0;

export class Pane {
  /** `onChoose(place, token)`: the text is to go on from a place with another character. */
  constructor({ label, empty, onChoose }) {
    panes += 1;
    this.onChoose = onChoose;
    this.#build(label, empty, `sheet-hint-${panes}`);
    this.chart = new Chart(this.canvas);
    this.view = new TextView(this.sheet, this.text, () => this.#grow());
    this.end = [];
    this.#listen();
    this.refresh();
  }

  #build(label, empty, hintId) {
    this.prime = make("span", "prime");
    this.text = make("span", "text");
    this.empty = make("p", "empty", empty);
    const hint = make(
      "p",
      "unseen",
      "Left and right go from character to character, Enter to what it might have been.",
    );
    hint.id = hintId;
    const writing = make("div", "writing", this.prime, this.text);
    this.sheet = make("div", "sheet", this.empty, writing, hint);
    this.sheet.tabIndex = 0;
    this.sheet.setAttribute("role", "group");
    this.sheet.setAttribute("aria-label", label);
    this.sheet.setAttribute("aria-describedby", hintId);
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    const caption = make("figcaption", "", "How open each choice was (entropy); click to go there");
    this.figure = make("figure", "chart", caption, this.canvas);
    this.figures = make("dl", "figures");
  }

  /** Shows or hides colours, and with them what is behind a character. */
  set coloured(on) {
    this.sheet.classList.toggle("coloured", on);
    this.isColoured = on;
    alternatives.hide();
    this.refresh();
  }

  show(prime, records) {
    alternatives.hide();
    this.prime.textContent = prime;
    this.end = [];
    this.view.set(records);
    this.refresh();
  }

  clear() {
    this.show("", []);
  }

  /** Figures that follow those of the text itself. */
  tell(figures) {
    this.end = figures;
    this.refresh();
  }

  #grow() {
    if (performance.now() - this.refreshed > PACE) this.refresh();
  }

  refresh() {
    this.refreshed = performance.now();
    const { records } = this.view;
    this.empty.hidden = records.length > 0 || this.prime.textContent !== "";
    this.figure.hidden =
      !this.isColoured || !records.some((record) => record.entropy !== undefined);
    this.chart.show(records);
    fill(this.figures, records.length ? [...ofText(records), ...this.end] : []);
    this.canvas.setAttribute(
      "aria-label",
      `Entropy along the text, in bits, over ${records.length} characters`,
    );
  }

  /** Shows what a character might have been. */
  point(place, announce = false) {
    const element = this.isColoured ? this.view.point(place) : null;
    this.chart.point(element ? place : null);
    if (!element) return alternatives.hideSoon();
    this.hidden ??= () => {
      this.view.point(null);
      this.chart.point(null);
    };
    return alternatives.show(element, this.view.records[place], {
      choose: (token) => this.onChoose(place, token),
      sheet: this.sheet,
      announce,
      hidden: this.hidden,
    });
  }

  #listen() {
    this.place = -1; // of the keyboard's cursor
    const pointed = (event) => this.view.placeOf(event.target);
    let under = null; // the element beneath the pointer
    this.sheet.addEventListener("pointermove", (event) => {
      // A text that moves beneath a pointer at rest brings events as well, without a movement.
      if (event.pointerType !== "mouse" || !(event.movementX || event.movementY)) return;
      if (event.target === under) return;
      under = event.target;
      this.point(pointed(event) ?? null);
    });
    this.sheet.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse") return;
      under = null;
      alternatives.hideSoon();
    });
    this.sheet.addEventListener("click", (event) => {
      const place = pointed(event);
      if (place === undefined) return;
      this.place = place;
      this.point(place);
    });
    this.sheet.addEventListener("keydown", (event) => this.#onKey(event));
    this.canvas.addEventListener("click", (event) => {
      this.#go(this.chart.placeAt(event.offsetX));
    });
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.isColoured) return;
    const last = this.view.records.length - 1;
    const target = {
      ArrowRight: Math.min(last, this.place + 1),
      ArrowLeft: Math.max(0, this.place - 1),
      Home: 0,
      End: last,
    }[event.key];
    if (target !== undefined) {
      event.preventDefault();
      this.#go(target);
    } else if (["Enter", "ArrowDown"].includes(event.key) && alternatives.isOpen()) {
      event.preventDefault();
      alternatives.enter();
    }
  }

  #go(place) {
    this.place = place;
    this.view.elements.get(place)?.scrollIntoView({ block: "nearest" });
    this.point(place, true);
  }
}
