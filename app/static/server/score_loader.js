// Requests the scores of texts that were generated without, and says so in a status line.

import { ConnectionError } from "./retries.js";
import { scoringMessage } from "./scoring.js";
import { explain } from "../ui/shown_error.js";

const FAILED = "The colors could not be loaded.";

export class ScoreLoader {
  /** `columns()` returns the columns with the texts. */
  constructor(columns, statusLine) {
    Object.assign(this, { columns, statusLine, controller: null });
  }

  /** Loads the scores that texts lack. The status line then shows again what it showed before. */
  async load() {
    if (this.controller) return; // they are being loaded
    const controller = new AbortController();
    this.controller = controller;
    try {
      for (const column of this.columns()) await column.addScores(this.#options(controller.signal));
      this.statusLine.restore();
    } catch (error) {
      if (!controller.signal.aborted) this.#showFailure(error);
    } finally {
      if (this.controller === controller) this.controller = null;
    }
  }

  cancel() {
    if (!this.controller) return;
    this.controller.abort();
    this.controller = null;
    this.statusLine.restore();
  }

  #options(signal) {
    return {
      signal,
      onProgress: (done, total) => this.statusLine.showTemporarily(scoringMessage(done, total)),
      // The text is complete without colors, so a busy server is not asked again.
      onWait: ({ reason }) => {
        throw reason ?? new ConnectionError();
      },
    };
  }

  #showFailure(error) {
    const remedy = ["Try again", () => this.load()];
    this.statusLine.showTemporarily(`${FAILED} ${explain(error)}`, { isError: true, remedy });
  }
}
