// TextView: characters on a sheet, put there once per frame; a cursor to point at one of them.

import { make } from "./dom.js";
import { warmth } from "./surprise.js";

const MOST_PER_FRAME = 250;
const BLOCK = 400; // characters, after which a line begins a block that is laid out by itself

/**
 * Records are { token } or, with scores, { token, logprob, rank, entropy, top, probability }; and
 * what was drawn here has the settings it was drawn with.
 * `onGrow()` is called after each frame that added some.
 */
export class TextView {
  constructor(sheet, text, onGrow) {
    this.sheet = sheet;
    this.text = text;
    this.onGrow = onGrow;
    for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"])
      sheet.addEventListener(kind, () => (this.follows = true), { passive: true });
    this.clear();
  }

  clear() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.records = [];
    this.elements = new Map(); // of those that have scores, by their place
    this.places = new WeakMap();
    this.shown = 0;
    this.here = null;
    this.follows = true; // the end, if that is in sight
    this.waiting = [];
    this.text.replaceChildren();
    this.#beginBlock();
  }

  /** Replaces everything, at once. */
  set(records) {
    this.clear();
    this.records = records;
    this.flush();
  }

  append(records) {
    for (const record of records) this.records.push(record);
    this.#schedule();
  }

  /** Resolves when everything is to be seen. */
  drained() {
    if (this.shown === this.records.length) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Shows all there is, now. */
  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.#show(this.records.length);
    this.onGrow();
  }

  /** Keeps a place in sight, until the reader scrolls. */
  stayAt(place) {
    this.follows = false;
    this.elements.get(place)?.scrollIntoView({ block: "nearest" });
  }

  /** The place of the character that an element shows, or undefined. */
  placeOf(element) {
    return this.places.get(element);
  }

  /** Marks the character at a place, and returns its element; null marks none. */
  point(place) {
    this.elements.get(this.here)?.classList.remove("here");
    this.here = this.elements.has(place) ? place : null;
    const element = this.elements.get(this.here);
    element?.classList.add("here");
    return element;
  }

  #schedule() {
    if (this.frame || this.shown === this.records.length) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const { scrollTop, scrollHeight, clientHeight } = this.sheet;
      const isAtEnd = scrollTop + clientHeight > scrollHeight - 40;
      this.#show(this.shown + MOST_PER_FRAME);
      if (isAtEnd && this.follows) this.sheet.scrollTop = this.sheet.scrollHeight;
      this.onGrow();
      this.#schedule();
    });
  }

  #show(end) {
    const last = Math.min(end, this.records.length);
    let pieces = [""]; // plain text and elements in turn, put into the block together
    for (; this.shown < last; this.shown += 1) {
      const record = this.records[this.shown];
      this.inBlock += 1;
      const ends = record.token === "\n" && this.inBlock >= BLOCK;
      if (record.logprob === undefined && !ends) pieces[pieces.length - 1] += record.token;
      else pieces.push(this.#character(record, ends), "");
      if (!ends) continue;
      this.block.append(...pieces.filter(Boolean));
      this.#beginBlock();
      pieces = [""];
    }
    this.block.append(...pieces.filter(Boolean));
    if (this.shown === this.records.length) this.waiting.splice(0).forEach((resolve) => resolve());
  }

  #character(record, ends) {
    const element = document.createElement("span");
    element.textContent = record.token;
    element.classList.toggle("end", ends);
    if (record.logprob === undefined) return element;
    element.classList.add("c", warmth(record));
    element.classList.toggle("nl", record.token === "\n");
    element.classList.toggle("chosen", record.chosen === true);
    this.elements.set(this.shown, element);
    this.places.set(element, this.shown);
    return element;
  }

  #beginBlock() {
    this.block = make("span", "block");
    this.inBlock = 0;
    this.text.append(this.block);
  }
}
