// The passage that the user has selected, and the button that finds the cells that track it.

import { byId } from "../ui/dom.js";
import { countOf } from "../ui/numbers.js";
import { selectedSpan } from "./text_position.js";

const NONE = "Select a passage of the text to find the cells that track it.";
const EXCERPT = 30; // characters of the passage to show

export class PassageFinder {
  /**
   * `prefix` of the elements' ids. `panes()` returns the panes whose texts can be selected.
   * `onFind(pane, span)`: find the cells that track a span [from, to) of a pane's text.
   */
  constructor(prefix, { panes, onFind }) {
    Object.assign(this, { panes, passage: null });
    this.hint = byId(`${prefix}-passage`);
    this.button = byId(`${prefix}-find`);
    document.addEventListener("selectionchange", () => this.#update());
    this.button.addEventListener("click", () => onFind(this.passage.pane, this.passage.span));
    this.#show();
  }

  /** Forgets a passage of a text that is no longer there. */
  forget() {
    const { pane, records } = this.passage ?? {};
    if (!this.panes().includes(pane) || pane.view.records !== records) this.passage = null;
    this.#show();
  }

  /** Keeps the last passage when the selection ends, as a tap on the button may end it. */
  #update() {
    for (const pane of this.panes()) {
      const span = selectedSpan(pane.text);
      if (span) this.passage = { pane, span, records: pane.view.records };
    }
    this.#show();
  }

  #show() {
    const { passage } = this;
    this.button.disabled = passage === null;
    this.hint.textContent = passage === null ? NONE : description(passage);
  }
}

function description({ span: [from, to], records }) {
  const tokens = records.slice(from, Math.min(to, from + EXCERPT)).map(({ token }) => token);
  const excerpt = tokens.join("").replace(/\s+/g, " ").trim();
  const more = to - from > EXCERPT ? "…" : "";
  return `Selected: “${excerpt}${more}” (${countOf(to - from, "character")})`;
}
