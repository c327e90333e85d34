// The panel that scores a passage from the user.

import { byId, make } from "../ui/dom.js";
import { showError } from "../form/error_messages.js";
import { FieldError, clearErrors } from "../form/field_errors.js";
import { LensPanel } from "./lens_panel.js";
import { chosenModel } from "../form/model_choice.js";
import { countOf } from "../ui/numbers.js";
import { Pane } from "../text/pane.js";
import { replaceToken, score, scoringMessage, textOf } from "../server/scoring.js";
import { bitsPerCharacter } from "../text/statistics.js";
import { StatusLine } from "../ui/status_line.js";
import { saveCSV, saveJSON } from "../share/text_export.js";
import { TooLongError, longestText } from "../server/text_parts.js";
import { characterCount } from "../text/text_position.js";
import { nameUnknownCharacters } from "../form/unknown_characters.js";

const DEFAULT_PRIME = "\n"; // what the server puts before a passage
const EXAMPLE =
  "Happy families are all alike; every unhappy family is unhappy in its own way.\n\n" +
  "The dragon closed his laptop and went for a walk.";
const TOO_LONG = "This passage is too long for this server. Score a shorter part";
const EMPTY_MESSAGE =
  "No scores yet. Paste a passage and press Score to see which characters the model expected.";

const form = byId("score-controls");
const field = byId("passage");
const stopButton = byId("score-stop");
const statusLine = new StatusLine("score-");

export class ScorePanel {
  /**
   * `onFork(prime, record)`: the user picked an alternative, and a text is to continue after the
   * prime and this record. `onLink(passage, hash, view, historyMode)`: the address is to lead to a
   * passage that the model with this hash scored.
   */
  constructor({ onFork, onLink }) {
    this.controller = null; // of the running request
    this.model = null; // hash of the model that scored the text in the pane
    this.maxLength = Infinity; // characters of a passage; the model card brings the server's limit
    this.onLink = onLink;
    this.pane = new Pane({
      label: "Scored text",
      emptyMessage: EMPTY_MESSAGE,
      onChoose: (index, token) => {
        const { records } = this.pane.view;
        onFork(textOf(records.slice(0, index)), replaceToken(records[index], token));
      },
    });
    const { sheet, figure, statistics } = this.pane;
    const title = make("h2", "visually-hidden", "Scored text");
    const column = make("article", "column", title, sheet, figure, statistics);
    byId("scored").append(column);
    this.lensPanel = new LensPanel("score", {
      panes: () => [this.pane],
      texts: () => (this.model ? [{ pane: this.pane, prime: "", model: this.model }] : []),
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
    byId("example").addEventListener("click", () => {
      field.value = EXAMPLE;
      this.score();
    });
  }

  /** Adapts the panel to a model and a server, as GET /info describes them. */
  adapt({ cells, limits }) {
    this.maxLength = longestText(limits.prime);
    this.lensPanel.setCatalogue(cells);
  }

  /**
   * Fills in a passage and scores it. `model`: the hash that the model must have, or "".
   * `view`: the lens and the cell of a link.
   */
  open(passage, model, view) {
    field.value = passage;
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
    try {
      await this.#score(text, model, signal);
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

  async #score(text, model, signal) {
    this.#check(text);
    const options = {
      signal,
      onProgress: (done, total) => statusLine.show(scoringMessage(done, total)),
      onWait: (wait) => statusLine.showWait(wait),
      onGiveUp: (failure) =>
        new Promise((resolve) => statusLine.showGivenUp(failure, false, resolve)),
    };
    const { records, model: usedModel } = await score({ prime: "", text, model }, options);
    this.model = usedModel.hash;
    this.pane.show("", records);
    this.#noteEarlierPassage(text);
    const mean = bitsPerCharacter(records).toFixed(2);
    statusLine.show(`${countOf(records.length, "character")}, ${mean} bits per character.`);
    this.#link("push");
    this.lensPanel.read();
  }

  /** Throws a FieldError if the server would refuse the text. */
  #check(text) {
    if (!text) throw new FieldError("text", "There is no text to score. Paste some text");
    if (characterCount(text) <= this.maxLength) return;
    const limit = countOf(this.maxLength, "character");
    throw new FieldError("text", `${TOO_LONG}: at most ${limit}`);
  }

  #link(historyMode) {
    const passage = textOf(this.pane.view.records);
    this.onLink(passage, this.model, this.lensPanel.view, historyMode);
  }

  /** Says so if the pane shows another passage than `text`, the one that was sent last. */
  #noteEarlierPassage(text) {
    const { records } = this.pane.view;
    byId("score-note").hidden = !records.length || textOf(records) === text;
  }

  #save(save) {
    const { records } = this.pane.view;
    const fields = { prime: DEFAULT_PRIME, text: textOf(records), model: this.model };
    save("passage", [{ name: "passage", fields, request: null, records }]);
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
