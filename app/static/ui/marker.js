// The marker: a frame over one character of a text. It leaves the text's nodes as they are, so
// that a selection survives.

import { make } from "./dom.js";

export class Marker {
  /** `sheet`: the element that scrolls, in which the text is. */
  constructor(sheet) {
    this.sheet = sheet;
    this.range = null;
    this.element = make("span", "marker");
    this.element.setAttribute("aria-hidden", "true");
    this.hide();
    sheet.append(this.element);
    // Blocks that come into view get their real height, which moves the text after them.
    sheet.addEventListener("scroll", () => this.#place(), { passive: true });
    new ResizeObserver(() => this.#place()).observe(sheet);
  }

  /** Frames the character that a range contains. Returns the frame's element. */
  show(range) {
    this.range = range;
    this.element.hidden = false;
    this.#place();
    return this.element;
  }

  hide() {
    this.range = null;
    this.element.hidden = true;
  }

  #place() {
    if (!this.range) return;
    const { sheet } = this;
    const { left, top, width, height } =
      this.range.getClientRects()[0] ?? this.range.getBoundingClientRect();
    const frame = sheet.getBoundingClientRect();
    Object.assign(this.element.style, {
      left: `${left - frame.left - sheet.clientLeft + sheet.scrollLeft}px`,
      top: `${top - frame.top - sheet.clientTop + sheet.scrollTop}px`,
      width: `${width}px`,
      height: `${height}px`,
    });
  }
}
