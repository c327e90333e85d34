// The panel that scores a passage from the user.

import { byId } from "../ui/dom.js";
import { showError } from "../form/error_messages.js";
import { FieldError, clearErrors } from "../form/field_errors.js";
import { LensPanel } from "./lens_panel.js";
import { showLines } from "./line_table.js";
import { chosenModel } from "../form/model_choice.js";
import { countOf } from "../ui/numbers.js";
import { ScoredText } from "./scored_text.js";
import { replaceToken, score, scoringMessage, textOf } from "../server/scoring.js";
import { StatusLine } from "../ui/status_line.js";
import { saveCSV, saveJSON } from "../share/text_export.js";
import { TooLongError, longestText } from "../server/text_parts.js";
import { characterCount } from "../text/text_position.js";
import { nameUnknownCharacters } from "../form/unknown_characters.js";

const DEFAULT_PRIME = "\n"; // what the server puts before a passage
const EXAMPLE =
  "Happy families are all alike; every unhappy family is unhappy in its own way.\n\n" +
  "The dragon closed his laptop and went for a walk. " +
  "In the evening the dragon opened his laptop again.";
const TOO_LONG = "This passage is too long for this server. Score a shorter part";
const form = byId("score-controls");
const field = byId("passage");
const memoryChoices = [...form.querySelectorAll('[name="memory"]')]; // "", "true" and "both"
const stopButton = byId("score-stop");
const statusLine = new StatusLine("score-");

export class ScorePanel {
  /**
   * `onFork({ prime, memory, record })`: the user picked an alternative, and a text is to continue
   * after the prime and this record. `onLink({ passage, memory, model }, view, historyMode)`: the
   * address is to lead to a passage that the model with this hash scored.
   */
  constructor({ onFork, onLink }) {
    this.controller = null; // of the running request
    this.model = null; // hash of the model that scored the texts
    this.maxLength = Infinity; // characters of a passage; the model card brings the server's limit
    this.onLink = onLink;
    const fork = ({ records, hasMemory }, index, token) => {
      const prime = textOf(records.slice(0, index));
      const memory = hasMemory ? "true" : "";
      onFork({ prime, memory, record: replaceToken(records[index], token) });
    };
    this.all = [false, true].map((hasMemory) => new ScoredText(hasMemory, fork));
    this.#show("", []);
    this.lensPanel = new LensPanel("score", {
      panes: () => this.all.map(({ pane }) => pane),
      texts: () =>
        this.model ? this.shown.map(({ pane }) => ({ pane, prime: "", model: this.model })) : [],
      onLink: () => this.model && this.#link("replace"),
    });
    this.#listen();
  }

