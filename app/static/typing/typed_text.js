// The text field of the tab Type, with the rest of a suggested word behind the caret.

import { characterCount } from "../text/text_position.js";
import { make } from "../ui/dom.js";

const CLOSING = /^[.,;:!?)\]]$/; // punctuation that takes the place of a space which was added

export class TypedText {
  /**
   * `field`: a <textarea>. `mirror`: an element below it with the same text, which gives it its
   * height and shows the suggestion.
   */
  constructor(field, mirror) {
    Object.assign(this, { field, mirror, saved: 0 }); // `saved`: keystrokes
    this.spaceEnd = null; // the caret after the last space that was added
    field.addEventListener("input", () => {
      if (!field.value) this.saved = 0; // another text begins
    });
    field.addEventListener("beforeinput", ({ data }) => CLOSING.test(data) && this.#dropSpace());
  }

  /** Lets the character that is about to be typed replace a space that was just added. */
  #dropSpace() {
    const { field, spaceEnd } = this;
    if (field.selectionEnd !== spaceEnd || !this.before.endsWith(" ")) return;
    field.setSelectionRange(spaceEnd - 1, spaceEnd);
    this.saved -= 1;
  }

  /** The text before the caret. */
  get before() {
    return this.field.value.slice(0, this.field.selectionStart);
  }

  get isAtEnd() {
    return this.field.selectionStart === this.field.value.length;
  }

  /** Number of keystrokes that the text takes without suggestions. */
  get total() {
    return characterCount(this.field.value);
  }

  /** Shows a suggestion behind the caret, which must be at the end; "" shows none. */
  suggest(text) {
    // After <wbr>, a suggestion that is too long for the line goes to the next one by itself.
    const ghost = make("span", "ghost", text || "\u200b");
    this.mirror.replaceChildren(this.field.value, make("wbr"), ghost);
  }

  /** Inserts the rest of a word, which the user chose with one keystroke, and a space after it. */
  insert(rest) {
    const { field } = this;
    const isSpaced = /^\s/.test(field.value.slice(field.selectionEnd));
    const text = isSpaced ? rest : `${rest} `;
    this.saved += Math.max(0, characterCount(text) - 1);
    field.focus({ preventScroll: true });
    document.execCommand("insertText", false, text); // unlike a change of `value`, it can be undone
    this.spaceEnd = isSpaced ? null : field.selectionEnd;
  }
}
