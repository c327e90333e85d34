// The bar of suggestions: a list box that belongs to a text field.

import { make } from "../ui/dom.js";
import { percent } from "../lens/surprisal.js";

/** Stands for the suggestion that a word ends where it is. */
export const WORD_ENDS = "end of word";

export class SuggestionBar {
  /** `field`: the text field. `onChoose(index)`: the user clicked or tapped a suggestion. */
  constructor(list, field, onChoose) {
    Object.assign(this, { list, field, active: -1 }); // index of the active suggestion, -1: none
    list.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays
    list.addEventListener("click", ({ target }) => {
      const index = [...list.children].indexOf(target.closest("[role=option]"));
      if (index >= 0) onChoose(index);
    });
  }

  /** Shows suggestions after the beginning of a word. Without any, the bar is closed. */
  show(begun, suggestions) {
    this.list.replaceChildren(...suggestions.map((each, index) => makeOption(begun, each, index)));
    this.list.hidden = !suggestions.length;
    this.list.classList.remove("outdated");
    this.field.setAttribute("aria-expanded", String(suggestions.length > 0));
    this.activate(-1);
  }

  /** Shows that the suggestions are those of an earlier text. */
  outdate() {
    this.list.classList.add("outdated");
    this.activate(-1);
  }

  /** Makes the suggestion at an index the active one; -1: none. Beyond the last is the first. */
  activate(index) {
    const options = [...this.list.children];
    this.active = index < options.length ? index : 0;
    options.forEach((each, at) => each.setAttribute("aria-selected", String(at === this.active)));
    const id = options[this.active]?.id;
    if (id) this.field.setAttribute("aria-activedescendant", id);
    else this.field.removeAttribute("aria-activedescendant");
  }
}

function makeOption(begun, { text, probability }, index) {
  const number = make("kbd", "", String(index + 1));
  number.setAttribute("aria-hidden", "true");
  const word = text ? make("span", "word", make("span", "begun", begun), text) : WORD_ENDS;
  const shown = make("span", "probability", percent(probability));
  const option = make("li", "", number, word, " ", shown);
  option.id = `suggestion-${index + 1}`;
  option.setAttribute("role", "option");
  option.setAttribute("aria-keyshortcuts", `Control+${index + 1} Alt+${index + 1}`);
  return option;
}
