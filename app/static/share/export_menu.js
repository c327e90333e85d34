// The export menu: the current requests as code, and the texts with their scores as files.

import { copyAndReport } from "../ui/clipboard.js";
import { curlCommand, pythonProgram } from "./code_snippets.js";
import { byId } from "../ui/dom.js";
import { showError } from "../form/error_messages.js";
import { enteredSettings, form } from "../form/form.js";
import { Menu } from "../ui/menu.js";
import { scoringMessage, textOf } from "../server/scoring.js";
import { toRequestBody } from "../form/settings.js";
import { saveCSV, saveJSON } from "./text_export.js";

export class ExportMenu {
  constructor(columns, statusLine) {
    Object.assign(this, { columns, statusLine });
    this.controller = null; // of the requests for scores
    this.menu = new Menu(byId("export"));
    const onClick = (id, action) => byId(id).addEventListener("click", () => this.#run(action));
    onClick("copy-curl", () => this.#copy(curlCommand, "Curl command"));
    onClick("copy-python", () => this.#copy(pythonProgram, "Python program"));
    onClick("save-json", () => this.#save(saveJSON));
    onClick("save-csv", () => this.#save(saveCSV));
  }

  /** Allows downloads, or forbids them while there is no complete text, and ends one that waits. */
  set canSave(canSave) {
    if (!canSave) this.controller?.abort();
    for (const id of ["save-json", "save-csv"]) byId(id).disabled = !canSave;
  }

  async #run(action) {
    try {
      await action();
    } catch (error) {
      if (error.name === "AbortError") return; // other texts are being generated
      const forms = [...this.columns.all.map((column) => column.form), form];
      showError(error, forms, this.statusLine, {});
    }
  }

  #copy(toCode, label) {
    const code = this.#requests().map(toCode).join("\n");
    return copyAndReport(code, label, this.statusLine);
  }

  /** The requests of the texts or, if there is none yet, those that the form describes. */
  #requests() {
    const { withText, all } = this.columns;
    if (withText.length) return withText.map(({ textSettings }) => toRequestBody(textSettings));
    return all.map(({ ownSettings }) => formRequest(ownSettings));
  }

  async #save(save) {
    const { withText } = this.columns;
    this.controller = new AbortController();
    const options = this.#scoreOptions(this.controller.signal);
    for (const column of withText) await column.addScores(options);
    save(`seed-${withText[0].textSettings.seed}`, withText.map(exported));
    this.statusLine.show("Download started.");
  }

  #scoreOptions(signal) {
    return {
      signal,
      onProgress: (done, total) => this.statusLine.show(scoringMessage(done, total)),
      onWait: (wait) => this.statusLine.showWait(wait),
    };
  }
}

/** The request that the form describes. Without an entered seed it has none. */
function formRequest(ownSettings) {
  const entered = { ...enteredSettings(), ...ownSettings, kept: "" };
  const { seed, ...body } = toRequestBody({ ...entered, seed: entered.seed || "0" });
  return entered.seed ? { ...body, seed } : body;
}

function exported({ letter, textSettings, records }) {
  const { prime, kept, model } = textSettings;
  const fields = { prime, kept, text: textOf(records), model };
  return { name: letter || "A", fields, request: toRequestBody(textSettings), records };
}
