// ScorePanel: a passage that somebody brings, as the model sees it.

import { bitsPerCharacter } from "./figures.js";
import { Pane, make } from "./pane.js";
import * as problems from "./problems.js";
import { chosen, score } from "./scoring.js";
import { StatusLine } from "./status_line.js";

const EXAMPLE =
  "Happy families are all alike; every unhappy family is unhappy in its own way.\n\n" +
  "The dragon closed his laptop and went for a walk.";

const form = document.querySelector("#score-controls");
const field = document.querySelector("#passage");
const status = new StatusLine("score-");

export class ScorePanel {
  /** `onFork(prime, record)`: a text is to go on from there; `onScored(passage, hash)`. */
  constructor({ onFork, onScored, explain }) {
    this.onScored = onScored;
    this.explain = explain;
    this.pane = new Pane({
      label: "Scored text",
      empty:
        "Nothing is scored yet. Paste a passage, and see which of its characters the model saw coming.",
      onChoose: (place, token) => {
        const { records } = this.pane.view;
        onFork(
          records
            .slice(0, place)
            .map((record) => record.token)
            .join(""),
          chosen(records[place], token),
        );
      },
    });
    this.pane.coloured = true;
    const column = make("article", "column");
    column.append(
      make("h2", "unseen", "Scored text"),
      this.pane.sheet,
      this.pane.figure,
      this.pane.figures,
    );
    document.querySelector("#scored").append(column);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.score();
    });
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
    this.controller = controller;
    problems.clear(form);
    status.say("Reading…");
    const text = field.value;
    try {
      if (!text)
        throw Object.assign(new Error(), {
          errors: [{ field: "text", message: "there is nothing to score: paste some text" }],
        });
      const options = {
        signal: controller.signal,
        onWait: (wait) => wait.seconds && status.wait(wait),
      };
      const { records, model: used } = await score({ prime: "", text, model }, options);
      this.pane.show("", records);
      status.say(
        `${records.length} characters, ${bitsPerCharacter(records).toFixed(2)} bits each.`,
      );
      this.onScored(text, used.hash);
    } catch (error) {
      if (!controller.signal.aborted)
        this.explain(error, form, status, ["Score it with this one", () => this.score()]);
    }
  }

  cancel() {
    this.controller?.abort();
    status.say("Ready.");
  }
}
