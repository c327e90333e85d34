// The characters of a text as DOM elements, added once per frame.

import { make } from "./dom.js";
import { colourClass } from "./surprisal.js";

const MAX_PER_FRAME = 250; // characters
const FOLLOW_DISTANCE = 40; // pixels from the end within which the view scrolls with the text
const MIN_BLOCK = 400; // characters; the next line end closes the block, which has its own layout

export class TextView {
  /**
   * Shows records (see scoring.js) in the element `text`, which scrolls inside the element `sheet`.
   * Calls `onGrow()` after each frame that added characters.
   */
  constructor(sheet, text, onGrow) {
    this.sheet = sheet;
    this.text = text;
    this.onGrow = onGrow;
    for (const type of ["wheel", "touchmove", "pointerdown", "keydown"])
      sheet.addEventListener(type, () => (this.isFollowing = true), { passive: true });
    this.clear();
  }

  clear() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.records = [];
    this.elements = new Map(); // index of a record with scores -> element
    this.indices = new WeakMap(); // element -> index
    this.shownCount = 0;
    this.highlighted = null;
    this.isFollowing = true; // whether the view scrolls with the end of the text, if it is visible
    this.waiters = [];
    this.text.replaceChildren();
    this.#startBlock();
  }

  /** Replaces all records, and shows the new ones at once. */
  set(records) {
    this.clear();
    this.records = records;
    this.flush();
  }

  append(records) {
    for (const record of records) this.records.push(record);
    this.#schedule();
  }

  /** Resolves when all records are shown. */
  allShown() {
    if (this.shownCount === this.records.length) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Shows all records now. */
  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.#show(this.records.length);
    this.onGrow();
  }

  /** Keeps the character at an index visible until the user scrolls. */
  keepVisible(index) {
    this.isFollowing = false;
    this.elements.get(index)?.scrollIntoView({ block: "nearest" });
  }

  /** The index of the character that an element shows, or undefined. */
  indexOf(element) {
    return this.indices.get(element);
  }

  /** Highlights the character at an index, or none if it is null. Returns its element, if any. */
  highlight(index) {
    this.elements.get(this.highlighted)?.classList.remove("highlighted");
    this.highlighted = this.elements.has(index) ? index : null;
    const element = this.elements.get(this.highlighted);
    element?.classList.add("highlighted");
    return element;
  }

  #schedule() {
    if (this.frame || this.shownCount === this.records.length) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const { scrollTop, scrollHeight, clientHeight } = this.sheet;
      const isAtEnd = scrollTop + clientHeight > scrollHeight - FOLLOW_DISTANCE;
      this.#show(this.shownCount + MAX_PER_FRAME);
      if (isAtEnd && this.isFollowing) this.sheet.scrollTop = this.sheet.scrollHeight;
      this.onGrow();
      this.#schedule();
    });
  }

  #show(end) {
    const last = Math.min(end, this.records.length);
    let nodes = [""]; // strings and elements alternate; the block gets them in one call
    for (; this.shownCount < last; this.shownCount += 1) {
      const record = this.records[this.shownCount];
      this.blockLength += 1;
      const endsBlock = record.token === "\n" && this.blockLength >= MIN_BLOCK;
      if (record.logprob === undefined && !endsBlock) nodes[nodes.length - 1] += record.token;
      else nodes.push(this.#makeCharacter(record, endsBlock), "");
      if (!endsBlock) continue;
      this.block.append(...nodes.filter(Boolean));
      this.#startBlock();
      nodes = [""];
    }
    this.block.append(...nodes.filter(Boolean));
    if (this.shownCount === this.records.length)
      this.waiters.splice(0).forEach((resolve) => resolve());
  }

  #makeCharacter(record, endsBlock) {
    const element = document.createElement("span");
    element.textContent = record.token;
    element.classList.toggle("block-end", endsBlock);
    if (record.logprob === undefined) return element;
    element.classList.add("c", colourClass(record));
    element.classList.toggle("newline", record.token === "\n");
    element.classList.toggle("chosen", record.chosen === true);
    this.elements.set(this.shownCount, element);
    this.indices.set(element, this.shownCount);
    return element;
  }

  #startBlock() {
    this.block = make("span", "block");
    this.blockLength = 0;
    this.text.append(this.block);
  }
}
