// The export menu: the current requests as code, and the texts with their scores as files.

import { copyAndReport } from "./clipboard.js";
import { curlCommand, pythonProgram } from "./code_snippets.js";
import { byId } from "./dom.js";
import { showError } from "./error_messages.js";
import { enteredSettings, form } from "./form.js";
import { Menu } from "./menu.js";
import { textOf } from "./scoring.js";
import { toRequestBody } from "./settings.js";
import { saveCSV, saveJSON } from "./text_export.js";

export class ExportMenu {
  constructor(columns, statusLine) {
    Object.assign(this, { columns, statusLine });
    this.menu = new Menu(byId("export"));
    const onClick = (id, action) => byId(id).addEventListener("click", () => this.#run(action));
    onClick("copy-curl", () => this.#copy(curlCommand, "Curl command"));
    onClick("copy-python", () => this.#copy(pythonProgram, "Python program"));
    onClick("save-json", () => this.#save(saveJSON));
    onClick("save-csv", () => this.#save(saveCSV));
  }

  /** Allows downloads, or forbids them while there is no complete text. */
  set canSave(canSave) {
    for (const id of ["save-json", "save-csv"]) byId(id).disabled = !canSave;
  }

  async #run(action) {
    try {
      await action();
    } catch (error) {
      showError(
        error,
        [...this.columns.all.map((column) => column.form), form],
        this.statusLine,
        {},
      );
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
    for (const column of withText) await column.addScores(this.#waitOptions());
    save(`seed-${withText[0].textSettings.seed}`, withText.map(exported));
  }

  #waitOptions() {
    const { signal } = new AbortController();
    return { signal, onWait: (wait) => this.statusLine.showWait(wait) };
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
