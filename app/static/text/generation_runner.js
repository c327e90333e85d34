// Runs generations side by side and reports their progress in the status line.

import * as alternatives from "./alternatives.js";
import { isRefused } from "../server/api.js";
import { clearAllErrors, showError } from "../form/error_messages.js";
import { form } from "../form/form.js";
import { chosenModel } from "../form/model_choice.js";
import { countOf, formatCount, formatMeasured } from "../ui/numbers.js";
import * as pace from "../form/pace.js";
import { linkToTexts } from "../share/permalink.js";
import { ScoreLoader } from "../server/score_loader.js";
import { textOf } from "../server/scoring.js";
import { ShownError } from "../ui/shown_error.js";
import { StatusLine } from "../ui/status_line.js";
import { nameUnknownCharacters } from "../form/unknown_characters.js";

const WAITING = "Waiting for the first character…";
const LONG_PRIME = 5000; // characters; reading a longer prime takes a noticeable time
const TOO_LONG_TO_CONTINUE =
  "This text cannot be continued: it has reached the longest prime that the server accepts. " +
  "To go further, put only its last part into Prime.";

/**
 * A plan, { column, settings, kept }, describes one generation: the column that shows it, its
 * settings, and the records that its text begins with.
 */
export class GenerationRunner {
  /**
   * `onChange()`: generations have started, responded or ended. `onLink(hash, historyMode)`: the
   * address is to lead to the texts. The mode is "push" for new texts, otherwise "replace".
   * `onReplaced()`: the user had the unknown characters of the prime replaced. `onEnd()`: all
   * generations have ended. `getView()` returns how the texts are shown, see permalink.js.
   */
  constructor(columns, { onChange, onLink, onReplaced, onEnd, getView }) {
    Object.assign(this, { columns, onChange, onLink, onReplaced, onEnd, getView });
    this.statusLine = new StatusLine();
    this.scoreLoader = new ScoreLoader(() => this.#idle, this.statusLine);
    this.running = new Map(); // column -> AbortController
    this.suspended = new Set(); // functions that continue the requests which have given up
  }

  get isRunning() {
    return this.running.size > 0;
  }

  /** The columns with a text that is not being generated. */
  get #idle() {
    return this.columns.withText.filter((column) => !this.running.has(column));
  }

  /** The link to the current texts, as an address's hash; null if it would be too long. */
  get link() {
    return this.#link();
  }

  /** Keeps the link up to date with how the texts are shown. */
  updateLink() {
    if (this.columns.withText.length && !this.isRunning) this.onLink(this.#link(), "replace");
  }

  /** Runs the generations of several plans, and resolves when all have ended. */
  async run(plans, historyMode = "push") {
    this.scoreLoader.cancel();
    for (const { column } of plans) this.cancel(column);
    clearAllErrors(this.columns.all);
    alternatives.hide();
    this.statusLine.show(WAITING);
    const batch = { hasResponded: false, hasFailed: false };
    const onFirstResponse = (model) => {
      if (!batch.hasResponded) this.onLink(this.#link(plans, model), historyMode);
      batch.hasResponded = true;
    };
    const results = await Promise.all(
      plans.map((plan) => this.#runPlan(plan, batch, onFirstResponse)),
    );
    if (this.isRunning || results.includes("replaced")) return;
    this.#showResults(plans, results);
    if (batch.hasResponded) this.onLink(this.#link(), "replace");
    this.onEnd();
  }

  /** Stops all generations, and the requests for scores. */
  stop() {
    this.scoreLoader.cancel();
    if (!this.isRunning) return;
    const columns = [...this.running.keys()].filter((column) => column.isRunning);
    const length = columns.reduce((sum, { records }) => sum + records.length, 0);
    for (const controller of this.running.values()) controller.abort();
    this.statusLine.show(
      columns.length ? `Stopped after ${countOf(length, "character")}.` : "Stopped.",
    );
  }

  /** Cancels the generation of one column. */
  cancel(column) {
    this.running.get(column)?.abort();
  }

  /** Runs one plan. Returns the data of `done`, or "stopped", "replaced" or "failed". */
  async #runPlan(plan, batch, onFirstResponse) {
    const { column, settings, kept } = plan;
    const controller = new AbortController();
    this.running.set(column, controller);
    this.onChange();
    try {
      const primeLength = settings.prime.length + kept.length;
      const options = this.#options(controller.signal, batch, onFirstResponse, primeLength);
      return await column.generate(settings, kept, options);
    } catch (thrown) {
      const text = settings.prime + textOf(kept);
      const error = await nameUnknownCharacters(thrown, text, settings.model);
      if (controller.signal.aborted) {
        return this.running.get(column) === controller ? "stopped" : "replaced";
      }
      batch.hasFailed = true;
      this.#showError(error, plan);
      return "failed";
    } finally {
      if (this.running.get(column) === controller) this.running.delete(column);
      this.onChange();
    }
  }

  #options(signal, batch, onFirstResponse, primeLength) {
    let hasStarted = false;
    let isWaiting = true;
    const show = (message) => {
      if (this.suspended.size) this.showSuspended();
      else if (!batch.hasFailed) this.statusLine.show(message); // errors stay
    };
    return {
      signal,
      withScores: this.columns.lensName !== "off",
      isFollowing: this.columns.all.length === 1, // compared texts are easier to read from the top
      onWait: (wait) => {
        isWaiting = true;
        this.statusLine.showWait(wait, hasStarted);
      },
      onResponse: (headers) => {
        hasStarted = true;
        onFirstResponse(headers.get("Charstream-Model"));
        this.onChange();
        show(waitingMessage(Number(headers.get("Charstream-Queue")), primeLength));
      },
      onGiveUp: (failure) => {
        isWaiting = true;
        return this.#suspend(failure, hasStarted, signal);
      },
      onCharacters: () => {
        if (isWaiting) show("Generating…");
        isWaiting = false;
      },
      onReceived: (done) => show(receivedMessage(done)),
    };
  }

  /** Shows that a request has given up. Resolves when the user asks to try again. */
  #suspend(failure, hasStarted, signal) {
    const resumeAll = () => {
      for (const resume of this.suspended) resume();
      this.suspended.clear();
    };
    this.showSuspended = () => this.statusLine.showGivenUp(failure, hasStarted, resumeAll);
    this.showSuspended();
    return new Promise((resolve) => {
      this.suspended.add(resolve);
      signal.addEventListener("abort", () => this.suspended.delete(resolve), { once: true });
    });
  }

  #showError(error, { column, settings, kept }) {
    const isTooLong = kept.length && isRefused(error, "prime");
    const shown = isTooLong ? new ShownError(TOO_LONG_TO_CONTINUE) : error;
    const anyModel = () => ({ ...settings, model: chosenModel(), ...column.ownSettings });
    const rerun = () => this.run([{ column, settings: anyModel(), kept }]);
    const retry = ["Generate with this model", rerun];
    const forms = column.inputs.length ? [column.form, form] : [form];
    const onReplaced = kept.length ? null : this.onReplaced;
    showError(shown, forms, this.statusLine, { retry, onReplaced, letter: column.letter });
  }

