// A column: one generated text. When several are compared, each has its own sampling settings, or
// holds cells while its text is written.

import { make, makeButton } from "../ui/dom.js";
import { readInput, writeInput } from "../form/form.js";
import { adaptSwitch } from "../form/memory_switch.js";
import { chooseModel, makeModelField, modelName } from "../form/model_choice.js";
import { Pane } from "./pane.js";
import { ALTERNATIVES, addScores, replaceToken, textOf } from "../server/scoring.js";
import { SAMPLING, SAMPLING_FIELDS, describeSampling, toRequestBody } from "../form/settings.js";
import { generationStatistics } from "./statistics.js";
import { stream } from "../server/stream.js";
import { characterCount } from "./text_position.js";

const EMPTY_MESSAGE =
  "No text yet. Enter a prime and press Generate: the model continues it, one character at a time.";

const STEERED = "The values are those of a model that reads this text without holding the cell.";
const MAIN_SETTINGS = "Uses the settings of the main form.";
const HELD_SETTINGS = "Uses the settings of the main form, and holds the cell.";

export class Column {
  /**
   * `ownSettings`: the column's own sampling settings, or { hold } for a column that uses the main
   * form and holds cells, or null for the first column, which uses the main form. `hint`: a
   * sentence on its own sampling settings, or "". `onStatistics()`: the statistics of the text have changed.
   * `onFork(column, records)`: the user picked an alternative, and the text is to continue after
   * these records. `onRemove(column)`: the user asked to remove the column.
   */
  constructor({ ownSettings, hint, onStatistics, onFork, onRemove }) {
    this.textSettings = null; // those of the text in the pane
    this.pane = new Pane({
      label: "Generated text",
      emptyMessage: EMPTY_MESSAGE,
      onChoose: (index, token) => onFork(this, this.#fork(index, token)),
      onStatistics,
    });
    this.isFirst = ownSettings === null;
    this.isSteered = !this.isFirst && !("top_k" in ownSettings);
    this.hold = ownSettings?.hold ?? ""; // the cells that are held, see hold.js
    this.#build(ownSettings, hint, onRemove);
  }

  get records() {
    return this.pane.view.records;
  }

  /** Gives the column its letter among several, or "" if it is the only one. */
  setLetter(letter) {
    this.letter = letter;
    this.title.textContent = letter || "Text";
    this.pane.sheet.setAttribute("aria-label", `Generated text ${letter}`.trim());
    this.form.setAttribute("aria-label", `Settings of text ${letter}`.trim());
    this.removeButton?.setAttribute("aria-label", `Remove text ${letter}`);
  }

  /** The column's own settings, as entered; {} for the first column. */
  get ownSettings() {
    const entered = this.inputs.map((input) => [input.name, readInput(input)]);
    return { ...Object.fromEntries(entered), ...(this.hold && { hold: this.hold }) };
  }

  set ownSettings(settings) {
    if (!this.isFirst) this.hold = settings.hold ?? "";
    for (const input of this.inputs) {
      if (input.name === "model") chooseModel(settings.model, input);
      else writeInput(input, settings[input.name] ?? "");
    }
  }

  #build(ownSettings, hint, onRemove) {
    this.title = make("h2");
    this.subtitle = make("p", "hint");
    const head = make("div", "column-head", make("div", "", this.title, this.subtitle));
    this.form = make("form", "settings");
    this.form.noValidate = true;
    this.inputs =
      !this.isFirst && !this.isSteered
        ? SAMPLING_FIELDS.map((field) => this.#addField(field, ownSettings[field]))
        : [];
    if (!this.isFirst) {
      this.removeButton = makeButton("quiet", "Remove");
      this.removeButton.addEventListener("click", () => onRemove(this));
      head.append(this.removeButton);
      if (!this.isSteered) this.inputs.push(this.#addModelField(ownSettings.model));
    }
    const shared = this.isSteered ? HELD_SETTINGS : MAIN_SETTINGS;
    this.form.append(make("p", "hint main-settings", this.inputs.length ? hint : shared));
    const { sheet, figure, statistics } = this.pane;
    this.root = make("article", "column", head, this.form, sheet, figure, statistics);
  }

  #addModelField(model) {
    const field = makeModelField(model);
    this.form.append(field);
    return field.querySelector("select");
  }

  #addField(field, value) {
    const { label, type = "number", placeholder = "" } = SAMPLING[field];
    const id = `${field}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const labelElement = make("label", "", label);
    labelElement.htmlFor = id;
    const input = make("input");
    Object.assign(input, { id, name: field, type, placeholder, autocomplete: "off" });
    if (type === "checkbox") {
      input.value = "true";
      adaptSwitch(input);
    } else input.step = "any";
    writeInput(input, value);
    const error = make("p", "field-error");
    error.id = `${id}-error`;
    input.setAttribute("aria-describedby", `${field}-hint ${error.id}`);
    this.form.append(make("div", "field", labelElement, input, error));
    return input;
  }

  get isRunning() {
    return this.root.classList.contains("running");
  }

  /**
   * Generates a text: after the prime of the settings and the `kept` records, which begin the text.
   *
   * The previous text stays until the server has responded. Options: those of `stream`;
   * `onCharacters()`; `onReceived(done)`, called when all characters have arrived, though the pace
   * may hold some of them back; `withScores`, whether to request scores; `isFollowing`, whether the
   * view scrolls with the text.
   * Returns { done, shownPerSecond }: the data of the stream's `done` event, or null if that event
   * was lost, and the rate at which a paced text was shown, or null if the pace held nothing back.
   */
  async generate(settings, kept, options) {
    const request = { ...settings, kept: textOf(kept) };
    const body = toRequestBody(request);
    // The scores of a steered text are those of the steered model, which /score cannot compute.
    if (options.withScores || request.hold) body.logprobs = ALTERNATIVES;
    const run = { kept, done: null, startedAt: null };
    options.signal.addEventListener("abort", () => this.pane.view.discardHidden(), { once: true });
    const onResponse = (headers) => {
      if (run.startedAt === null) this.#start(request, kept, headers, options);
      run.startedAt ??= performance.now();
      options.onResponse(headers);
    };
    try {
      for await (const events of stream(body, { ...options, onResponse })) {
        options.onCharacters();
        this.#append(events, settings);
        run.done = events.find(({ name }) => name === "done")?.data ?? null;
      }
      return await this.#show(run, options);
    } finally {
      if (run.startedAt !== null) this.#finish(run, options.signal);
    }
  }

  #start(request, kept, headers, { isFollowing }) {
    const { pane } = this;
    const model = headers.get("Charstream-Model") ?? request.model ?? "";
    this.textSettings = { ...request, model };
    this.modelName = "";
    this.showSettings();
    this.root.classList.add("running");
    const isFork = kept.at(-1)?.chosen;
    const shown = isFork ? kept.map((record) => ({ ...record, isKept: true })) : kept;
    pane.show(request.prime, shown, kept.length - 1);
    if (isFork) pane.view.keepVisible(kept.length - 1);
    else if (kept.length) pane.view.scrollToEnd();
    if (!isFollowing) pane.view.isFollowing = false;
  }

  /** Shows the settings of the text, and its model once the list of models names it. */
  showSettings() {
    const { textSettings } = this;
    if (!textSettings) return;
    this.modelName = modelName(textSettings.model) || this.modelName; // it may leave the list
    const parts = [this.modelName, describeSampling(textSettings)];
    this.subtitle.textContent = parts.filter(Boolean).join(": ");
  }

  /** Waits until the pace has let all characters through. Returns the result of `generate`. */
  async #show({ kept, done, startedAt }, { signal, onReceived }) {
    const { view } = this.pane;
    const isHeldBack = view.isHeldBack;
    if (isHeldBack) onReceived(done);
    await view.allShown();
    signal.throwIfAborted();
    const rate = ((this.records.length - kept.length) * 1000) / (performance.now() - startedAt);
    return { done, shownPerSecond: isHeldBack ? rate : null };
  }

  #append(events, settings) {
    const records = events
      .filter(({ name }) => name === "message")
      .map(({ data }) => Object.assign(data, { settings }));
    this.pane.view.append(records);
  }

  /** Ends a run. If the user has stopped it, only the characters that were visible remain. */
  #finish({ kept, done }, { aborted }) {
    this.root.classList.remove("running");
    if (!aborted) this.pane.view.flush();
    const length = String(Math.max(1, this.records.length - kept.length));
    const endsEarly = !aborted && ["stop", "pattern"].includes(done?.finish_reason);
    if (!endsEarly) this.textSettings = { ...this.textSettings, length };
    this.pane.addStatistics(done && !aborted ? generationStatistics(done) : []);
  }

  /** Requests scores for the characters that were generated without. */
  async addScores(options) {
    const { textSettings, records } = this;
    if (!textSettings) return;
    const { prime, model, memory } = textSettings;
    const scored = await addScores({ prime, records, model, memory }, options);
    if (!scored || this.textSettings !== textSettings) return; // the text was replaced meanwhile
    this.pane.replaceRecords(scored);
  }

  /** The text as a lens reads it, see lens_panel.js. */
  get lensText() {
    const { prime, model, hold } = this.textSettings;
    return { pane: this.pane, prime, model, note: hold ? STEERED : "" };
  }

  /** The records that the text began with, which were not generated. */
  get keptRecords() {
    return this.records.slice(0, characterCount(this.textSettings.kept));
  }

  clear() {
    this.textSettings = null;
    this.subtitle.textContent = "";
    this.pane.clear();
  }

  #fork(index, token) {
    return [...this.records.slice(0, index), replaceToken(this.records[index], token)];
  }
}