  #listen() {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.score();
    });
    stopButton.addEventListener("click", () => this.cancel());
    byId("score-save-json").addEventListener("click", () => this.#save(saveJSON));
    byId("score-save-csv").addEventListener("click", () => this.#save(saveCSV));
    for (const choice of memoryChoices)
      choice.addEventListener("change", () => this.model && field.value && this.score());
    byId("passage-file").addEventListener("change", async ({ target }) => {
      field.value = await target.files[0].text();
      target.value = ""; // so that the same file can be opened again
      this.score();
    });
    byId("example").addEventListener("click", () => {
      field.value = EXAMPLE;
      this.score();
    });
  }

  /** Adapts the panel to a model and a server, as GET /info describes them. */
  adapt({ cells, limits, vocabulary }) {
    byId("example").hidden = ![...EXAMPLE].every((character) => vocabulary.includes(character));
    this.maxLength = longestText(limits.prime);
    this.lensPanel.setCatalogue(cells);
  }

  /**
   * Fills in a passage and scores it. `memory`: the choice of Memory. `model`: the hash that the
   * model must have, or "". `view`: the lens and the cell of a link.
   */
  open({ passage, memory, model, view }) {
    field.value = passage;
    const chosen = memoryChoices.find(({ value }) => value === memory) ?? memoryChoices[0];
    chosen.checked = true;
    this.lensPanel.view = view;
    return this.score(model);
  }

  async score(model = chosenModel()) {
    this.cancel();
    const controller = new AbortController();
    const { signal } = controller;
    this.controller = controller;
    stopButton.disabled = false;
    clearErrors(form);
    const text = field.value;
    const memory = memoryChoices.find(({ checked }) => checked).value;
    try {
      await this.#score({ text, model, memory }, signal);
    } catch (thrown) {
      const refused = thrown instanceof TooLongError ? new FieldError("text", TOO_LONG) : thrown;
      const error = await nameUnknownCharacters(refused, text, model);
      const retry = ["Score with this model", () => this.score()];
      const onReplaced = () => this.score();
      if (!signal.aborted) showError(error, [form], statusLine, { retry, onReplaced });
      this.#noteEarlierPassage(text);
    } finally {
      if (this.controller === controller) this.#finish();
    }
  }

  async #score({ text, model, memory }, signal) {
    this.#check(text);
    const options = {
      signal,
      onProgress: (done, total) => statusLine.show(scoringMessage(done, total)),
      onWait: (wait) => statusLine.showWait(wait),
      onGiveUp: (failure) =>
        new Promise((resolve) => statusLine.showGivenUp(failure, false, resolve)),
    };
    const scored = [];
    for (const { hasMemory } of this.#textsOf(memory)) {
      const usedModel = scored[0]?.model.hash ?? model;
      scored.push(await score({ prime: "", text, model: usedModel, memory: hasMemory }, options));
    }
    this.model = scored[0].model.hash;
    this.#show(memory, scored);
    this.#noteEarlierPassage(text);
    statusLine.show(this.#summary());
    this.#link("push");
    this.lensPanel.read();
  }

  /** The texts that a choice of Memory shows. */
  #textsOf(memory) {
    return this.all.filter(
      ({ hasMemory }) => memory === "both" || hasMemory === (memory === "true"),
    );
  }

  /** Shows the texts of a choice of Memory, and their scores. */
  #show(memory, scored) {
    this.memory = memory;
    this.shown = this.#textsOf(memory);
    const isSeveral = this.shown.length > 1;
    this.all[0].title.classList.toggle("visually-hidden", !isSeveral);
    byId("scored").classList.toggle("several", isSeveral);
    byId("scored").replaceChildren(...this.shown.map(({ root }) => root));
    for (const each of this.all)
      each.pane.show("", scored[this.shown.indexOf(each)]?.records ?? []);
    showLines(this.#records);
  }

  #summary() {
    const means = this.shown.map(({ mean, name }) => (this.memory ? `${mean} ${name}` : mean));
    return `${countOf(this.#records.length, "character")}, ${means.join(", ")}.`;
  }

  get #records() {
    return this.shown[0].records;
  }

  /** Throws a FieldError if the server would refuse the text. */
  #check(text) {
    if (!text) throw new FieldError("text", "There is no text to score. Paste some text");
    if (characterCount(text) <= this.maxLength) return;
    const limit = countOf(this.maxLength, "character");
    throw new FieldError("text", `${TOO_LONG}: at most ${limit}`);
  }

  #link(historyMode) {
    const { memory, model } = this;
    const passage = textOf(this.#records);
    this.onLink({ passage, memory, model }, this.lensPanel.view, historyMode);
  }

  /** Says so if the pane shows another passage than `text`, the one that was sent last. */
  #noteEarlierPassage(text) {
    const records = this.#records;
    byId("score-note").hidden = !records.length || textOf(records) === text;
  }

  #save(save) {
    const { model } = this;
    const texts = this.shown.map(({ records, hasMemory }) => ({
      name: hasMemory ? "passage with memory" : "passage",
      fields: { prime: DEFAULT_PRIME, text: textOf(records), model, memory: hasMemory },
      request: null,
      records,
    }));
    save("passage", texts);
    statusLine.show("Download started.");
  }

  #finish() {
    this.controller = null;
    for (const id of ["score-save-json", "score-save-csv"]) byId(id).disabled = this.model === null;
    const hadFocus = document.activeElement === stopButton;
    stopButton.disabled = true;
    if (hadFocus) field.focus();
  }

  /** Cancels the running request, if there is one. */
  cancel() {
    if (!this.controller) return;
    this.controller.abort();
    statusLine.show("Stopped.");
  }
}