  #showResults(plans, results) {
    const all = plans.map((plan, index) => ({ ...plan, result: results[index] }));
    const present = all.filter(({ column }) => this.columns.all.includes(column));
    if (!present.length) this.statusLine.show("Ready.");
    else if (present.every(({ result }) => typeof result === "object"))
      this.statusLine.show(summary(present));
  }

  /** The link to the current texts, with those of `plans` in place of the ones they replace. */
  #link(plans = [], model = "") {
    const planned = new Map(
      plans.map(({ column, settings, kept }) => [
        column,
        { ...settings, model: settings.model || model, kept: textOf(kept) },
      ]),
    );
    const texts = this.columns.all.map((column) => planned.get(column) ?? column.textSettings);
    const present = texts.filter(Boolean).map((text) => ({ kept: "", ...text }));
    return present.length ? linkToTexts(present, this.getView()) : "";
  }
}

function waitingMessage(queuedAhead, primeLength) {
  if (queuedAhead) return `In the queue: ${countOf(queuedAhead, "request")} ahead…`;
  return primeLength < LONG_PRIME ? WAITING : `Reading ${countOf(primeLength, "character")}…`;
}

/** The message while the pace holds back characters that have all arrived. */
function receivedMessage(done) {
  const rate = done && formatMeasured(done.timings.characters_per_second);
  const received = rate ? `Received at ${rate} characters per second` : "Received";
  return `${received}. Shown at ${formatMeasured(pace.rate())} per second…`;
}

/** Summarizes completed generations. */
function summary(completed) {
  const { seed } = completed[0].column.textSettings;
  const shownPerSecond = completed.at(-1).result.shownPerSecond;
  const shown = shownPerSecond ? `, shown at ${formatMeasured(shownPerSecond)} per second` : "";
  if (completed.length > 1) return `${countOf(completed.length, "text")}${shown}, seed ${seed}.`;
  const { kept, result } = completed[0];
  if (!result.done) return "The text is complete.";
  const { timings, usage, finish_reason: reason } = result.done;
  const length = lengthMessage(kept.length, usage.generated_characters);
  const end = { stop: " before a stop string", pattern: " matching the pattern" }[reason] ?? "";
  const rate = `${formatMeasured(timings.characters_per_second)} per second`;
  const speed = shown ? `${rate} from the server${shown}` : rate;
  return `${length}${end}, ${speed}, seed ${seed}.`;
}

function lengthMessage(kept, generated) {
  const count = countOf(generated, "character");
  return kept ? `${count} added, ${formatCount(kept + generated)} in total` : count;
}
