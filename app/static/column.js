// A column: one generated text. When several are compared, each has its own sampling settings.

import { make, makeButton } from "./dom.js";
import { readInput } from "./form.js";
import { Pane } from "./pane.js";
import { ALTERNATIVES, addScores, replaceToken, textOf } from "./scoring.js";
import { SAMPLING_FIELDS, describeSampling, toRequestBody } from "./settings.js";
import { generationStatistics } from "./statistics.js";
import { stream } from "./stream.js";

const EMPTY_MESSAGE =
  "No text yet. Enter a prime and press Generate: the model continues it, one character at a time.";
const FIELDS = {
  top_k: { label: "Top-k", placeholder: "all" },
  temperature: { label: "Temperature", placeholder: "" },
  top_p: { label: "Top-p", placeholder: "off" },
};

export class Column {
  /**
   * `ownSettings`: the column's own sampling settings, or null for the first column, which uses
   * the main form. `onFork(column, records)`: the user picked an alternative, and the text is to
   * continue after these records. `onRemove(column)`: the user asked to remove the column.
   */
  constructor({ ownSettings, onFork, onRemove }) {
    this.pane = new Pane({
      label: "Generated text",
      emptyMessage: EMPTY_MESSAGE,
      onChoose: (index, token) => onFork(this, this.#fork(index, token)),
    });
    this.generated = null; // the settings of the text in the pane
    this.#build(ownSettings, onRemove);
  }

  get records() {
    return this.pane.view.records;
  }

  /** The column's letter among several, or "" if it is the only one. */
  get name() {
    return this.root.parentElement?.classList.contains("several") ? this.title.textContent : "";
  }

  set name(name) {
    this.title.textContent = name || "Text";
    this.pane.sheet.setAttribute("aria-label", name ? `Generated text ${name}` : "Generated text");
  }

  /** The column's own sampling settings, as entered; {} for the first column. */
  get ownSettings() {
    return Object.fromEntries(this.inputs.map((input) => [input.name, readInput(input)]));
  }

  set ownSettings(settings) {
    for (const input of this.inputs) input.value = settings[input.name] ?? "";
  }

  #build(ownSettings, onRemove) {
    this.title = make("h2");
    this.subtitle = make("p", "hint");
    const head = make("div", "column-head", make("div", "", this.title, this.subtitle));
    this.form = make("form", "settings");
    this.form.noValidate = true;
    this.inputs = ownSettings
      ? SAMPLING_FIELDS.map((field) => this.#addField(field, ownSettings[field]))
      : [];
    if (ownSettings) {
      const remove = makeButton("quiet", "Remove");
      remove.addEventListener("click", () => onRemove(this));
      head.append(remove);
    } else {
      this.form.append(make("p", "hint main-settings", "Uses the settings of the main form."));
    }
    const { sheet, figure, statistics } = this.pane;
    this.root = make("article", "column", head, this.form, sheet, figure, statistics);
  }

  #addField(field, value) {
    const { label, placeholder } = FIELDS[field];
    const id = `${field}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const labelElement = make("label", "", label);
    labelElement.htmlFor = id;
    const input = make("input");
    Object.assign(input, {
      id,
      name: field,
      type: "number",
      step: "any",
      value,
      placeholder,
      autocomplete: "off",
    });
    const error = make("p", "field-error");
    error.id = `${id}-error`;
    input.setAttribute("aria-describedby", error.id);
    this.form.append(make("div", "field", labelElement, input, error));
    return input;
  }

  get isRunning() {
    return this.root.classList.contains("running");
  }

  /**
   * Generates a text: after the prime of the settings and the `kept` records, which begin the text.
   *
   * The previous text stays until the server has responded. Options: `signal`; `onWait`;
   * `onResponse(headers)`; `onCharacters()`; `withScores`, whether to request scores.
   * Returns the data of the stream's `done` event, or {} if that event was lost.
   */
  async generate(settings, kept, options) {
    const request = { ...settings, kept: textOf(kept) };
    const body = toRequestBody(request);
    if (options.withScores) body.logprobs = ALTERNATIVES;
    let hasStarted = false;
    const onResponse = (headers) => {
      if (!hasStarted) this.#start(request, kept, headers.get("Charstream-Model"));
      hasStarted = true;
      options.onResponse(headers);
    };
    let done;
    try {
      for await (const events of stream(body, { ...options, onResponse })) {
        options.onCharacters();
        this.#append(events, settings);
        done = events.find(({ name }) => name === "done")?.data;
      }
      await this.pane.view.allShown();
    } finally {
      if (hasStarted) this.#finish(kept.length, done);
    }
    return done ?? {};
  }

  #start(request, kept, model) {
    this.generated = { ...request, model: model ?? request.model ?? "" };
    this.subtitle.textContent = describeSampling(request);
    this.root.classList.add("running");
    this.pane.show(request.prime, [...kept]);
    if (kept.at(-1)?.chosen) this.pane.view.keepVisible(kept.length - 1);
  }

  #append(events, settings) {
    const records = events
      .filter(({ name }) => name === "message")
      .map(({ data }) => Object.assign(data, { settings }));
    this.pane.view.append(records);
  }

  #finish(keptLength, done) {
    this.root.classList.remove("running");
    this.pane.view.flush();
    const length = String(Math.max(1, this.records.length - keptLength));
    this.generated = { ...this.generated, length };
    this.pane.addStatistics(done ? generationStatistics(done) : []);
  }

  /** Requests scores for the characters that were generated without. */
  async addScores(options) {
    if (!this.generated) return;
    const { generated } = this;
    const { prime, model } = generated;
    const statistics = this.pane.extraStatistics;
    const records = await addScores({ prime, records: this.records, model }, options);
    if (!records || this.generated !== generated) return; // the text was replaced in the meantime
    this.pane.show(prime, records);
    this.pane.addStatistics(statistics);
  }

  clear() {
    this.generated = null;
    this.subtitle.textContent = "";
    this.pane.clear();
  }

  #fork(index, token) {
    return [...this.records.slice(0, index), replaceToken(this.records[index], token)];
  }
}
