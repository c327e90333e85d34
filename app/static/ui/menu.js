// A menu of actions behind a button. It closes when an action is chosen or the focus leaves it.

export class Menu {
  /** `details`: a <details> element, whose <summary> is the button. */
  constructor(details) {
    this.details = details;
    this.button = details.querySelector("summary");
    details.addEventListener("click", ({ target }) => target.closest("button") && this.close());
    details.addEventListener("focusout", ({ relatedTarget: next }) => {
      if (next && !details.contains(next)) details.open = false;
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (!details.contains(target)) details.open = false;
    });
  }

  get isOpen() {
    return this.details.open;
  }

  /** Closes the menu. Its button gets the focus if the focus was inside. */
  close() {
    if (this.details.contains(document.activeElement)) this.button.focus({ preventScroll: true });
    this.details.open = false;
  }
}
