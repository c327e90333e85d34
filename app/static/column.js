// Column: one text being written, by settings of its own where several are compared.

import { make } from "./dom.js";
import { ofEnd } from "./figures.js";
import { typed } from "./form.js";
import { Pane } from "./pane.js";
import { ALTERNATIVES, chosen, complete, tokensOf } from "./scoring.js";
import { SAMPLING, bodyOf, inWords } from "./settings.js";
import { stream } from "./stream.js";

const EMPTY =
  "Nothing is written yet. Give the model a beginning, and it goes on from there, one character at a time.";
const LABELS = {
  top_k: ["Top-k", "all"],
  temperature: ["Temperature", ""],
  top_p: ["Top-p", "off"],
};

export class Column {
  /**
   * `onFork(column, records)`: the text is to go on from these.
   * `own`: settings of its own, null for the first column; `onRemove(column)` goes with them.
   */
  constructor({ own, onFork, onRemove }) {
    this.pane = new Pane({
      label: "Generated text",
      empty: EMPTY,
      onChoose: (place, token) => onFork(this, this.#forked(place, token)),
    });
    this.made = null; // the settings of the text that is there
    this.#build(own, onRemove);
  }

  get records() {
    return this.pane.view.records;
  }

  /** What it is called beside others; "" alone. */
  get name() {
    return this.root.parentElement?.classList.contains("several") ? this.title.textContent : "";
  }

  set name(name) {
    this.title.textContent = name || "Text";
    this.pane.sheet.setAttribute("aria-label", name ? `Generated text ${name}` : "Generated text");
  }

  /** Sampling settings of its own; {} of the first column. */
  get own() {
    return Object.fromEntries(this.inputs.map((input) => [input.name, typed(input)]));
  }

  set own(settings) {
    for (const input of this.inputs) input.value = settings[input.name] ?? "";
  }

  #build(own, onRemove) {
    this.title = make("h2");
    this.subtitle = make("p", "hint");
    const head = make("div", "column-head", make("div", "", this.title, this.subtitle));
    this.form = make("form", "settings");
    this.form.noValidate = true;
    this.inputs = own ? SAMPLING.map((field) => this.#field(field, own[field])) : [];
    if (own) {
      const remove = make("button", "quiet", "Remove");
      remove.type = "button";
      remove.addEventListener("click", () => onRemove(this));
      head.append(remove);
    } else {
      this.form.append(make("p", "hint as-set", "Set beside the prime."));
    }
    const { sheet, figure, figures } = this.pane;
    this.root = make("article", "column", head, this.form, sheet, figure, figures);
  }

  #field(field, value) {
    const [label, placeholder] = LABELS[field];
    const id = `${field}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const name = make("label", "", label);
    name.htmlFor = id;
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
    const problem = make("p", "problem");
    problem.id = `${id}-error`;
    input.setAttribute("aria-describedby", problem.id);
    this.form.append(make("div", "field", name, input, problem));
    return input;
  }

  /** Whether a text is being written here. */
  get isWriting() {
    return this.root.classList.contains("running");
  }

  /**
   * Writes a text: settings' prime and the records kept, and on from there.
   *
   * What was there before stays until the server has answered. Options: signal, onWait,
   * onAnswer(headers), onFirst(), scores (whether to ask for them).
   * Returns the data of the stream's `done`, {} if that was lost.
   */
  async write(settings, kept, options) {
    const wanted = { ...settings, kept: tokensOf(kept) };
    const body = bodyOf(wanted);
    if (options.scores) body.logprobs = ALTERNATIVES;
    let begun = false;
    const onAnswer = (headers) => {
      if (!begun) this.#begin(wanted, kept, headers.get("Charstream-Model"));
      begun = true;
      options.onAnswer(headers);
    };
    let done;
    try {
      for await (const events of stream(body, { ...options, onAnswer })) {
        options.onFirst();
        this.pane.view.append(
          events
            .filter(({ name }) => name === "message")
            .map(({ data }) => Object.assign(data, { settings })),
        );
        done = events.find(({ name }) => name === "done")?.data;
      }
      await this.pane.view.drained();
    } finally {
      if (begun) this.#finish(kept.length, done);
    }
    return done ?? {};
  }

  #begin(wanted, kept, model) {
    this.made = { ...wanted, model: model ?? wanted.model ?? "" };
    this.subtitle.textContent = inWords(wanted);
    this.root.classList.add("running");
    this.pane.show(wanted.prime, [...kept]);
    if (kept.at(-1)?.chosen) this.pane.view.stayAt(kept.length - 1);
  }

  #finish(kept, done) {
    this.root.classList.remove("running");
    this.pane.view.flush();
    this.made = { ...this.made, length: String(Math.max(1, this.records.length - kept)) };
    this.pane.tell(done ? ofEnd(done) : []);
  }

  /** Scores what came without. */
  async complete(options) {
    if (!this.made) return;
    const { made } = this;
    const { prime, model } = made;
    const figures = this.pane.end;
    const records = await complete({ prime, records: this.records, model }, options);
    if (!records || this.made !== made) return; // another text has come, or none is left
    this.pane.show(prime, records);
    this.pane.tell(figures);
  }

  clear() {
    this.made = null;
    this.subtitle.textContent = "";
    this.pane.clear();
  }

  #forked(place, token) {
    return [...this.records.slice(0, place), chosen(this.records[place], token)];
  }
}
