// The characters of a text as DOM elements, added once per frame.

import { make } from "../ui/dom.js";
import { Marker } from "../ui/marker.js";
import { PacedBuffer } from "./paced_buffer.js";
import { caretAt, isInside } from "./text_position.js";
import { makeRuns } from "./text_run.js";

const FOLLOW_DISTANCE = 40; // pixels from the end within which the view scrolls with the text
const REPAINT_BUDGET = 8; // milliseconds per frame, so that the page stays responsive
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
    this.marker = new Marker(sheet);
    this.buffer = new PacedBuffer();
    for (const type of ["wheel", "touchmove", "pointerdown", "keydown"])
      sheet.addEventListener(type, () => this.#onUse(), { passive: true });
    this.clear();
  }

  clear() {
    this.#cancelFrame();
    cancelAnimationFrame(this.repaintFrame);
    this.marker.hide();
    this.buffer.clear();
    this.records = [];
    this.blocks = []; // { element, start, end, isClosed, runs }, the runs as in text_run.js
    this.starts = new WeakMap(); // text node or element of a run -> index of its first character
    this.highlighted = null; // the element of the highlighted character
    this.isFollowing = true; // whether the view scrolls with the end of the text, if it is visible
    this.isAtEnd = false; // the view has scrolled to the end, and the user has not scrolled since
    this.waiters = [];
    this.text.replaceChildren();
    this.#startBlock();
  }

  /** Shows the text through another lens. Long texts take several frames. */
  setLens(lens) {
    this.lens = lens;
    this.highlight(null);
    cancelAnimationFrame(this.repaintFrame);
    this.#repaintFrom(0);
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
    const run = this.#runAt(index);
    if (!run) return;
    const element = this.lens.isPerCharacter ? run.element : this.marker.show(this.rangeOf(index));
    element?.scrollIntoView({ block: "nearest" });
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

  /** The index of the character at the position of a pointer event, or undefined. */
  indexAt({ target, clientX, clientY }) {
    if (this.lens.isPerCharacter) return this.starts.get(target.closest?.(".c"));
    const caret = caretAt(clientX, clientY);
    const start = caret && this.starts.get(caret.node);
    if (start === undefined) return undefined;
    const isHit = (index) => isInside(this.rangeOf(index), clientX, clientY);
    const index = this.#indexInRun(start, caret.offset);
    // The caret is at the nearer edge of a character, so the pointer may be on the one before.
    return [index, index - 1].find((each) => this.records[each] && isHit(each));
  }

  /** Highlights the character at an index, or none if it is null. Returns its element, if any. */
  highlight(index) {
    this.highlighted?.classList.remove("highlighted");
    this.marker.hide();
    this.highlighted = null;
    const run = index === null ? null : this.#runAt(index);
    if (!run) return null;
    if (!this.lens.isPerCharacter) return this.marker.show(this.rangeOf(index));
    this.highlighted = run.element?.matches(".c") ? run.element : null;
    this.highlighted?.classList.add("highlighted");
    return this.highlighted;
  }

  /** Selects the characters from index `from` up to `to`, as a pointer would. */
  select(from, to) {
    const [first, last] = [this.rangeOf(from), this.rangeOf(to - 1)];
    getSelection().setBaseAndExtent(
      first.startContainer,
      first.startOffset,
      last.endContainer,
      last.endOffset,
    );
  }

  /** The range of DOM nodes that contains the character at an index. */
  rangeOf(index) {
    const { start, text } = this.#runAt(index);
    const offset = utf16Length(this.records, start, index);
    const range = document.createRange();
    range.setStart(text, offset);
    range.setEnd(text, offset + this.records[index].token.length);
    return range;
  }

  #runAt(index) {
    const block = lastBeginning(this.blocks, index);
    const run = block && lastBeginning(block.runs, index);
    return run && index < this.records.length ? run : null;
  }

  /** The index of the character at an offset of a run's text node. */
  #indexInRun(start, offset) {
    let index = start;
    for (let left = offset; left > 0 && index < this.records.length; index += 1)
      left -= this.records[index].token.length;
    return index;
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
    let start = this.records.length;
    for (const record of records) {
      this.records.push(record);
      this.block.end += 1;
      if (record.token !== "\n" || this.block.end - this.block.start < MIN_BLOCK) continue;
      this.block.isClosed = true;
      this.#fill(this.block, start);
      this.#startBlock();
      start = this.records.length;
    }
    this.#fill(this.block, start);
  }

  /** Adds the characters of a block from an index on. */
  #fill(block, start) {
    const fragment = document.createDocumentFragment();
    for (const run of makeRuns(this.records, start, block.end, block.isClosed, this.lens)) {
      block.runs.push(run);
      this.starts.set(run.text, run.start);
      if (run.element) this.starts.set(run.element, run.start);
      fragment.append(run.node);
    }
    block.element.append(fragment);
  }

  #startBlock() {
    const element = make("span", "block");
    const start = this.records.length;
    this.block = { element, start, end: start, isClosed: false, runs: [] };
    this.blocks.push(this.block);
    this.text.append(element);
  }

  /** Repaints blocks from an index on while the budget lasts, and the others in later frames. */
  #repaintFrom(first) {
    const deadline = performance.now() + REPAINT_BUDGET;
    let next = first;
    for (; next < this.blocks.length && performance.now() < deadline; next += 1) {
      const block = this.blocks[next];
      block.runs = [];
      block.element.replaceChildren();
      this.#fill(block, block.start);
    }
    if (next < this.blocks.length)
      this.repaintFrame = requestAnimationFrame(() => this.#repaintFrom(next));
  }
}

/** The last of the parts that begins at or before an index; parts are sorted by their starts. */
function lastBeginning(parts, index) {
  let [low, high] = [0, parts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle].start <= index) low = middle + 1;
    else high = middle;
  }
  return parts[low - 1];
}

function utf16Length(records, start, end) {
  let length = 0;
  for (let index = start; index < end; index += 1) length += records[index].token.length;
  return length;
}
