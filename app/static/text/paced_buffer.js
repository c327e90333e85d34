// A buffer of received records, which releases them at the pace that the user chose.

import * as pace from "../form/pace.js";

const MAX_PER_FRAME = 250; // characters; more would make the browser drop frames
const MAX_SAVED = 0.25; // seconds of the pace; a window in the background gets no frames for longer

export class PacedBuffer {
  constructor() {
    this.clear();
  }

  clear() {
    this.records = [];
    this.start = 0; // index of the first record that is still in the buffer
    this.credit = 1; // characters that the pace allows now, with a fraction
    this.takenAt = performance.now();
  }

  get size() {
    return this.records.length - this.start;
  }

  /** Whether records wait because of the pace, and not only for the next frame. */
  get isHeldBack() {
    return this.size > 0 && pace.isPaced();
  }

  add(records) {
    if (this.size === 0) Object.assign(this, { records: [], start: 0 });
    for (const record of records) this.records.push(record);
  }

  /** Removes and returns the records that may be shown now, at most those of one frame. */
  take() {
    this.#addCredit();
    const taken = this.#remove(Math.floor(this.credit));
    this.credit -= taken.length;
    return taken;
  }

  #addCredit() {
    const now = performance.now();
    const seconds = (now - this.takenAt) / 1000;
    this.takenAt = now;
    const rate = pace.rate();
    if (!pace.isPaced()) this.credit = MAX_PER_FRAME;
    else this.credit = Math.min(Math.max(1, MAX_SAVED * rate), this.credit + seconds * rate);
  }

  takeAll() {
    return this.#remove(this.size);
  }

  #remove(count) {
    const taken = this.records.slice(this.start, this.start + count);
    this.start += taken.length;
    return taken;
  }
}
