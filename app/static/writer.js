// Writer: runs what is to be written, side by side, and says how it goes.

import * as alternatives from "./alternatives.js";
import { clearProblems, explain, named } from "./explain.js";
import { count } from "./figures.js";
import { form } from "./form.js";
import { linkOf } from "./permalink.js";
import { tokensOf } from "./scoring.js";
import { StatusLine } from "./status_line.js";

const FIRST = "Waiting for the first character…";
const LONG = 5000; // characters to read before the first, which take their time
const TOO_LONG = "This text is as long as this server reads: it cannot go on from here.";

export class Writer {
  /**
   * Events: `change()`, when a run begins, is answered or ends; `link(hash, how)`, when the address
   * is to lead to what is there: how is "push" for something new, else "replace".
   */
  constructor(columns, events) {
    this.columns = columns;
    this.events = events;
    this.status = new StatusLine();
    this.runs = new Map(); // column -> AbortController
  }

  get isRunning() {
    return this.runs.size > 0;
  }

  /** The link to the texts that are there, as an address's hash; null if it would be too long. */
  get link() {
    return this.#link();
  }

  /**
   * Writes texts side by side. A plan is [column, settings, records kept];
   * `how` is what the address is told.
   */
  async begin(plans, how = "push") {
    for (const [column] of plans) this.drop(column);
    clearProblems(this.columns.all);
    alternatives.hide();
    this.status.say(FIRST);
    const batch = { isAnswered: false, hasFailed: false };
    const answered = (model) => {
      if (!batch.isAnswered) this.events.link(this.#link(plans, model), how);
      batch.isAnswered = true;
    };
    const results = await Promise.all(plans.map((plan) => this.#run(plan, batch, answered)));
    if (this.isRunning || results.includes("replaced")) return;
    const left = plans.flatMap(([column], place) =>
      this.columns.all.includes(column) ? [results[place]] : [],
    );
    if (!left.length) this.status.say("Ready.");
    else if (left.every((result) => typeof result === "object"))
      this.status.say(this.#summary(left, plans[0][0].made.seed));
    if (batch.isAnswered) this.events.link(this.#link(), "replace");
    this.complete();
  }

  /** Ends everything that runs. */
  stop() {
    if (!this.isRunning) return;
    const written = [...this.runs.keys()].filter((column) => column.isWriting);
    const characters = written.reduce((sum, { records }) => sum + records.length, 0);
    for (const controller of this.runs.values()) controller.abort();
    this.status.say(written.length ? `Stopped after ${count(characters)} characters.` : "Stopped.");
  }

  /** Ends what one column writes. */
  drop(column) {
    this.runs.get(column)?.abort();
  }

  /** Scores what came without scores, if they are to be seen. */
  async complete() {
    if (!this.columns.isColoured) return;
    const controller = new AbortController();
    const options = { signal: controller.signal, onWait: () => controller.abort() };
    try {
      for (const column of this.columns.written) {
        if (!this.runs.has(column)) await column.complete(options);
      }
    } catch {
      // colours are a gift; a text without them is still a text
    }
  }

  /** Writes one text; its result is the end's data, or "stopped", "replaced" or "failed". */
  async #run([column, wanted, kept], batch, answered) {
    const controller = new AbortController();
    this.runs.set(column, controller);
    this.events.change();
    try {
      const length = wanted.prime.length + kept.length;
      const first = length < LONG ? FIRST : `Reading ${count(length)} characters…`;
      const options = this.#options(controller.signal, batch, answered, first);
      return await column.write(wanted, kept, options);
    } catch (thrown) {
      const error = await named(thrown, wanted.prime + tokensOf(kept));
      if (controller.signal.aborted) {
        return this.runs.get(column) === controller ? "stopped" : "replaced";
      }
      batch.hasFailed = true;
      this.#explain(error, column, wanted, kept);
      return "failed";
    } finally {
      if (this.runs.get(column) === controller) this.runs.delete(column);
      this.events.change();
    }
  }

  #explain(error, column, wanted, kept) {
    const isTooLong =
      kept.length && error.code !== "unknown_character" && error.errors?.[0]?.field === "prime";
    const said = isTooLong ? new Error(TOO_LONG) : error;
    const anyModel = { ...wanted, model: "" };
    const retry = ["Write it with this one", () => this.begin([[column, anyModel, kept]])];
    const forms = column.inputs.length ? [column.form, form] : [form];
    explain(said, forms, this.status, { retry, name: column.name });
  }

  #options(signal, batch, answered, first) {
    let isAnswered = false;
    let isFirst = true;
    const say = (words) => batch.hasFailed || this.status.say(words); // what failed stays said
    return {
      signal,
      scores: this.columns.isColoured,
      onWait: (wait) => {
        isFirst = true;
        this.status.wait(wait, isAnswered);
      },
      onAnswer: (headers) => {
        isAnswered = true;
        answered(headers.get("Charstream-Model"));
        this.events.change();
        const ahead = Number(headers.get("Charstream-Queue"));
        say(ahead ? `In the queue, ${ahead} ahead…` : first);
      },
      onFirst: () => {
        if (isFirst) say("Writing…");
        isFirst = false;
      },
    };
  }

  #summary(results, seed) {
    if (results.length > 1) return `${results.length} texts, seed ${seed}.`;
    const { timings, usage } = results[0];
    if (!usage) return "The text is complete.";
    const rate = count(Math.round(timings.characters_per_second));
    return `${count(usage.generated_characters)} characters, ${rate} a second, seed ${seed}.`;
  }

  /** The link to the texts that are there, or are planned in their place. */
  #link(plans = [], model = "") {
    const planned = new Map(
      plans.map(([column, wanted, kept]) => [column, { ...wanted, model, kept: tokensOf(kept) }]),
    );
    const texts = this.columns.all.map((column) => planned.get(column) ?? column.made);
    const known = texts.filter(Boolean).map((text) => ({ kept: "", ...text }));
    return known.length ? linkOf(known) : "";
  }
}
