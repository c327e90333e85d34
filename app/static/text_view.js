// The characters of a text as DOM elements, added once per frame.

import { make } from "./dom.js";
import { PacedBuffer } from "./paced_buffer.js";

const FOLLOW_DISTANCE = 40; // pixels from the end within which the view scrolls with the text
const MIN_BLOCK = 400; // characters; the next line end closes the block, which has its own layout

export class TextView {
  /**
   * Shows records (see scoring.js) in the element `text`, which scrolls inside the element `sheet`,
   * in the colors of a lens (see surprisal_lens.js). Calls `onGrow()` after each frame that added
   * characters.
   *
   * `records` are those that are shown. Others may wait in the buffer until the pace allows them.
   */
  constructor(sheet, text, lens, onGrow) {
    this.sheet = sheet;
    this.text = text;
    this.onGrow = onGrow;
    this.lens = lens;
    this.buffer = new PacedBuffer();
    for (const type of ["wheel", "touchmove", "pointerdown", "keydown"])
      sheet.addEventListener(type, () => this.#onUse(), { passive: true });
    this.clear();
  }

  clear() {
    this.#cancelFrame();
    this.buffer.clear();
    this.records = [];
    this.elements = new Map(); // index of a record with scores -> element
    this.indices = new WeakMap(); // element -> index
    this.highlighted = null;
    this.isFollowing = true; // whether the view scrolls with the end of the text, if it is visible
    this.isAtEnd = false; // the view has scrolled to the end, and the user has not scrolled since
    this.waiters = [];
    this.text.replaceChildren();
    this.#startBlock();
  }

  /** Replaces all records, and shows the new ones at once. */
  set(records) {
    this.clear();
    this.#show(records);
    this.onGrow();
  }

  /** Whether the pace holds back records that have been received. */
  get isHeldBack() {
    return this.buffer.isHeldBack;
  }

  append(records) {
    this.buffer.add(records);
    this.#schedule();
  }

  /** Resolves when all records are shown, or discarded. */
  allShown() {
    if (!this.buffer.size) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Shows all records now. */
  flush() {
    this.#cancelFrame();
    this.#show(this.buffer.takeAll());
    this.onGrow();
    this.#notify();
  }

  /** Discards the records that are not shown yet. */
  discardHidden() {
    this.#cancelFrame();
    this.buffer.clear();
    this.onGrow();
    this.#notify();
  }

  /** Keeps the character at an index visible until the user scrolls. */
  keepVisible(index) {
    this.isFollowing = false;
    this.reveal(index);
  }

  /** Scrolls to the character at an index, if it is not visible. */
  reveal(index) {
    this.isAtEnd = false;
    this.elements.get(index)?.scrollIntoView({ block: "nearest" });
  }

  /** Scrolls to the end of the text. */
  scrollToEnd() {
    const { sheet } = this;
    this.isAtEnd = true;
    sheet.scrollTop = sheet.scrollHeight;
    // Blocks that have become visible get their real height only in the next frame.
    requestAnimationFrame(() => {
      if (this.isAtEnd && this.isFollowing) sheet.scrollTop = sheet.scrollHeight;
    });
  }

  /** The user may scroll now: whether the view is at the end is to be measured. */
  #onUse() {
    this.isFollowing = true;
    this.isAtEnd = false;
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

  #cancelFrame() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  #schedule() {
    if (this.frame || !this.buffer.size) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const records = this.buffer.take();
      if (records.length) this.#grow(records);
      this.#notify();
      this.#schedule();
    });
  }

  #grow(records) {
    const { scrollTop, scrollHeight, clientHeight } = this.sheet;
    const isAtEnd = this.isAtEnd || scrollTop + clientHeight > scrollHeight - FOLLOW_DISTANCE;
    this.#show(records);
    if (isAtEnd && this.isFollowing) this.scrollToEnd();
    this.onGrow();
  }

  #notify() {
    if (!this.buffer.size) this.waiters.splice(0).forEach((resolve) => resolve());
  }

  #show(records) {
    let nodes = [""]; // strings and elements alternate; the block gets them in one call
    for (const record of records) {
      this.blockLength += 1;
      const endsBlock = record.token === "\n" && this.blockLength >= MIN_BLOCK;
      if (record.logprob === undefined && !endsBlock) nodes[nodes.length - 1] += record.token;
      else nodes.push(this.#makeCharacter(record, endsBlock), "");
      this.records.push(record);
      if (!endsBlock) continue;
      this.block.append(...nodes.filter(Boolean));
      this.#startBlock();
      nodes = [""];
    }
    this.block.append(...nodes.filter(Boolean));
  }

  #makeCharacter(record, endsBlock) {
    const element = document.createElement("span");
    element.textContent = record.token;
    element.classList.toggle("block-end", endsBlock);
    if (record.logprob === undefined) return element;
    element.classList.add("c", this.lens.classOf(record));
    element.classList.toggle("newline", record.token === "\n");
    element.classList.toggle("chosen", record.chosen === true);
    this.elements.set(this.records.length, element);
    this.indices.set(element, this.records.length);
    return element;
  }

  #startBlock() {
    this.block = make("span", "block");
    this.blockLength = 0;
    this.text.append(this.block);
  }
}
