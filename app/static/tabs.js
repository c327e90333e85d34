// Tabs: what the page shows, one panel at a time.

export class Tabs {
  constructor() {
    this.tabs = [...document.querySelectorAll("[role=tab]")];
    for (const tab of this.tabs) {
      tab.addEventListener("click", () => this.select(panelOf(tab)));
      tab.addEventListener("keydown", (event) => this.#onKey(event));
    }
  }

  /** Shows the panel with an id. */
  select(id) {
    for (const tab of this.tabs) {
      const selected = panelOf(tab) === id;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(panelOf(tab)).hidden = !selected;
    }
  }

  #onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = this.tabs.at((this.tabs.indexOf(event.target) + step) % this.tabs.length);
    this.select(panelOf(next));
    next.focus();
  }
}

const panelOf = (tab) => tab.getAttribute("aria-controls");
