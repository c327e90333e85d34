// The tabs of the page. Each shows one panel and hides the others.

export class Tabs {
  constructor() {
    this.tabs = [...document.querySelectorAll("[role=tab]")];
    for (const tab of this.tabs) {
      tab.addEventListener("click", () => this.select(panelId(tab)));
      tab.addEventListener("keydown", (event) => this.#onKey(event));
    }
  }

  /** Shows the panel with the given id. */
  select(id) {
    for (const tab of this.tabs) {
      const isSelected = panelId(tab) === id;
      tab.setAttribute("aria-selected", String(isSelected));
      tab.tabIndex = isSelected ? 0 : -1;
      document.getElementById(panelId(tab)).hidden = !isSelected;
    }
  }

  #onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = this.tabs.at((this.tabs.indexOf(event.target) + step) % this.tabs.length);
    this.select(panelId(next));
    next.focus();
  }
}

const panelId = (tab) => tab.getAttribute("aria-controls");
