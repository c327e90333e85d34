// The choice of the lens of a panel. Elements with data-lens are shown with that lens only.

import { LENSES } from "./lenses.js";

export class LensChoice {
  /** `panel`: the element with the radio buttons. `onChange()`: the user chose another lens. */
  constructor(panel, onChange) {
    this.panel = panel;
    this.radios = [...panel.querySelectorAll(".lenses input")];
    for (const radio of this.radios)
      radio.addEventListener("change", () => {
        this.#show();
        onChange();
      });
    this.#show();
  }

  /** The name of the lens. */
  get name() {
    return this.radios.find((radio) => radio.checked).value;
  }

  /** Chooses a lens. An unknown name means the first one. */
  set name(name) {
    const chosen = LENSES.includes(name) ? name : LENSES[0];
    for (const radio of this.radios) radio.checked = radio.value === chosen;
    this.#show();
  }

  #show() {
    for (const element of this.panel.querySelectorAll("[data-lens]"))
      element.hidden = element.dataset.lens !== this.name;
  }
}
