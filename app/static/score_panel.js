// ScorePanel: a passage that somebody brings, as the model sees it.

import { make } from "./dom.js";
import { bitsPerCharacter, count } from "./figures.js";
import { explain, named } from "./explain.js";
import { Pane } from "./pane.js";
import * as problems from "./problems.js";
import { chosen, score, tokensOf } from "./scoring.js";
import { Problem } from "./settings.js";
import { StatusLine } from "./status_line.js";

const EXAMPLE =
  "Happy families are all alike; every unhappy family is unhappy in its own way.\n\n" +
  "The dragon closed his laptop and went for a walk.";

const form = document.querySelector("#score-controls");
const field = document.querySelector("#passage");
const stop = document.querySelector("#score-stop");
const status = new StatusLine("score-");

export class ScorePanel {
  /** `onFork(prime, record)`: a text is to go on from there; `onScored(passage, hash)`. */
  constructor({ onFork, onScored }) {
    this.controller = null; // of what is being scored
    this.onScored = onScored;
    this.pane = new Pane({
      label: "Scored text",
      empty:
        "Nothing is scored yet. Paste a passage, and see which of its characters the model saw coming.",
      onChoose: (place, token) => {
        const { records } = this.pane.view;
        onFork(tokensOf(records.slice(0, place)), chosen(records[place], token));
      },
    });
    this.pane.coloured = true;
    const { sheet, figure, figures } = this.pane;
    const title = make("h2", "unseen", "Scored text");
    const column = make("article", "column", title, sheet, figure, figures);
    document.querySelector("#scored").append(column);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.score();
    });
    stop.addEventListener("click", () => this.cancel());
    document.querySelector("#example").addEventListener("click", () => {
      field.value = EXAMPLE;
      this.score();
    });
  }

  /** Fills in a passage and scores it, by the model with a hash if one is given. */
  open(passage, model) {
    field.value = passage;
    return this.score(model);
  }

  async score(model = "") {
    this.cancel();
    const controller = new AbortController();
    const { signal } = controller;
    this.controller = controller;
    stop.disabled = false;
    problems.clear(form);
    const text = field.value;
    try {
      await this.#score(text, model, signal);
    } catch (thrown) {
      const error = await named(thrown, text);
      const retry = ["Score it with this one", () => this.score()];
      if (!signal.aborted) explain(error, [form], status, { retry });
    } finally {
      if (this.controller === controller) {
        this.controller = null;
        const hadFocus = document.activeElement === stop;
        stop.disabled = true;
        if (hadFocus) field.focus();
      }
    }
  }

  async #score(text, model, signal) {
    if (!text) throw new Problem("text", "there is nothing to score: paste some text");
    const options = {
      signal,
      onPart: (done, all) =>
        status.say(done ? `Reading, ${count(done)} of ${count(all)} characters…` : "Reading…"),
      onWait: (wait) => status.wait(wait),
    };
    const { records, model: used } = await score({ prime: "", text, model }, options);
    this.pane.show("", records);
    status.say(
      `${count(records.length)} characters, ${bitsPerCharacter(records).toFixed(2)} bits each.`,
    );
    this.onScored(text, used.hash);
  }

  /** Ends what is being scored, if something is. */
  cancel() {
    if (!this.controller) return;
    this.controller.abort();
    status.say("Ready.");
  }
}
