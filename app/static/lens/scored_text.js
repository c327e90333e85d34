// A scored text, which a model with or without a memory has read.

import { make } from "../ui/dom.js";
import { surprisalCurve } from "./surprisal_lens.js";
import { Pane } from "../text/pane.js";
import { bitsPerCharacter } from "../text/statistics.js";

const EMPTY_MESSAGE =
  "No scores yet. Paste a passage and press Score to see which characters the model expected.";

export class ScoredText {
  /**
   * `hasMemory`: whether the model has a memory. `onChoose(text, index, token)`: the user picked an
   * alternative for a character of this text.
   */
  constructor(hasMemory, onChoose) {
    this.hasMemory = hasMemory;
    this.name = hasMemory ? "with memory" : "without memory";
    this.pane = new Pane({
      label: `Scored text, ${this.name}`,
      emptyMessage: EMPTY_MESSAGE,
      curve: surprisalCurve,
      onChoose: (index, token) => onChoose(this, index, token),
    });
    const { sheet, figure, statistics } = this.pane;
    this.title = make("h2", "", this.name[0].toUpperCase() + this.name.slice(1));
    this.root = make("article", "column", this.title, sheet, figure, statistics);
  }

  get records() {
    return this.pane.view.records;
  }

  /** The mean surprisal: "2.01 bits per character". */
  get mean() {
    return `${bitsPerCharacter(this.records).toFixed(2)} bits per character`;
  }
}
