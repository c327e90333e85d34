// The slider that holds a cell at a value while a text is written.

import { byId } from "../ui/dom.js";
import { formatHeld } from "./hold.js";

const DELAY = 400; // milliseconds after the last movement; arrow keys move the slider step by step

export class HoldSlider {
  /** `onHold(value)`: the user moved the slider to a value. */
  constructor(onHold) {
    this.input = byId("hold");
    this.output = byId("hold-value");
    this.timer = 0;
    this.input.addEventListener("input", () => {
      this.#show(formatHeld(this.input.valueAsNumber));
      clearTimeout(this.timer);
      this.timer = setTimeout(() => onHold(this.input.valueAsNumber), DELAY);
    });
    this.set(null);
  }

  /** Shows a value, or null if no text holds the cell. */
  set(value) {
    clearTimeout(this.timer);
    this.input.value = value ?? 0;
    this.#show(value === null ? "not held" : formatHeld(value));
  }

  set disabled(isDisabled) {
    this.input.disabled = isDisabled;
  }

  #show(text) {
    this.output.textContent = text;
    this.input.setAttribute("aria-valuetext", text);
    this.input.classList.toggle("free", text === "not held");
  }
}
